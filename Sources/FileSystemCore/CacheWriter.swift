import BlockCache
import Bytes
import ObjectStore

/// What a reader wants of the disk cache; see `BlockCache`.
protocol CleanBlocks: Sendable {
    func read(_ version: ObjectVersion, offset: Int64, into destination: UnsafeMutableRawBufferPointer) -> Int
    func write(_ version: ObjectVersion, size: Int64, offset: Int64, _ bytes: UnsafeRawBufferPointer)
    func availableCount(_ version: ObjectVersion, offset: Int64, limit: Int) -> Int
}

extension BlockCache: CleanBlocks {}

/// Puts writes to the cache in a row: while one waits for the disk, the other threads serve readers.
actor CacheWriter {
    private let cache: any CleanBlocks
    private let pool: BufferPool

    init(_ cache: any CleanBlocks, _ pool: BufferPool) {
        self.cache = cache
        self.pool = pool
    }

    /// Seals the bytes of `part`, which `window` has, and gives them to the disk. False: somebody waits for memory, and
    /// goes first.
    func write(_ part: Range<Int64>, of window: Window, _ identity: ObjectVersion, size: Int64) -> Bool {
        if pool.wantedByteCount > 0 { return false }
        let start = Int(part.lowerBound - window.range.lowerBound)
        window.buffer.withBytes(start..<start + part.count) {
            cache.write(identity, size: size, offset: part.lowerBound, $0)
        }
        return true
    }
}
