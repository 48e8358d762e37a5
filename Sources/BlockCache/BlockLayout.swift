/// How a version's blocks lie in its file.
///
/// The file is a row of groups, each a table of 4 KiB and then room for 16 blocks of 64 KiB: so the table and the data of
/// a megabyte lie side by side, and reading one takes two calls. Files are sparse: absent blocks take no room.
///
/// A table has 16 entries of 32 bytes: the block's length in bytes (4, little-endian; 0: absent; less than 64 KiB only
/// where the object ends) and its seal (28). The rest of the table is zeros.
enum BlockLayout {
    static let blockByteCount = BlockCache.blockSize
    static let blocksPerGroup = 16
    static let groupByteCount = blocksPerGroup * blockByteCount
    static let entryByteCount = 32
    static let tableByteCount = 4096
    static let groupStride = Int64(tableByteCount + groupByteCount)
    /// How many blocks are sealed before they are written: few enough to stay in the processor's cache.
    static let blocksPerWrite = 4
    /// What file systems hand out; the accounting counts in it.
    static let pageByteCount: Int64 = 4096

    static func tablePosition(group: Int64) -> Int64 { group * groupStride }

    static func entryPosition(block: Int64) -> Int64 {
        let (group, index) = block.quotientAndRemainder(dividingBy: Int64(blocksPerGroup))
        return group * groupStride + index * Int64(entryByteCount)
    }

    static func dataPosition(block: Int64) -> Int64 {
        let (group, index) = block.quotientAndRemainder(dividingBy: Int64(blocksPerGroup))
        return group * groupStride + Int64(tableByteCount) + index * Int64(blockByteCount)
    }

    /// Disk space of a block of `length` bytes.
    static func charge(blockLength length: Int) -> Int64 {
        (Int64(length) + pageByteCount - 1) / pageByteCount * pageByteCount
    }

    /// Disk space of all blocks of an object of `size` bytes, with their tables.
    static func charge(objectSize size: Int64) -> Int64 {
        let group = Int64(groupByteCount)
        let pages = size / pageByteCount + (size % pageByteCount > 0 ? 1 : 0)
        let groups = size / group + (size % group > 0 ? 1 : 0)
        return pages * pageByteCount + groups * Int64(tableByteCount)
    }
}
