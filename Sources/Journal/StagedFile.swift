import Bytes
import Sealing
import SystemPackage

/// The changed bytes of one file that are not on S3 yet: an append-only log of sealed records on disk, and in memory the
/// index of which bytes of the file lie in which record.
///
/// Any thread may call anything; calls that write to one file are put in order by the file's own lock.
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

    /// Where staged files live and what they are sealed with.
    public struct Store: Sendable {
        /// Makes an empty staged file over a base of `baseSize` bytes (0 for a new file).
        public func create(baseSize: Int64) throws(Errno) -> StagedFile { fatalError("replaced") }
    }

    /// A fixed view of the contents: later writes do not change what it gives. Keeps the log's bytes alive.
    public struct Snapshot: Sendable {
        /// Bytes of the whole file.
        public var size: Int64 { fatalError("replaced") }
        /// Covers `range` (cut at `size`) without gaps, in order.
        public func extents(_ range: Range<Int64>) -> [Extent] { fatalError("replaced") }
        /// Reads bytes that `extents` calls staged. `.ioError` when a record does not open: never wrong bytes.
        public func read(_ range: Range<Int64>, into destination: UnsafeMutableRawBufferPointer) throws(Errno) {
            fatalError("replaced")
        }
    }

    /// The file's size now.
    public var size: Int64 { fatalError("replaced") }
    /// Rises with each change of contents or size.
    public var generation: UInt64 { fatalError("replaced") }
    /// Disk space used, bytes.
    public var diskUsage: Int64 { fatalError("replaced") }

    public func snapshot() -> Snapshot { fatalError("replaced") }
    public func extents(_ range: Range<Int64>) -> [Extent] { fatalError("replaced") }
    public func read(_ range: Range<Int64>, into destination: UnsafeMutableRawBufferPointer) throws(Errno) {}
    /// Writes past the end leave a hole of zeros between.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(Errno) {}
    public func truncate(to size: Int64) throws(Errno) {}
    /// Makes a range zeros; grows the file only if `growing`.
    public func zero(_ range: Range<Int64>, growing: Bool) throws(Errno) {}
    /// Returns when everything written before is on the disk (fdatasync).
    public func sync() throws(Errno) {}
    /// Deletes the log; snapshots stay readable.
    public func discard() {}

    init() {}
}
