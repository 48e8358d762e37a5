import ObjectStore

/// The local changes that S3 does not have yet: the middle layer between base and view.
///
/// Besides the queue it knows, for each key and each directory prefix above it, how many changes are queued below and
/// when the last one was made or committed, so that a listing that was begun earlier cannot undo a change.
struct Overlay: Sendable {
    private(set) var committer: Committer
    /// Files of renamed directories that are not in the queue yet.
    var moves = DeferredMoves()
    /// Counts changes and commits; never goes back.
    private(set) var changeNumber: UInt64 = 1
    private var lastChanges: [[UInt8]: UInt64] = [:]
    /// Old changes are forgotten when there are more than this.
    private var pruneCount = 10_000
    private var pendingCounts: [[UInt8]: Int] = [:]
    /// What to do when the lock is let go, in order.
    private(set) var actions: [Committer.Action] = []
    /// The beginnings of the listings that are under way.
    private var listingStarts: [UInt64: Int] = [:]

    init(committer: Committer) { self.committer = committer }

    mutating func takeChangedIntents() -> Set<IntentID> { committer.takeChanged() }
    mutating func takeChangedNodes() -> Set<InodeNumber> { committer.takeChangedNodes() }

    /// Puts intents back that an earlier run had queued.
    mutating func restore(_ intents: [Intent]) {
        committer.restore(intents)
        for intent in intents {
            count(intent.key, 1)
            note(intent.key)
        }
    }

    /// An intent of an earlier run is not wanted back: the journal forgets it.
    mutating func forget(_ intent: Intent) { committer.forget(intent.id) }

    mutating func takeActions() -> [Committer.Action] {
        defer { actions = [] }
        return actions
    }

    // MARK: Changes

    /// Notes that `key` changed here, or that a change of it was committed.
    mutating func note(_ key: ObjectKey) {
        changeNumber += 1
        for prefix in Self.selfAndAncestors(key.bytes) { lastChanges[prefix] = changeNumber }
        if lastChanges.count > pruneCount { prune() }
    }

    /// True when a listing that began at `start` says nothing reliable about `key` (or, with a `/` at its end, about
    /// the directory of that prefix).
    func hidesListing(_ key: [UInt8], since start: UInt64) -> Bool {
        hasPending(key) || (lastChanges[key] ?? 0) > start
    }

    /// True when a listing that began at `start` may show a directory's marker that is being deleted, or was since: it is
    /// that of another directory, which had the name before.
    func hidesMarker(_ prefix: KeyPrefix, since start: UInt64) -> Bool {
        (lastChanges[prefix.bytes] ?? 0) > start
            || ObjectKey(prefix.bytes).map { committer.hasIntents(for: $0) } ?? false
    }

    func hasPending(_ key: [UInt8]) -> Bool {
        if pendingCounts[key] != nil { return true }
        return !moves.isEmpty && ObjectKey(key).map { moves.contains($0) } ?? false
    }

    /// Files in the directory of `prefix` (their old one) are to be moved.
    mutating func deferMoves(_ files: [(inode: InodeNumber, key: ObjectKey)], in prefix: KeyPrefix) {
        guard !files.isEmpty else { return }
        for file in files { moves.add(file.inode, at: file.key) }
        count(prefixes: Self.selfAndAncestors(prefix.bytes + [0]).dropFirst(), files.count)
        changeNumber += 1
        for prefix in Self.selfAndAncestors(prefix.bytes + [0]).dropFirst() { lastChanges[prefix] = changeNumber }
    }

    /// The file whose bytes are at `key` is about to be queued.
    mutating func takeMove(at key: ObjectKey) -> InodeNumber? {
        guard let inode = moves.remove(at: key) else { return nil }
        count(prefixes: Self.selfAndAncestors(key.bytes).dropFirst(), -1)
        return inode
    }

    mutating func beginListing() -> UInt64 {
        listingStarts[changeNumber, default: 0] += 1
        return changeNumber
    }

    mutating func endListing(_ start: UInt64) {
        if let count = listingStarts[start] { listingStarts[start] = count > 1 ? count - 1 : nil }
    }

    // MARK: Queue

