import BlockCache
import Bytes
import ObjectStore
import Synchronization
import SystemPackage

/// Gives the clean bytes of object versions: from memory, from the disk cache, or fetched, each byte at most once at a
/// time whoever asks.
///
/// All of them are counted from the start of the fetch until they are sealed on the disk and every reader has been
/// answered. Reading ahead stops at the limit. A demand read waits there for memory, and until then the windows that wait
/// for the disk are not kept, so that no disk, however slow or full, holds a reader up for longer than one write.
final class ContentReader: Sendable {
    /// One version's bytes and where they are now.
    struct Source: Sendable {
        /// What the bytes are cached under.
        let identity: ObjectVersion
        /// Bytes.
        let size: Int64
        /// The version to fetch now; a rename that is committed meanwhile changes it.
        let location: @Sendable () -> ObjectVersion?
        /// Told what is stored beside the bytes when some of them are fetched.
        var noteAttributes: (@Sendable (ObjectAttributes) -> Void)?
    }

    static let largestFetch: Int64 = 8 << 20

    let store: any ObjectStore
    let cache: (any CleanBlocks)?
    let writer: CacheWriter?
    /// The memory of everything that was fetched or read from the disk, until the last who has it lets go.
    let pool: BufferPool
    /// True while the network is known to be down: nothing is then fetched.
    let isDown: @Sendable () -> Bool
    let noteUnreachable: @Sendable () -> Void
    let executor: (any TaskExecutor)?
    /// Guards the table only; nothing is fetched, read, waited for or freed under it.
    let table = Mutex(WindowTable())

    /// - Parameter memoryLimit: Bytes for what is fetched. Reading ahead leaves a part of it free; a demand read waits
    ///   while it is used up.
    init(
        store: any ObjectStore, cache: (any CleanBlocks)?, memoryLimit: Int64, isDown: @escaping @Sendable () -> Bool,
        noteUnreachable: @escaping @Sendable () -> Void, executor: (any TaskExecutor)? = nil
    ) {
        self.isDown = isDown
        self.noteUnreachable = noteUnreachable
        self.executor = executor
        self.store = store
        self.cache = cache
        let pool = BufferPool(limit: Int(memoryLimit))
        self.pool = pool
        writer = cache.map { CacheWriter($0, pool) }
    }

    /// All of `range`, if it is in memory or on this disk; never waits for the network.
    func available(_ source: Source, _ range: Range<Int64>) -> [ByteSlice]? {
        var pieces: [Piece] = []
        var offset = range.lowerBound
        while offset < range.upperBound {
            let rest = offset..<range.upperBound
            // What a window does not have yet the disk does not have either.
            let window = table.withLock { $0.find(source.identity, offset) }
            guard let slice = window.map({ $0.longestSlice(rest) }) ?? onDisk(source, rest) else { return nil }
            pieces.append(Piece(slice: slice, window: window))
            offset += Int64(slice.count)
        }
        return take(pieces, source)
    }

    /// All of `range`, waiting for what has to be fetched; starts fetching `ahead` (which contains it) too.
    func read(_ source: Source, _ range: Range<Int64>, ahead: Range<Int64>) async throws(Errno) -> [ByteSlice] {
        demand(source, range, through: ahead.upperBound)
        prefetch(source, ahead)
        var pieces: [Piece] = []
        var offset = range.lowerBound
        while offset < range.upperBound {
            let rest = offset..<range.upperBound
            var window = table.withLock { $0.find(source.identity, offset) }
            if window == nil, let slice = onDisk(source, rest) {
                pieces.append(Piece(slice: slice, window: nil))
                offset += Int64(slice.count)
                continue
            }
            // Who waits for memory has none, and so keeps nobody else waiting.
            window = window ?? start(source, rest, .demandRead, pieces.isEmpty ? .withinLimit : .inAnyCase)
            guard let window else {
                guard await waitForRoom(rest) else { throw .interrupted }
                continue
            }
            try await window.wait(until: min(range.upperBound, window.range.upperBound))
            // Taken from the window itself: under pressure it may have left the table already.
            guard let slice = window.longestSlice(rest) else { throw .ioError }
            pieces.append(Piece(slice: slice, window: window))
            offset += Int64(slice.count)
        }
        return take(pieces, source)
    }

    // MARK: Places to look

    private struct Piece {
        let slice: ByteSlice
        /// Nil: from the disk.
        let window: Window?
    }

    /// Notes that a reader gets these; a window that was read to its end then makes place for the next.
    private func take(_ pieces: [Piece], _ source: Source) -> [ByteSlice] {
        for case (let slice, let window?) in pieces.map({ ($0.slice, $0.window) }) {
            table.withLock { table in
                table.noteTaken(slice.count, of: window, source.identity)
                _ = table.removeIfSpent(window, source.identity)
            }
        }
        return pieces.map(\.slice)
    }

    private func onDisk(_ source: Source, _ wanted: Range<Int64>) -> ByteSlice? {
        guard let cache else { return nil }
        // In any case: it is answered at once.
        let buffer = pool.buffer(capacity: wanted.count)
        let count = cache.read(source.identity, offset: wanted.lowerBound, into: buffer.writable)
        return count > 0 ? ByteSlice(buffer, 0..<count) : nil
    }
}
