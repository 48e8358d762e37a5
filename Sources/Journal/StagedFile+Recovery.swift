import Disk
import Logging
import SystemPackage

extension StagedFile.Store {
    /// Opens a log that an earlier process left, with all that stands in it whole. The log is cut after its last good
    /// record: what a crash tore there had not been synced.
    ///
    /// `point`: where to stop; what was written after it goes too. A log that was compacted since the point was noted is
    /// read as far as that went, which is the same contents, or newer ones that were settled then; one that a power cut
    /// has brought back in place of the point's does not reach there. `mark`: an earlier point, whose contents are given
    /// besides: of a log that was compacted since, what that was compacted to, which is on the disk. Nil when they can't be
    /// told from the rest any more. `.ioError` when it is no log that this store's key sealed, or ends before the point; the
    /// file is left alone then.
    public func recover(
        _ name: String, upTo point: StagedFile.Point? = nil, marking mark: StagedFile.Point? = nil
    ) throws(Errno) -> (file: StagedFile, marked: StagedFile.Snapshot?) {
        let path = directory.appending(name)
        let log = try Log.open(path, .stagedFile, key, on: disk)
        let fileSize = try log.file.status().size
        if let point, point.log != log.identifier,
            Log.rewriteCount(point.log) >= Log.rewriteCount(log.identifier)
        {
            throw .ioError
        }
        let limit = point.flatMap { $0.log == log.identifier ? $0.sequence : nil }
        let marked = mark.flatMap { $0.log == log.identifier ? $0.sequence : nil }
        var replay = LogReplay(log, limit: limit, mark: marked)
        replay.marksRewrite = mark.map { Log.rewriteCount($0.log) < Log.rewriteCount(log.identifier) } ?? false
        replay.endsWithRewrite = point.map { $0.log != log.identifier } ?? false
        try pool.withBuffer { (buffer) throws(Errno) in try replay.run(buffer) }
        if let limit, replay.sequence < limit { throw .ioError }
        let dropped = fileSize - replay.end
        if dropped > 0 {
            if limit == nil {
                logger.warning(
                    "A staged file's log ended in an incomplete record, which was cut off",
                    metadata: ["path": "\(path)", "bytes": "\(dropped)"])
            }
            try log.file.truncate(to: replay.end)
        }
        var writer = LogWriter(compactionThreshold: smallestCompaction)
        // What is written from here on must not be taken for what stood there: a power cut could bring that back.
        if dropped > 0 { do throws(Errno) { try log.file.syncData() } catch { writer.hasSyncFailed = true } }
        writer.end = replay.end
        writer.sequence = replay.sequence
        let file = StagedFile(path, self, replay.contents, writer, droppedByteCount: dropped)
        return (file, replay.marked.map { StagedFile.Snapshot(contents: $0, store: self) })
    }

    /// What stands whole in a log, and where that ends.
    static func replay(
        _ log: Log, _ pool: ScratchPool
    ) throws(Errno) -> (contents: Contents, end: Int64, sequence: UInt64) {
        var replay = LogReplay(log, limit: nil, mark: nil)
        try pool.withBuffer { (buffer) throws(Errno) in try replay.run(buffer) }
        return (replay.contents, replay.end, replay.sequence)
    }
}

/// Reads a log from the start and does again what its records say, as far as they are whole.
private struct LogReplay {
    private let log: Log
    private(set) var contents: Contents
    private(set) var end = Int64(Log.headByteCount)
    private(set) var sequence: UInt64 = 1
    /// The contents before the record number `mark`.
    private(set) var marked: Contents?
    private var limit: UInt64
    private let mark: UInt64?
    /// Stops behind what the log held when it was rewritten.
    var endsWithRewrite = false
    /// What the log held then is what is marked.
    var marksRewrite = false

    /// Stops before the record number `limit`.
    init(_ log: Log, limit: UInt64?, mark: UInt64?) {
        self.log = log
        self.limit = limit ?? .max
        self.mark = mark
        contents = Contents(log)
    }

    mutating func run(_ buffer: UnsafeMutableRawBufferPointer) throws(Errno) {
        while true {
            let count = try log.file.read(at: end, into: buffer)
            let used = take(UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
            // A buffer holds many records, so nothing taken means that the next one is not whole.
            if used == 0 { return }
            end += Int64(used)
        }
    }

    /// Takes over the records that are whole within `bytes`, which begin at `end`; returns how many bytes they are.
    private mutating func take(_ bytes: UnsafeMutableRawBufferPointer) -> Int {
        var used = 0
        if mark == sequence { marked = contents }
        while let record = Record(loading: .init(rebasing: bytes[used...])), record.sequence == sequence,
            sequence < limit, record.kind != .rows, record.kind != .rowsContinued,
            used + record.byteCount <= bytes.count
        {
            let sealed = UnsafeMutableRawBufferPointer(rebasing: bytes[used..<used + record.byteCount])
            let body = UnsafeMutableRawBufferPointer(rebasing: sealed[Record.headByteCount...])
            guard log.open(record, UnsafeRawBufferPointer(sealed), into: body) else { break }
            contents.apply(record, at: end + Int64(used))
            used += record.byteCount
            sequence += 1
            if mark == sequence { marked = contents }
            if marksRewrite, record.kind == .rewritten { marked = contents }
            if endsWithRewrite, record.kind == .rewritten { limit = sequence }
        }
        return used
    }
}
