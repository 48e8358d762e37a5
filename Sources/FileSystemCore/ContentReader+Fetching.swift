import BlockCache
import Bytes
import ObjectStore
import Synchronization
import SystemPackage

extension ContentReader {
    /// How much memory a fetch may take.
    enum Share {
        /// As long as what is reserved for demand reads stays free.
        case ahead
        case withinLimit
        case inAnyCase
    }

    private static let smallestAhead: Int64 = 1 << 20
    /// Bytes sealed in one go, whole groups of the cache: few enough to be still in the processor's cache.
    private static let keptAtOnce: Int64 = 1 << 20

    /// Reading ahead leaves the rest to demand reads.
    private var aheadLimit: Int { pool.limit - min(pool.limit / 4, 16 << 20) }

    // MARK: What to fetch

    /// Starts fetching what is missing of `range`, as far as there is memory; the read itself waits for more. What is to be
    /// fetched after it, up to `end`, comes with the same request where that makes it no large one.
    func demand(_ source: Source, _ range: Range<Int64>, through end: Int64) {
        forEachGap(source, range) { offset in
            let isShort = end - offset <= Self.smallestAhead
            return start(source, offset..<(isShort ? end : range.upperBound), .demandRead, .withinLimit)
        }
    }

    /// Starts fetching ahead what is missing of `range`, as far as memory allows.
    ///
    /// A long range is fetched in few large requests: what is left at its end waits until it is one, unless most of the
    /// range is missing.
    func prefetch(_ source: Source, _ range: Range<Int64>) {
        let piece = max(min(Int64(range.count) / 4, Self.largestFetch), Self.smallestAhead)
        forEachGap(source, range) { offset in
            let isShort = range.upperBound - offset < piece && range.upperBound < source.size
            if isShort, piece > Self.smallestAhead, offset - range.lowerBound > Int64(range.count) / 2 { return nil }
            return start(source, offset..<min(range.upperBound, offset + piece), .prefetch, .ahead, for: range)
        }
    }

    /// Calls `fetch` for each place of `range` that is neither in memory nor on the disk, until it gives nil.
    private func forEachGap(_ source: Source, _ range: Range<Int64>, _ fetch: (Int64) -> Window?) {
        var offset = range.lowerBound
        while offset < range.upperBound {
            if let window = table.withLock({ $0.find(source.identity, offset) }) {
                offset = window.range.upperBound
                continue
            }
            let onDisk =
                cache?.availableCount(source.identity, offset: offset, limit: Int(range.upperBound - offset)) ?? 0
            if onDisk > 0 {
                offset += Int64(onDisk)
                continue
            }
            guard let window = fetch(offset) else { return }
            offset = window.range.upperBound
        }
    }

    /// Starts a fetch from the block where `wanted` begins, to its end, the next window or the end of the object; or finds
    /// the window that has it. Nil: there is no memory for it. `ahead` is what the memory is not taken from.
    @discardableResult
    func start(
        _ source: Source, _ wanted: Range<Int64>, _ context: RequestContext, _ share: Share,
        for ahead: Range<Int64>? = nil
    ) -> Window? {
        while true {
            let (known, range) = table.withLock {
                ($0.find(source.identity, wanted.lowerBound), gap($0, source, wanted))
            }
            if let known { return known }
            guard let buffer = lend(range.count, share, sparing: ahead.map { (source.identity, $0) }) else {
                return nil
            }
            let added: Window? = table.withLock { table in
                // Another thread may have been quicker, or a window beside the gap may have gone.
                guard gap(table, source, wanted) == range else { return nil }
                let window = Window(range: range, buffer)
                table.add(window, source.identity)
                return window
            }
            guard let added else { continue }
            Task(executorPreference: executor) { await self.fetch(source, added, context) }
            return added
        }
    }

    private func gap(_ table: WindowTable, _ source: Source, _ wanted: Range<Int64>) -> Range<Int64> {
        table.gap(
            source.identity, wanted.lowerBound, upTo: wanted.upperBound, size: source.size,
            block: Int64(BlockCache.blockSize), limit: Self.largestFetch)
    }

    // MARK: Memory

    private func lend(
        _ count: Int, _ share: Share, sparing spared: (identity: ObjectVersion, range: Range<Int64>)?
    ) -> ByteBuffer? {
        if case .inAnyCase = share { return pool.buffer(capacity: count) }
        let bound = if case .ahead = share { aheadLimit } else { pool.limit }
        if let buffer = pool.buffer(capacity: count, within: bound) { return buffer }
        makeRoom(for: count, within: bound, sparing: spared)
        return pool.buffer(capacity: count, within: bound)
    }

    /// Lets windows go that nobody works on, those used longest ago first, until `count` more bytes fit.
    private func makeRoom(
        for count: Int, within bound: Int, sparing spared: (identity: ObjectVersion, range: Range<Int64>)? = nil
    ) {
        while pool.lentByteCount > 0, pool.lentByteCount + count > bound {
            guard let window = table.withLock({ $0.removeOldest(sparing: spared) }) else { return }
            withExtendedLifetime(window) {}
        }
    }

    /// For a demand read that has no memory yet. False: it was interrupted.
    func waitForRoom(_ wanted: Range<Int64>) async -> Bool {
        let count = min(wanted.count, Int(Self.largestFetch)) + BlockCache.blockSize
        return await pool.waitForRoom(count) { makeRoom(for: count, within: pool.limit) }
    }

    // MARK: The fetch

    private func fetch(_ source: Source, _ window: Window, _ context: RequestContext) async {
        async let isKept = keep(source, window)
        do {
            try await transfer(source, window, context)
            window.finish(nil)
        } catch {
            table.withLock { $0.remove(window, source.identity) }
            window.finish(error)
        }
        window.settle(isKept: await isKept)
        table.withLock { _ = $0.removeIfSpent(window, source.identity) }
        let wanted = pool.wantedByteCount
        if wanted > 0 { makeRoom(for: wanted, within: pool.limit) }
    }

    /// Gives the bytes to the disk cache as they come; true: all of them. Readers who wait for memory go before the cache:
    /// then the rest is not kept.
    private func keep(_ source: Source, _ window: Window) async -> Bool {
        guard let writer else { return false }
        var offset = window.range.lowerBound
        while offset < window.range.upperBound {
            let end = min((offset / Self.keptAtOnce + 1) * Self.keptAtOnce, window.range.upperBound)
            do throws(Errno) { try await window.wait(until: end) } catch { return false }
            guard await writer.write(offset..<end, of: window, source.identity, size: source.size) else { return false }
            offset = end
        }
        return true
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
