import BlockCache
import Bytes
import ObjectStore
import Synchronization
import SystemPackage

/// Gives the clean bytes of object versions: from memory, from the disk cache, or fetched, each byte at most once at a
/// time whoever asks.
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

    private struct Held {
        let window: Window
        var lastUsed: UInt64
    }

    private struct State {
        var windows: [ObjectVersion: [Held]] = [:]
        /// Bytes of all windows.
        var total: Int64 = 0
        var clock: UInt64 = 0
    }

    private static let largestFetch: Int64 = 8 << 20

    private let store: any ObjectStore
    private let cache: BlockCache?
    /// Bytes that windows may take; a demand read may go over it by what it asks for.
    private let memoryLimit: Int64
    /// True while the network is known to be down: nothing is then fetched.
    private let isDown: @Sendable () -> Bool
    private let noteUnreachable: @Sendable () -> Void
    private let executor: (any TaskExecutor)?
    /// Guards the table of windows only; nothing is fetched, read or waited for under it.
    private let state = Mutex(State())

    init(
        store: any ObjectStore, cache: BlockCache?, memoryLimit: Int64, isDown: @escaping @Sendable () -> Bool,
        noteUnreachable: @escaping @Sendable () -> Void, executor: (any TaskExecutor)? = nil
    ) {
        self.isDown = isDown
        self.noteUnreachable = noteUnreachable
        self.executor = executor
        self.store = store
        self.cache = cache
        self.memoryLimit = memoryLimit
    }

    /// All of `range`, if it is in memory or on this disk; never waits for the network.
    func available(_ source: Source, _ range: Range<Int64>) -> [ByteSlice]? {
        var slices: [ByteSlice] = []
        var offset = range.lowerBound
        while offset < range.upperBound {
            guard
                let slice = inMemory(source.identity, offset..<range.upperBound)
                    ?? onDisk(source, offset..<range.upperBound)
            else { return nil }
            slices.append(slice)
            offset += Int64(slice.count)
        }
        return slices
    }

    /// All of `range`, waiting for what has to be fetched; starts fetching `ahead` (which contains it) too.
    func read(_ source: Source, _ range: Range<Int64>, ahead: Range<Int64>) async throws(Errno) -> [ByteSlice] {
        prefetch(source, range, isDemand: true)
        prefetch(source, ahead, isDemand: false)
        var slices: [ByteSlice] = []
        var offset = range.lowerBound
        while offset < range.upperBound {
            let rest = offset..<range.upperBound
            if let slice = inMemory(source.identity, rest) ?? onDisk(source, rest) {
                slices.append(slice)
                offset += Int64(slice.count)
                continue
            }
            let window =
                find(source.identity, offset) ?? start(source, offset, upTo: range.upperBound, .demandRead)
            try await window.wait(until: min(range.upperBound, window.range.upperBound))
            // Taken from the window itself: under pressure it may have left the table already.
            guard let slice = window.longestSlice(rest) else { throw .ioError }
            slices.append(slice)
            offset += Int64(slice.count)
        }
        return slices
    }

    /// Starts fetching what is missing of `range`, as far as memory allows, or, for a demand, in any case.
    func prefetch(_ source: Source, _ range: Range<Int64>, isDemand: Bool) {
        var offset = range.lowerBound
        let piece = max(min(Int64(range.count) / 4, Self.largestFetch), 1 << 20)
        while offset < range.upperBound {
            if let window = find(source.identity, offset) {
                offset = window.range.upperBound
                continue
            }
            let onDisk =
                cache?.availableCount(
                    source.identity, offset: offset, limit: Int(range.upperBound - offset)) ?? 0
            if onDisk > 0 {
                offset += Int64(onDisk)
                continue
            }
            guard isDemand || hasRoom(piece) else { return }
            let end = isDemand ? range.upperBound : min(range.upperBound, offset + piece)
            offset = start(source, offset, upTo: end, isDemand ? .demandRead : .prefetch).range.upperBound
        }
    }

    /// Forgets a version's bytes in memory.
    func drop(_ identity: ObjectVersion) {
        state.withLock { state in
            for held in state.windows.removeValue(forKey: identity) ?? [] {
                state.total -= Int64(held.window.range.count)
            }
        }
    }

    // MARK: Places to look

    private func inMemory(_ identity: ObjectVersion, _ wanted: Range<Int64>) -> ByteSlice? {
        find(identity, wanted.lowerBound)?.longestSlice(wanted)
    }

    private func onDisk(_ source: Source, _ wanted: Range<Int64>) -> ByteSlice? {
        guard let cache else { return nil }
        let buffer = ByteBuffer(capacity: wanted.count)
        let count = cache.read(source.identity, offset: wanted.lowerBound, into: buffer.writable)
        return count > 0 ? ByteSlice(buffer, 0..<count) : nil
    }

    /// A live window that holds or will hold the byte at `offset`.
    private func find(_ identity: ObjectVersion, _ offset: Int64) -> Window? {
        state.withLock { state in
            guard let index = state.windows[identity]?.firstIndex(where: { $0.window.range.contains(offset) }) else {
                return nil
            }
            state.clock += 1
            state.windows[identity]?[index].lastUsed = state.clock
            return state.windows[identity]?[index].window
        }
    }

    // MARK: Fetching

    /// Starts a fetch of whole blocks from the one at `offset` on, up to `end`, the next window or the end of the object.
    private func start(
        _ source: Source, _ offset: Int64, upTo end: Int64, _ context: RequestContext
    ) -> Window {
        let block = Int64(BlockCache.blockSize)
        let (window, isNew) = state.withLock { state in
            let others = state.windows[source.identity] ?? []
            if let found = others.first(where: { $0.window.range.contains(offset) }) { return (found.window, false) }
            let lower = max(
                offset / block * block, others.map(\.window.range.upperBound).filter { $0 <= offset }.max() ?? 0)
            var upper = min((end + block - 1) / block * block, lower + Self.largestFetch, source.size)
            upper = min(upper, others.map(\.window.range.lowerBound).filter { $0 > offset }.min() ?? upper)
            let window = Window(range: lower..<max(upper, offset + 1))
            Self.makeRoom(&state, for: Int64(window.range.count), limit: memoryLimit)
            state.clock += 1
            state.total += Int64(window.range.count)
            state.windows[source.identity, default: []].append(Held(window: window, lastUsed: state.clock))
            return (window, true)
        }
        if isNew { Task(executorPreference: executor) { await self.fetch(source, window, context) } }
        return window
    }

    private func hasRoom(_ count: Int64) -> Bool {
        state.withLock { state in
            Self.makeRoom(&state, for: count, limit: memoryLimit)
            return state.total + count <= memoryLimit
        }
    }

    /// Lets the windows go that are finished and were used longest ago, until `count` more bytes fit.
    private static func makeRoom(_ state: inout State, for count: Int64, limit: Int64) {
        guard state.total + count > limit else { return }
        let finished = state.windows.flatMap { identity, held in
            held.filter { $0.window.isFinished }.map { (identity, $0) }
        }
        for (identity, held) in finished.sorted(by: { $0.1.lastUsed < $1.1.lastUsed }) {
            guard state.total + count > limit else { return }
            remove(held.window, of: identity, from: &state)
        }
    }

    private static func remove(_ window: Window, of identity: ObjectVersion, from state: inout State) {
        guard let index = state.windows[identity]?.firstIndex(where: { $0.window === window }) else { return }
        state.windows[identity]?.remove(at: index)
        if state.windows[identity]?.isEmpty == true { state.windows[identity] = nil }
        state.total -= Int64(window.range.count)
    }

    private func fetch(_ source: Source, _ window: Window, _ context: RequestContext) async {
        do {
            try await transfer(source, window, context)
            window.buffer.withBytes(0..<window.buffer.capacity) { bytes in
                cache?.write(source.identity, size: source.size, offset: window.range.lowerBound, bytes)
            }
            window.finish(nil)
        } catch {
            state.withLock { Self.remove(window, of: source.identity, from: &$0) }
            window.finish(error)
        }
    }

    /// Fetches from where the bytes are; when a commit has moved them in the meantime, from there.
    private func transfer(_ source: Source, _ window: Window, _ context: RequestContext) async throws(Errno) {
        var tried: ObjectVersion?
        // A whole object is checked against its stored checksum before any of it is announced.
        var context = context
        if window.range == 0..<source.size { context.objectSize = source.size }
        context.noteAttributes = source.noteAttributes
        if isDown() { throw .networkUnreachable }
        while let location = source.location(), location != tried {
            tried = location
            do {
                let count = try await store.get(
                    location, range: window.range, into: window.buffer, context
                ) { window.advance(to: $0) }
                guard count == window.range.count else { throw Errno.ioError }
                window.advance(to: count)
                return
            } catch let error as ObjectStoreError {
                if error.code == .unreachable { noteUnreachable() }
                guard [.notFound, .preconditionFailed].contains(error.code) else { throw error.errno }
            } catch {
                throw .ioError
            }
        }
        throw .staleNFSFileHandle
    }
}

extension Window {
    /// As much of `wanted` as is there, from its start; nil when its first byte is not.
    func longestSlice(_ wanted: Range<Int64>) -> ByteSlice? {
        let part = wanted.lowerBound..<min(wanted.upperBound, range.upperBound)
        return part.isEmpty ? nil : slice(part)
    }
}
