import Disk
import Synchronization
import SystemPackage

/// The changed bytes of one file that are not on S3 yet: an append-only log of sealed records on disk, and in memory the
/// index of which bytes of the file lie in which record.
///
/// Any thread may call anything; calls that write to one file are put in order by the file's own lock. A call that
/// throws has changed nothing that anybody can see. Each staged file holds one descriptor.
public final class StagedFile: Sendable {
    /// What a range of the file is made of.
    public enum Extent: Sendable, Equatable {
        /// Bytes held here.
        case staged(Range<Int64>)
        /// Zeros: a hole, or a part that was cut off and grown again.
        case zeros(Range<Int64>)
        /// Unchanged: as in the base version.
        case base(Range<Int64>)
    }

    /// The log's name. It stays the same when the log is compacted.
    public let path: FilePath
    /// Bytes at the log's end that recovery could not use, because they were not whole; 0 for a file that was created.
    public let droppedByteCount: Int64
    let store: Store

    /// One fdatasync at a time: the kernel tells of an error once, and all who wait must learn of it.
    private let syncing = Mutex(())
    /// Puts writers in order: what it guards says where the log ends. Held while sealing and writing to the disk, so
    /// nothing that must not wait takes it.
    let writer: Mutex<LogWriter>
    /// What readers see. Held for memory only: never while sealing, reading, writing or syncing. A writer publishes here
    /// when its bytes stand in the log. Order: `syncing`, `writer`, `contents`.
    let contents: Mutex<Contents>

    init(
        _ path: FilePath, _ store: Store, _ contents: consuming Contents, _ writer: consuming LogWriter,
        droppedByteCount: Int64 = 0
    ) {
        self.path = path
        self.store = store
        self.droppedByteCount = droppedByteCount
        self.contents = Mutex(contents)
        self.writer = Mutex(writer)
    }

    /// The file's size now.
    public var size: Int64 { contents.withLock { $0.size } }
    /// Rises with each change of contents or size.
    public var generation: UInt64 { contents.withLock { $0.generation } }
    /// True once nothing of the base version shows any more (the file was cut to nothing, or is new), which stays so.
    public var hidesBase: Bool { contents.withLock { $0.baseEnd == 0 } }
    /// Disk space used, bytes.
    public var diskUsage: Int64 { contents.withLock { $0.logEnd } }
    /// Bytes that a read would find staged, those that are overwritten by the latest ones maybe counted twice.
    public var stagedByteCount: Int64 { contents.withLock { $0.map.stagedCount + Int64($0.tail.bytes.count) } }

    /// The contents as they are now. Moves what memory holds to the log; where the disk refuses that, the snapshot keeps
    /// the bytes (at most 64 KiB).
    public func snapshot() -> Snapshot {
        writer.withLock { writer in
            try? flushTail(&writer)
            return Snapshot(contents: contents.withLock { $0 }, store: store)
        }
    }

    /// A place in a log: what stood before it is what the file held at one moment.
    public struct Point: Hashable, Sendable {
        /// Which log; another one, with a higher number, after a compaction.
        public var log: UInt64
        /// The number of the first record after the point.
        public var sequence: UInt64

        public init(log: UInt64, sequence: UInt64) {
            self.log = log
            self.sequence = sequence
        }
    }

    /// The contents as they are now, and the point in the log to which a recovery can come back. All bytes are with the
    /// kernel when this returns, so that they survive this process; after a power cut only what was synced is there.
    /// The records up to the point are kept until `release` or the next call. `mayCompact`: nobody wants to come back to the
    /// former point; with `points`, only if it is one of these, since another call may have given one that is wanted. Throws
    /// also when the name of a log that was compacted can't be brought to the disk; the former point is kept then.
    public func settle(
        mayCompact: Bool, knowing points: [Point]? = nil
    ) throws(Errno) -> (snapshot: Snapshot, point: Point) {
        try locked { (writer) throws(Errno) in
            try flushTail(&writer)
            let former = writer.heldPoint
            if mayCompact, former.flatMap({ points?.contains($0) }) ?? true {
                writer.heldPoint = nil
                compactIfWorthwhile(&writer)
            }
            do throws(Errno) {
                try keepName(&writer)
            } catch {
                writer.heldPoint = former
                throw error
            }
            let contents = contents.withLock { $0 }
            let point = Point(log: contents.log.identifier, sequence: writer.sequence)
            writer.heldPoint = point
            return (Snapshot(contents: contents, store: store), point)
        }
    }

    /// A row with a point of a rewritten log may outlive a power cut by chance. So must the log's name then: the log that had
    /// it before does not know the point, and what was promised of it would be gone.
    private func keepName(_ writer: inout LogWriter) throws(Errno) {
        let log = contents.withLock { $0.log.identifier }
        if writer.isNameDurable || Log.rewriteCount(log) == 0 { return }
        try store.disk.syncDirectory(path.removingLastComponent())
        writer.isNameDurable = true
    }

