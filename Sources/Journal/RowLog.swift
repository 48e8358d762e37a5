import Bytes
import Disk
import Logging
import Sealing
import Synchronization
import SystemPackage

/// Named values ("rows") that outlive the process: an append-only log of sealed batches of changes.
///
/// A batch is written as one or more records (`Record.Kind.rows`), of which the last one makes it valid. A crash can
/// tear the end only, so what a recovery finds is what stood there after some batch: the order of changes is kept. The
/// log is rewritten when most of it is dead.
///
/// Any thread may call anything. `enqueue` never touches the disk, so it may be called under a lock.
public final class RowLog: Sendable {
    /// Gives rows, in batches of which one at a time is in memory.
    public typealias Rows = @Sendable (_ write: (RowBatch) throws(Errno) -> Void) throws(Errno) -> Void

    /// One thing to bring to the disk.
    private enum Item: Sendable {
        case batch(RowBatch)
        /// All rows as they are at this place of the queue.
        case rewrite(Int, Rows)
    }

    private struct Waiting {
        var items: [Item] = []
        /// How many rewrites were asked for, and the last of them that was done.
        var (asked, rewritten) = (0, 0)
    }

    private struct Writer {
        var log: Log
        /// Where the next record goes.
        var end: Int64
        var sequence: UInt64
        /// How long the log was when it was last rewritten, bytes.
        var sizeWhenRewritten: Int64
        /// fdatasync failed, so the kernel may have dropped what it had taken: only a rewritten log is to be trusted.
        var isSuspect = false
        /// Another process has written it, and may have ended after a sync that failed. Not heeded any more once the disk has
        /// no room for rewriting it.
        var isInherited = false
        /// Up to here the disk keeps room for this log.
        var reservedEnd: Int64 = 0
        /// The disk gives no more room: what is reserved is for what makes some.
        var isShort = false
    }

    /// How far a log is on the disk.
    private struct Synced {
        var log: Log?
        var end: Int64 = 0

        func covers(_ other: Synced) -> Bool { log === other.log && end >= other.end }
    }

    private let path: FilePath
    private let key: SealingKey?
    private let disk: any DiskAccess
    private let logger: Logger
    private let pool = ScratchPool(byteCount: Log.bufferByteCount, idleLimit: 1)
    /// When it was opened, the log did not end with a whole batch: a crash tore the last one, or it is damaged.
    let isCut: Bool
    /// Where what was cut off is kept, if there were whole records in it.
    let cutAside: FilePath?
    /// What waits to be written, in order; held for a moment only. Taken inside `writer`.
    private let queue = Mutex(Waiting())
    /// Puts writers in order; held while sealing and writing.
    private let writer: Mutex<Writer>
    /// One fdatasync at a time, and what the last one was for. Order: `syncing`, `writer`, `queue`.
    private let syncing = Mutex(Synced())

    /// A log shorter than this is not worth rewriting, bytes.
    private static let smallestRewrite: Int64 = 4 << 20

    /// How much room the disk is to keep for rows to come, bytes. Half of it is for what others than a program's call change:
    /// on a full disk the queue must go on, or no room would ever be made.
    private static let reserve: Int64 = 1 << 20

    /// Makes an empty log, also in place of a file that holds none.
    init(creating path: FilePath, _ key: SealingKey?, _ disk: any DiskAccess, _ logger: Logger) throws(Errno) {
        self.path = path
        self.key = key
        self.disk = disk
        self.logger = logger
        isCut = false
        cutAside = nil
        try disk.remove(path)
        let log = try Log.create(path, .rows, key, on: disk)
        try log.file.syncData()
        try disk.syncDirectory(path.removingLastComponent())
        let end = Int64(Log.headByteCount)
        var first = Writer(log: log, end: end, sequence: 1, sizeWhenRewritten: end)
        Self.keepRoom(&first)
        writer = Mutex(first)
    }