    mutating func add(
        _ kind: Intent.Kind, key: ObjectKey, source: ObjectKey? = nil, inode: InodeNumber?, place: Place,
        requires: IntentID? = nil, now: Duration, delay: Duration = .zero, isHeld: Bool = false
    ) -> IntentID {
        // What is stored replaces what S3 would not delete.
        if kind != .delete { for refused in committer.refusedDeletes(of: key) { _ = drop(refused) } }
        let (id, more) = committer.add(
            kind, key: key, source: source, inode: inode, place: place, requires: requires, now: now, delay: delay,
            isHeld: isHeld)
        count(key, 1)
        note(key)
        actions += more
        return id
    }

    mutating func finished(_ intent: Intent, _ result: Committer.Result, now: Duration, jitter: Double) {
        let intent = committer.intent(intent.id) ?? intent
        actions += committer.finished(intent.id, result, now: now, jitter: jitter)
        settle(intent)
    }

    /// Takes an intent that has not begun out of the queue, as if it were done. False when it is running or gone.
    mutating func drop(_ intent: Intent) -> Bool {
        guard committer.drop(intent.id) else { return false }
        settle(intent)
        actions.append(.settled(intent.id, nil))
        return true
    }

    /// Takes an intent that has not begun, and the deletions that come after it, out of the queue: what is to take their
    /// place is about to be queued.
    mutating func withdraw(_ id: IntentID) -> [Intent] {
        let withdrawn = committer.dropWithDependents(id)
        for intent in withdrawn { settle(intent) }
        return withdrawn
    }

    /// Who waits for something withdrawn waits for nothing more.
    mutating func settle(withdrawn intent: Intent) { actions.append(.settled(intent.id, nil)) }

    /// Gives up an intent that has failed or not begun, with what depends on it. `error`: what those are told who wait for it.
    mutating func giveUp(_ id: IntentID, because error: ObjectStoreError? = nil) {
        for intent in committer.dropWithDependents(id) {
            settle(intent)
            actions.append(.settled(intent.id, error))
        }
    }

    /// Gives a running intent another key to write.
    mutating func move(_ intent: Intent, to key: ObjectKey, _ place: Place) {
        count(intent.key, -1)
        note(intent.key)
        committer.move(intent.id, to: key, place)
        count(key, 1)
        note(key)
    }

    /// Makes an intent and what stands before it due now.
    mutating func expedite(_ id: IntentID, now: Duration) { actions += committer.expedite(id, now: now) }

    mutating func tryAgain(_ id: IntentID) { committer.tryAgain(id) }

    /// Tries again what S3 refused: it says something else now.
    mutating func revive(_ id: IntentID, now: Duration) { actions += committer.revive(id, now: now) }

    mutating func release(_ id: IntentID, now: Duration) { actions += committer.release(id, now: now) }
    mutating func tick(now: Duration) { actions += committer.tick(now: now) }
    mutating func hurry(now: Duration, retryFailed: Bool = false) {
        actions += committer.hurry(now: now, retryFailed: retryFailed)
    }

    private mutating func settle(_ intent: Intent) {
        guard !committer.contains(intent.id) else { return }
        count(intent.key, -1)
        note(intent.key)
    }

    private mutating func count(_ key: ObjectKey, _ change: Int) {
        count(prefixes: Self.selfAndAncestors(key.bytes)[...], change)
    }

    private mutating func count(prefixes: ArraySlice<[UInt8]>, _ change: Int) {
        for prefix in prefixes {
            let count = (pendingCounts[prefix] ?? 0) + change
            pendingCounts[prefix] = count > 0 ? count : nil
        }
    }

    private mutating func prune() {
        let oldest = listingStarts.keys.min() ?? changeNumber
        lastChanges = lastChanges.filter { $0.value > oldest }
        // What a long listing keeps must not be gone through again at each change.
        pruneCount = max(10_000, 2 * lastChanges.count)
    }

    /// The key itself, and each prefix of it that ends in `/`.
    private static func selfAndAncestors(_ key: [UInt8]) -> [[UInt8]] {
        var found = [key]
        for index in key.indices.dropLast() where key[index] == UInt8(ascii: "/") { found.append(Array(key[...index])) }
        return found
    }
}