    /// Nobody wants to come back to `point` any more. Changes nothing when a later call of `settle` has given another.
    public func release(_ point: Point) {
        writer.withLock { if $0.heldPoint == point { $0.heldPoint = nil } }
    }

    /// Covers `range` (cut at `size`) without gaps, in order. Answers SEEK_DATA and SEEK_HOLE too.
    public func extents(_ range: Range<Int64>) -> [Extent] { contents.withLock { $0.extents(range) } }

    /// Reads bytes that `extents` calls staged or zeros; what was cut off since then reads as zeros. `.ioError` when a
    /// record does not open: never wrong bytes. `.invalidArgument` when a part is the base's.
    public func read(_ range: Range<Int64>, into destination: UnsafeMutableRawBufferPointer) throws(Errno) {
        let plan = contents.withLock { ReadPlan($0, range, into: destination) }
        try plan.run(into: destination, store.pool)
    }

    /// Writes past the end leave a hole of zeros between. `.fileTooLarge` past the largest offset there is.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(Errno) {
        if bytes.isEmpty { return }
        guard offset >= 0 else { throw .invalidArgument }
        guard !offset.addingReportingOverflow(Int64(bytes.count)).overflow else { throw .fileTooLarge }
        try locked { (writer) throws(Errno) in
            if keepInTail(bytes, at: offset) { return }
            if contents.withLock({ $0.tail.end }) != offset { try flushTail(&writer) }
            try append(bytes, at: offset, &writer)
            compactIfWorthwhile(&writer)
        }
    }

    /// Cuts the file, or grows it with zeros: what was cut off never comes back.
    public func truncate(to size: Int64) throws(Errno) {
        guard size >= 0 else { throw .invalidArgument }
        try locked { (writer) throws(Errno) in
            if contents.withLock({ $0.size }) == size { return }
            try flushTail(&writer)
            try append(.size, offset: size, length: 0, &writer)
            compactIfWorthwhile(&writer)
        }
    }

    /// Makes a range zeros; grows the file only if `growing`.
    public func zero(_ range: Range<Int64>, growing: Bool) throws(Errno) {
        guard range.lowerBound >= 0 else { throw .invalidArgument }
        try locked { (writer) throws(Errno) in
            let range = growing ? range : range.clamped(to: 0..<contents.withLock { $0.size })
            if range.isEmpty { return }
            try flushTail(&writer)
            try append(.zeros, offset: range.lowerBound, length: Int64(range.count), &writer)
            compactIfWorthwhile(&writer)
        }
    }

    /// Returns when everything written before is on the disk (fdatasync). After a failure the disk may have lost what it
    /// had taken, so the next call writes all of the log anew before it reports success.
    public func sync() throws(Errno) {
        try syncing.withLock { (_) throws(Errno) in try syncAlone() }
    }

    private func syncAlone() throws(Errno) {
        let (log, isNameDurable) = try locked { (writer) throws(Errno) in
            try flushTail(&writer)
            if writer.hasSyncFailed { try renew(&writer) }
            return (contents.withLock { $0.log }, writer.isNameDurable)
        }
        do throws(Errno) {
            try log.file.syncData()
        } catch {
            writer.withLock { $0.hasSyncFailed = true }
            throw error
        }
        if isNameDurable { return }
        try store.disk.syncDirectory(path.removingLastComponent())
        writer.withLock { writer in
            // A compaction meanwhile has given the name to another log; its name is the next call's.
            if contents.withLock({ $0.log === log }) { writer.isNameDurable = true }
        }
    }

    /// Deletes the log; snapshots stay readable, and so does this, until it goes.
    public func discard() {
        writer.withLock { writer in
            writer.isDiscarded = true
            writer.isNameDurable = true
            // What can't be deleted is found among the leftovers of the next run.
            try? store.disk.remove(path)
        }
    }

    private func locked<R: Sendable>(_ body: (inout LogWriter) throws(Errno) -> R) throws(Errno) -> R {
        try writer.withLock { (writer) throws(Errno) in try body(&writer) }
    }
}

extension StagedFile {
    /// A fixed view of the contents: later writes do not change what it gives. Keeps the log's bytes alive.
    public struct Snapshot: Sendable {
        let contents: Contents
        let store: Store

        /// Bytes of the whole file.
        public var size: Int64 { contents.size }
        /// The file's generation when the snapshot was made.
        public var generation: UInt64 { contents.generation }

        /// Covers `range` (cut at `size`) without gaps, in order.
        public func extents(_ range: Range<Int64>) -> [Extent] { contents.extents(range) }

        /// Reads bytes that `extents` calls staged or zeros. `.ioError` when a record does not open: never wrong bytes.
        /// `.invalidArgument` when a part is the base's.
        public func read(_ range: Range<Int64>, into destination: UnsafeMutableRawBufferPointer) throws(Errno) {
            try ReadPlan(contents, range, into: destination).run(into: destination, store.pool)
        }
    }
}