    /// Opens a log and gives its rows to `replay`, as far as they are whole; it is cut there. `.ioError` when the file's
    /// head is none that this key sealed.
    init(
        opening path: FilePath, _ key: SealingKey?, _ disk: any DiskAccess, _ logger: Logger,
        _ replay: (ArraySlice<UInt8>, ArraySlice<UInt8>?) -> Void
    ) throws(Errno) {
        self.path = path
        self.key = key
        self.disk = disk
        self.logger = logger
        let log = try Log.open(path, .rows, key, on: disk)
        var reader = RowReplay(log)
        try pool.withBuffer { (buffer) throws(Errno) in try reader.run(buffer, replay) }
        let cut = try CutEnd(of: log, from: reader.end, readTo: reader.position, expecting: reader.next)
        isCut = cut.size > 0
        var aside: FilePath?
        if isCut {
            try pool.withBuffer { (buffer) throws(Errno) in aside = try Self.keep(cut, path, buffer, disk, logger) }
            try log.file.truncate(to: reader.end)
        }
        cutAside = aside
        var first = Writer(log: log, end: reader.end, sequence: reader.sequence, sizeWhenRewritten: reader.end / 2)
        first.isInherited = reader.end > Int64(Log.headByteCount)
        // What is written from here on must not be taken for what stood there: a power cut could bring that back.
        if isCut { do throws(Errno) { try log.file.syncData() } catch { first.isSuspect = true } }
        Self.keepRoom(&first)
        writer = Mutex(first)
    }

    /// Keeps what is to be cut off, where it is more than the beginning of a last batch. Returns where.
    private static func keep(
        _ cut: CutEnd, _ path: FilePath, _ buffer: UnsafeMutableRawBufferPointer, _ disk: any DiskAccess,
        _ logger: Logger
    ) throws(Errno) -> FilePath? {
        guard try cut.holdsRecords(buffer) else {
            logger.notice(
                "The journal ended in an incomplete record, which was cut off",
                metadata: ["path": "\(path)", "bytes": "\(cut.size)"])
            return nil
        }
        let aside = SpaceJournal.newAside(in: path.removingLastComponent())
        do throws(Errno) {
            try disk.createDirectory(aside)
            try cut.copy(to: aside.appending(SpaceJournal.rowsName), on: disk, buffer)
            logger.error(
                "The journal was damaged: the changes behind the damage cannot be gone on with, and were put aside",
                metadata: ["path": "\(path)", "bytes": "\(cut.size)", "aside": "\(aside)"])
            return aside
        } catch {
            // What is whole must go on: it is more, and newer changes will stand behind it.
            logger.error(
                "The journal was damaged, and the changes behind the damage could not be put aside",
                metadata: ["path": "\(path)", "bytes": "\(cut.size)", "reason": "\(error)"])
            return nil
        }
    }

    /// Gives the rows of a log to `replay` and changes nothing. `.ioError` as for `init(opening:)`.
    static func read(
        _ path: FilePath, _ key: SealingKey?, _ disk: any DiskAccess,
        _ replay: (ArraySlice<UInt8>, ArraySlice<UInt8>?) -> Void
    ) throws(Errno) {
        var reader = RowReplay(try Log.open(path, .rows, key, on: disk))
        try ScratchPool(byteCount: Log.bufferByteCount, idleLimit: 1).withBuffer { (buffer) throws(Errno) in
            try reader.run(buffer, replay)
        }
    }

    /// Bytes of the log on the disk.
    public var size: Int64 { writer.withLock { $0.end } }

    /// A sync has failed, perhaps one of the process that had the log before: none succeeds before the log is rewritten.
    public var needsRewriting: Bool { writer.withLock { $0.isSuspect || $0.isInherited } }

    /// True when most of the log is dead: time for `enqueueRewrite`.
    public var isWorthRewriting: Bool {
        writer.withLock { $0.isSuspect || ($0.end > Self.smallestRewrite && $0.end > 2 * $0.sizeWhenRewritten) }
    }

    /// False while the disk is so full that only what makes room may be written: no change should be promised then.
    public var hasRoom: Bool {
        writer.withLock { writer in
            Self.keepRoom(&writer)
            return !writer.isShort
        }
    }

    /// Reserves room ahead of the end.
    private static func keepRoom(_ writer: inout Writer) {
        guard writer.reservedEnd - writer.end < reserve / 2 else {
            writer.isShort = false
            return
        }
        do throws(Errno) {
            let end = writer.end + reserve
            try writer.log.file.reserve(writer.end..<end)
            writer.reservedEnd = end
            writer.isShort = false
        } catch {
            writer.isShort = true
        }
    }

    /// Puts a batch behind all that was enqueued before. Nothing is durable before `flush`.
    public func enqueue(_ batch: RowBatch) {
        if !batch.isEmpty { queue.withLock { $0.items.append(.batch(batch)) } }
    }

