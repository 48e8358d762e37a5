import ObjectStore

/// The windows of all object versions that readers find. A value without a lock: its owner has one.
///
/// What is taken out is returned and must be let go of outside that lock, because the memory goes back then.
struct WindowTable: Sendable {
    private struct Held {
        let window: Window
        var lastUsed: UInt64
        /// Bytes that readers have got of it.
        var taken = 0
    }

    private var windows: [ObjectVersion: [Held]] = [:]
    private var clock: UInt64 = 0

    /// The window that holds or will hold the byte at `offset`.
    mutating func find(_ identity: ObjectVersion, _ offset: Int64) -> Window? {
        guard let index = windows[identity]?.firstIndex(where: { $0.window.range.contains(offset) }) else { return nil }
        clock += 1
        windows[identity]?[index].lastUsed = clock
        return windows[identity]?[index].window
    }

    /// The bytes from `offset` on that no window has, and those before it of the same block: up to `end`, in whole blocks
    /// of `block` bytes, or to the end of the object. Empty when a window has the byte at `offset`.
    func gap(
        _ identity: ObjectVersion, _ offset: Int64, upTo end: Int64, size: Int64, block: Int64, limit: Int64
    ) -> Range<Int64> {
        let others = windows[identity, default: []].map(\.window.range)
        if others.contains(where: { $0.contains(offset) }) { return offset..<offset }
        let before = others.map(\.upperBound).filter { $0 <= offset }.max() ?? 0
        let lower = max(offset / block * block, before)
        let after = others.map(\.lowerBound).filter { $0 > offset }.min() ?? size
        let upper = min((end + block - 1) / block * block, lower + limit, size, after)
        return lower..<max(upper, offset + 1)
    }

    mutating func add(_ window: Window, _ identity: ObjectVersion) {
        clock += 1
        windows[identity, default: []].append(Held(window: window, lastUsed: clock))
    }

    /// Readers have got `count` more bytes.
    mutating func noteTaken(_ count: Int, of window: Window, _ identity: ObjectVersion) {
        guard let index = windows[identity]?.firstIndex(where: { $0.window === window }) else { return }
        windows[identity]?[index].taken += count
    }

    /// Takes a window out that was read to the end and whose bytes the disk cache has; true if it did.
    mutating func removeIfSpent(_ window: Window, _ identity: ObjectVersion) -> Bool {
        guard window.isKept, let held = windows[identity]?.first(where: { $0.window === window }),
            held.taken >= window.range.count
        else { return false }
        remove(window, identity)
        return true
    }

    mutating func remove(_ window: Window, _ identity: ObjectVersion) {
        windows[identity]?.removeAll { $0.window === window }
        if windows[identity]?.isEmpty == true { windows[identity] = nil }
    }

    /// Takes out the window that was used longest ago among those that nobody works on any more. `spared`: what somebody
    /// reads ahead for just now.
    mutating func removeOldest(sparing spared: (identity: ObjectVersion, range: Range<Int64>)? = nil) -> Window? {
        var oldest: (held: Held, identity: ObjectVersion)?
        for (identity, all) in windows {
            for held in all where held.window.isSettled && held.lastUsed < oldest?.held.lastUsed ?? .max {
                if let spared, spared.identity == identity, spared.range.overlaps(held.window.range) { continue }
                oldest = (held, identity)
            }
        }
        guard let oldest else { return nil }
        remove(oldest.held.window, oldest.identity)
        return oldest.held.window
    }
}
