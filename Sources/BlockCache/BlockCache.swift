import Bytes
import ObjectStore
import Sealing
import Logging
import SystemPackage

/// The bytes of object versions that this disk holds, sealed. Never fetches.
public final class BlockCache: Sendable {
    /// Bytes.
    public static let blockSize = 64 << 10

    /// Reads bytes of a version into `destination`, which is filled from its start.
    /// Returns how many leading bytes were there: 0 is a miss. A damaged block is a miss.
    public func read(
        _ version: ObjectVersion, offset: Int64, into destination: UnsafeMutableRawBufferPointer
    ) -> Int { 0 }

    /// Keeps bytes of a version. `offset` is a multiple of the block size; `bytes` is whole blocks, or ends where the
    /// object (of `size` bytes) ends. Never throws: what can't be kept is not kept.
    public func write(_ version: ObjectVersion, size: Int64, offset: Int64, _ bytes: UnsafeRawBufferPointer) {}

    /// How many bytes from `offset` on are (very likely) there without a gap, at most `limit`; cheap, reads no data.
    public func availableCount(_ version: ObjectVersion, offset: Int64, limit: Int) -> Int { 0 }

    /// Protects a version from eviction until as many `unpin`s.
    public func pin(_ version: ObjectVersion) {}
    public func unpin(_ version: ObjectVersion) {}

    public let limit: Int64
    public init(directory: FilePath, key: SealingKey?, limit: Int64, space: String, logger: Logger) throws(Errno) { self.limit = limit }
    public func usage() -> (bytes: Int64, limit: Int64) { (0, limit) }
}