    /// Has the next `flush` write a new log with `rows`: all rows as they are at this place among the batches.
    public func enqueueRewrite(_ rows: @escaping Rows) {
        queue.withLock { queue in
            // One that still waits would say less, and holds memory.
            queue.items.removeAll { if case .rewrite = $0 { true } else { false } }
            queue.asked += 1
            queue.items.append(.rewrite(queue.asked, rows))
        }
    }

    /// False when the last rewrite that was asked for has not been done, or has failed: rows that it leaves out may stand
    /// in the log still. May be called under a lock, as `enqueue`.
    public var isRewritten: Bool { queue.withLock { $0.asked == $0.rewritten } }

    /// Returns when everything enqueued before is with the kernel: it survives this process, but not a power cut. What
    /// could not be written stays in the queue for the next call.
    public func flush() throws(Errno) {
        try writer.withLock { (writer) throws(Errno) in try flush(&writer) }
    }

    /// Returns when everything enqueued before is on the disk. One fdatasync is for all that came while another ran.
    /// `.ioError` while `needsRewriting`.
    public func sync() throws(Errno) {
        let wanted = try writer.withLock { (writer) throws(Errno) in
            try flush(&writer)
            return try Self.toSync(writer)
        }
        try syncing.withLock { (synced) throws(Errno) in
            if synced.covers(wanted) { return }
            // All that has come since goes with it.
            let now = try writer.withLock { (writer) throws(Errno) in try Self.toSync(writer) }
            guard let log = now.log else { return }
            do throws(Errno) {
                try log.file.syncData()
            } catch {
                writer.withLock { $0.isSuspect = $0.isSuspect || $0.log === log }
                throw error
            }
            synced = now
        }
    }

    private static func toSync(_ writer: Writer) throws(Errno) -> Synced {
        // After a failed fdatasync the next one may succeed without the bytes: a rewrite has to come first.
        if writer.isSuspect || writer.isInherited { throw .ioError }
        return Synced(log: writer.log, end: writer.end)
    }

    /// True when what was enqueued about one of these rows has not been written yet.
    public func isWaiting(_ names: Set<[UInt8]>) -> Bool {
        queue.withLock { queue in
            queue.items.contains { item in
                guard case .batch(let batch) = item else { return false }
                var isThere = false
                _ = RowBatch.read(batch.writer.bytes[...]) { name, _ in
                    isThere = isThere || names.contains(Array(name))
                }
                return isThere
            }
        }
    }

    private func flush(_ writer: inout Writer) throws(Errno) {
        let items = queue.withLock { queue in
            defer { queue.items = [] }
            return queue.items
        }
        for (index, item) in items.enumerated() {
            do throws(Errno) {
                switch item {
                case .batch(let batch): try append(batch, &writer)
                case .rewrite(let number, let rows):
                    if rewrite(rows, &writer) { queue.withLock { $0.rewritten = number } }
                }
            } catch {
                queue.withLock { $0.items.insert(contentsOf: items[index...], at: 0) }
                throw error
            }
        }
    }

    private func append(_ batch: RowBatch, _ writer: inout Writer) throws(Errno) {
        let start = writer.end
        do throws(Errno) {
            let added = try write(batch, to: writer.log, at: writer.end, sequence: writer.sequence)
            writer.end += added.byteCount
            writer.sequence += added.recordCount
            Self.keepRoom(&writer)
        } catch {
            // No part of it may stand before the next batch.
            try? writer.log.file.truncate(to: start)
            writer.reservedEnd = 0
            throw error
        }
    }

    private func write(
        _ batch: RowBatch, to log: Log, at position: Int64, sequence: UInt64
    ) throws(Errno) -> (byteCount: Int64, recordCount: UInt64) {
        let total = batch.writer.bytes.count
        var (position, sequence, done) = (position, sequence, 0)
        let start = (position, sequence)
        try pool.withBuffer { (buffer) throws(Errno) in
            while done < total {
                var used = 0
                for _ in 0..<Log.recordsPerBuffer where done < total {
                    let count = min(Record.payloadLimit, total - done)
                    let isLast = done + count == total
                    let record = Record(
                        isLast ? .rows : .rowsContinued, sequence: sequence, offset: 0, length: Int64(count))
                    batch.writer.bytes.withUnsafeBytes { bytes in
                        log.protect(
                            record, UnsafeRawBufferPointer(rebasing: bytes[done..<done + count]),
                            into: UnsafeMutableRawBufferPointer(rebasing: buffer[used..<used + record.byteCount]))
                    }
                    used += record.byteCount
                    sequence += 1
                    done += count
                }
                try log.file.write(UnsafeRawBufferPointer(rebasing: buffer[..<used]), at: position)
                position += Int64(used)
            }
        }
        return (position - start.0, sequence - start.1)
    }

