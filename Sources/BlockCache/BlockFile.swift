import Disk
import Glibc
import SQLite
import Sealing
import Synchronization
import SystemPackage

/// The open file of one object version. Reading takes no lock; writing is one thread at a time.
///
/// Between processes the file is locked by byte ranges, never waiting (fcntl(2), open file description locks): a writer
/// locks the groups it writes, an evictor all of them and the pin byte, a pinning process shares the pin byte.
final class BlockFile: Sendable {
    let name: VersionName
    let file: OpenFile
    /// The same file, to read tables by: around a table are holes, and reading those ahead would fill memory with zeros.
    private let tables: OpenFile
    let isReadOnly: Bool
    let generation: Generation
    private let blockGuard: BlockGuard

    /// Puts this process's writers in order. Held over sealing, the disk and the index; readers take it only to look
    /// again at a block that did not open.
    let writing = Mutex(Writing())

    struct Writing: Sendable {
        /// Which row of the index is this file's; nil before the first write looked.
        var incarnation: Int64?
        /// Bytes charged in the index that no block uses yet.
        var credit: Int64 = 0
    }

    /// Far behind all blocks: an object has at most 5 TiB (S3's limit).
    static let blocksRange: Range<Int64> = 0..<(1 << 50)
    private static let pinRange: Range<Int64> = (1 << 50)..<(1 << 50) + 1
    /// Shared by the processes that hold credit.
    static let creditRange: Range<Int64> = (1 << 50) + 1..<(1 << 50) + 2

    init(_ name: VersionName, _ file: OpenFile, isReadOnly: Bool, _ generation: Generation, _ blockGuard: BlockGuard) {
        self.name = name
        self.file = file
        tables = (try? file.forScatteredReads()) ?? file
        self.isReadOnly = isReadOnly
        self.generation = generation
        self.blockGuard = blockGuard
    }

    deinit { releaseCredit() }

    /// Gives back what is charged and not used.
    func releaseCredit() {
        writing.withLock { writing in
            guard let incarnation = writing.incarnation, writing.credit > 0 else { return }
            do throws(SQLiteError) {
                try generation.index.release(writing.credit, name, incarnation)
                writing.credit = 0
            } catch {
                // Too much stays charged until somebody next opens the file for writing.
            }
        }
    }

    var unusedCredit: Int64 { writing.withLock { $0.credit } }

    /// The file was evicted: its name is gone or belongs to another.
    var isGone: Bool {
        guard let status = try? file.status() else { return true }
        return status.linkCount == 0
    }

    /// Shows other processes that they should not evict the file.
    func setPinned(_ isPinned: Bool) {
        // Best effort: without it another process may evict, and this one reads the bytes from S3 again.
        if isPinned {
            _ = try? file.lockRange(Self.pinRange, .shared)
        } else {
            file.unlockRange(Self.pinRange)
        }
    }

    /// Frees the file's space and removes it, unless another process is writing or has pinned it.
    static func evict(_ path: FilePath) throws(Errno) -> Bool {
        let file: OpenFile
        do throws(Errno) {
            file = try OpenFile(path, O_RDWR)
        } catch .noSuchFileOrDirectory {
            return true
        }
        guard try file.lockRange(blocksRange, .exclusive), try file.lockRange(pinRange, .exclusive) else {
            return false
        }
        // Emptied first: who has it open still would keep the space.
        try file.truncate(to: 0)
        try Directory.remove(path)
        return true
    }

    // MARK: - Blocks

    /// An entry of a table.
    struct Entry: Sendable {
        var length: Int
        var seal: Seal

        /// Nil when absent, or no length that a block can have.
        init?(_ bytes: UnsafeRawBufferPointer) {
            let length = UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
            guard (1...UInt32(BlockLayout.blockByteCount)).contains(length) else { return nil }
            self.length = Int(length)
            seal = Seal(loading: .init(rebasing: bytes[4...]))
        }

        init(length: Int, seal: Seal) {
            self.length = length
            self.seal = seal
        }

        func store(into bytes: UnsafeMutableRawBufferPointer) {
            bytes.storeBytes(of: UInt32(length).littleEndian, as: UInt32.self)
            seal.store(into: .init(rebasing: bytes[4...]))
        }
    }

    /// The entries of `blocks`, all of one group.
    func entries(_ blocks: Range<Int64>) throws(Errno) -> [Entry?] {
        let byteCount = blocks.count * BlockLayout.entryByteCount
        let position = BlockLayout.entryPosition(block: blocks.lowerBound)
        let result: Result<[Entry?], Errno> = withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: 8) {
            table in
            Result { () throws(Errno) in
                let count = try tables.read(at: position, into: table)
                return (0..<blocks.count).map { index in
                    let start = index * BlockLayout.entryByteCount
                    guard start + BlockLayout.entryByteCount <= count else { return nil }
                    return Entry(.init(rebasing: table[start..<start + BlockLayout.entryByteCount]))
                }
            }
        }
        return try result.get()
    }

    func protect(
        _ plaintext: UnsafeRawBufferPointer, block: Int64, into target: UnsafeMutableRawBufferPointer
    ) -> Entry {
        let seal = withAdditionalData(block, plaintext.count) {
            blockGuard.protect(plaintext, additionalData: $0, into: target)
        }
        return Entry(length: plaintext.count, seal: seal)
    }

    /// Opens a block where it lies.
    func open(_ bytes: UnsafeMutableRawBufferPointer, _ entry: Entry, block: Int64) -> Bool {
        withAdditionalData(block, entry.length) {
            blockGuard.open(UnsafeRawBufferPointer(bytes), seal: entry.seal, additionalData: $0, into: bytes)
        }
    }

    private func withAdditionalData<R>(_ block: Int64, _ length: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        withUnsafeTemporaryAllocation(byteCount: name.bytes.count + 12, alignment: 8) { buffer in
            buffer.copyBytes(from: name.bytes)
            buffer.storeBytes(of: block.littleEndian, toByteOffset: name.bytes.count, as: Int64.self)
            buffer.storeBytes(of: UInt32(length).littleEndian, toByteOffset: name.bytes.count + 8, as: UInt32.self)
            return body(UnsafeRawBufferPointer(buffer))
        }
    }
}
