import Disk
import Glibc
import Logging
import Synchronization
import SystemPackage

extension StagedFile {
    /// Rewrites the log when more than half of it is dead. The write that led here stands in the log already, so a
    /// failure is no failure of the write: the old log goes on, and the next try waits until it has grown by half.
    func compactIfWorthwhile(_ writer: inout LogWriter) {
        // A recovery that is to end at a point needs the records up to it.
        guard writer.heldPoint == nil, writer.end > writer.compactionThreshold,
            contents.withLock({ $0.map.stagedCount }) < writer.end / 2
        else {
            return
        }
        do throws(Errno) {
            // A power cut must not bring back rows that name a point of before, and take for it what the new log holds:
            // that may be contents that nobody has closed.
            try store.rows?.sync()
            try compact(&writer)
        } catch {
            writer.compactionThreshold = writer.end + writer.end / 2
            store.logger.debug(
                "A staged file's log was not compacted", metadata: ["path": "\(path)", "error": "\(error)"])
        }
    }

    /// Writes what is alive to a new log, which takes the old one's name: also the tail, which goes to the old log first.
    ///
    /// The new log is on the disk before it gets the name, so that a crash finds one of the two, whole. Snapshots keep
    /// the old one open. Readers are not held up: they see the old log until the new one is published.
    func compact(_ writer: inout LogWriter) throws(Errno) {
        try flushTail(&writer)
        try replaceLog(&writer) { (old, path) throws(Errno) in
            var copy = try LogCopy(of: old, to: path, store)
            try copy.run()
            return (copy.contents, copy.end, copy.sequence)
        }
        writer.compactionThreshold = max(store.smallestCompaction, writer.end)
    }

    /// Writes the log once more after a sync that failed, when only a new file is to be trusted. All of it is copied as it
    /// is, with its salt and its numbers, so that every point that was noted of it, also in a row that only the disk has yet,
    /// still means what it did.
    func renew(_ writer: inout LogWriter) throws(Errno) {
        let (end, sequence) = (writer.end, writer.sequence)
        try replaceLog(&writer) { (old, path) throws(Errno) in
            let file = try store.disk.open(path, O_RDWR | O_CREAT | O_EXCL)
            guard try store.copyBytes(of: old.log.file, to: file, upTo: end) == end else { throw .ioError }
            // What the disk has dropped does not open.
            let copy = try StagedFile.Store.replay(Log.open(path, .stagedFile, store.key, on: store.disk), store.pool)
            guard copy.end == end, copy.sequence == sequence else { throw .ioError }
            return copy
        }
    }

    /// Gives the log's name to a new one that `make` writes, once that is on the disk.
    private func replaceLog(
        _ writer: inout LogWriter,
        _ make: (_ old: Contents, FilePath) throws(Errno) -> (contents: Contents, end: Int64, sequence: UInt64)
    ) throws(Errno) {
        let temporary = path.removingLastComponent().appending(Store.temporaryName(of: path))
        try store.disk.remove(temporary)
        let made: (contents: Contents, end: Int64, sequence: UInt64)
        do throws(Errno) {
            made = try make(contents.withLock { $0 }, temporary)
            try made.contents.log.file.syncData()
            if writer.isDiscarded {
                try store.disk.remove(temporary)
            } else {
                try store.disk.rename(temporary, to: path)
            }
        } catch {
            try? store.disk.remove(temporary)
            throw error
        }
        // Until the directory is synced a crash may still find the old log, which has the same bytes.
        writer.isNameDurable = writer.isDiscarded
        writer.end = made.end
        writer.sequence = made.sequence
        writer.hasSyncFailed = false
        contents.withLock { contents in
            let generation = contents.generation
            contents = made.contents
            contents.generation = generation
        }
    }
}

/// Copies the live bytes of one log to a new one, record by record.
private struct LogCopy: ~Copyable {
    private let old: Contents
    private let store: StagedFile.Store
    private(set) var contents: Contents
    private(set) var end = Int64(Log.headByteCount)
    private(set) var sequence: UInt64 = 1

    init(of old: Contents, to path: FilePath, _ store: StagedFile.Store) throws(Errno) {
        self.old = old
        self.store = store
        contents = Contents(
            try Log.create(
                path, .stagedFile, baseSize: old.log.baseSize, replacing: old.log, store.key, on: store.disk))
    }

    mutating func run() throws(Errno) {
        // Cut first, grown after: what the base shows ends where it ended before.
        if old.baseEnd < old.log.baseSize { try append(.size, offset: old.baseEnd, length: 0) }
        var pieces: [Piece] = []
        old.map.forEachPiece(in: 0..<Int64.max) { pieces.append($0) }
        for piece in pieces {
            switch piece.source {
            case .zeros: try append(.zeros, offset: piece.start, length: piece.end - piece.start)
            case .log(let run): try copy(piece.start..<piece.end, of: run)
            }
        }
        if contents.size != old.size { try append(.size, offset: old.size, length: 0) }
        try append(.rewritten, offset: 0, length: 0)
    }

    private mutating func copy(_ range: Range<Int64>, of run: Run) throws(Errno) {
        let limit = Int64(Record.payloadLimit)
        let store = store
        for start in stride(from: range.lowerBound, to: range.upperBound, by: Record.payloadLimit) {
            let count = min(limit, range.upperBound - start)
            let record = Record(.data, sequence: sequence, offset: start, length: count)
            let (new, old, position) = (contents.log, old.log, end)
            try store.pool.withBuffer { (buffer) throws(Errno) in
                let place = UnsafeMutableRawBufferPointer(rebasing: buffer[..<record.byteCount])
                let payload = UnsafeMutableRawBufferPointer(rebasing: place[Record.headByteCount...])
                try old.read(start..<start + count, of: run, into: payload, store.pool)
                new.protect(record, UnsafeRawBufferPointer(payload), into: place)
                try new.file.write(UnsafeRawBufferPointer(place), at: position)
            }
            take(record)
        }
    }

    private mutating func append(_ kind: Record.Kind, offset: Int64, length: Int64) throws(Errno) {
        let record = Record(kind, sequence: sequence, offset: offset, length: length)
        let (log, position) = (contents.log, end)
        try store.pool.withBuffer { (buffer) throws(Errno) in
            let place = UnsafeMutableRawBufferPointer(rebasing: buffer[..<record.byteCount])
            log.protect(record, .init(start: nil, count: 0), into: place)
            try log.file.write(UnsafeRawBufferPointer(place), at: position)
        }
        take(record)
    }

    private mutating func take(_ record: Record) {
        contents.apply(record, at: end)
        end += Int64(record.byteCount)
        sequence += 1
    }
}