    /// Writes a new log, which takes the old one's name once it is on the disk. Where that fails the old one goes on:
    /// it says the same. True when the new one has the name.
    private func rewrite(_ rows: Rows, _ writer: inout Writer) -> Bool {
        let temporary = path.removingLastComponent().appending((path.lastComponent?.string ?? "") + ".new")
        do throws(Errno) {
            try disk.remove(temporary)
            let log = try Log.create(temporary, .rows, key, on: disk)
            var (end, sequence) = (Int64(Log.headByteCount), UInt64(1))
            try rows { (batch) throws(Errno) in
                let added = try write(batch, to: log, at: end, sequence: sequence)
                end += added.byteCount
                sequence += added.recordCount
            }
            try log.file.syncData()
            try disk.rename(temporary, to: path)
            // From here on the old log has no name: whatever else fails, the new one is the journal.
            writer = Writer(log: log, end: end, sequence: sequence, sizeWhenRewritten: end)
            Self.keepRoom(&writer)
            // Until the name is on the disk a power cut brings the old log back, so no sync may succeed.
            writer.isSuspect = true
            try disk.syncDirectory(path.removingLastComponent())
            writer.isSuspect = false
            return true
        } catch {
            try? disk.remove(temporary)
            // Not again before it has grown once more.
            writer.sizeWhenRewritten = writer.end
            // On a full disk nothing would ever make room if no deletion could be synced. What the other process wrote is
            // in the kernel as far as is known, and an fdatasync of this one has to do.
            if [.noSpace, .diskQuotaExceeded].contains(error) { writer.isInherited = false }
            logger.warning(
                "The journal could not be rewritten; it grows on", metadata: ["path": "\(path)", "error": "\(error)"])
            return false
        }
    }
}

/// Reads a log from the start, as far as its records are whole.
private struct RowReplay {
    private let log: Log
    /// After the last batch that is whole.
    private(set) var end = Int64(Log.headByteCount)
    private(set) var sequence: UInt64 = 1
    /// The records of a batch whose end has not come yet.
    private var pending: [UInt8] = []
    /// Where the first record that is not whole should stand, and its number.
    private(set) var (position, next) = (Int64(Log.headByteCount), UInt64(1))

    init(_ log: Log) { self.log = log }

    mutating func run(
        _ buffer: UnsafeMutableRawBufferPointer, _ replay: (ArraySlice<UInt8>, ArraySlice<UInt8>?) -> Void
    ) throws(Errno) {
        while true {
            let count = try log.file.read(at: position, into: buffer)
            let used = take(UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), replay)
            // A buffer holds many records, so nothing taken means that the next one is not whole.
            if used == 0 { return }
            position += Int64(used)
        }
    }

    private mutating func take(
        _ bytes: UnsafeMutableRawBufferPointer, _ replay: (ArraySlice<UInt8>, ArraySlice<UInt8>?) -> Void
    ) -> Int {
        var used = 0
        while let record = Record(loading: .init(rebasing: bytes[used...])), record.sequence == next,
            record.kind == .rows || record.kind == .rowsContinued, used + record.byteCount <= bytes.count
        {
            let sealed = UnsafeMutableRawBufferPointer(rebasing: bytes[used..<used + record.byteCount])
            let body = UnsafeMutableRawBufferPointer(rebasing: sealed[Record.headByteCount...])
            guard log.open(record, UnsafeRawBufferPointer(sealed), into: body) else { break }
            pending.append(contentsOf: body)
            if record.kind == .rows {
                guard RowBatch.read(pending[...], replay) else { break }
                pending.removeAll(keepingCapacity: true)
                end = position + Int64(used + record.byteCount)
                sequence = next + 1
            }
            used += record.byteCount
            next += 1
        }
        return used
    }
}
