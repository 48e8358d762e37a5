import HeapModule
import ObjectStore

/// Decides which intent runs when. A state machine: events in, actions out, no I/O, clock or randomness of its own.
///
/// Two intents run at once unless they share a key; those that share one keep the order in which they were added. A
/// delete that requires another intent also waits for that. At most `width` run at once. A transient failure is tried
/// again with growing pauses for as long as the mount lives; what S3 refuses for good stays, failed, at the head of its
/// keys until it is retried or dropped.
struct Committer: Sendable {
    enum Action: Sendable {
        case run(Intent)
        /// Call `tick` at that time (on the volume's clock).
        case wake(at: Duration)
        /// Tell who waits for this intent that it is done or has failed for good.
        case settled(IntentID, ObjectStoreError?)
        /// Tell who waits for these intents that it takes longer: they stay in the queue.
        case stalled([IntentID], ObjectStoreError)
    }

    enum Result: Sendable {
        case done
        /// The same once more, on what is known now.
        case again
        case failed(ObjectStoreError)
    }

    private enum Phase: Sendable {
        case queued(notBefore: Duration)
        case running
        case failed(ObjectStoreError)

        var isRunning: Bool { if case .running = self { true } else { false } }
    }

    private struct Item: Sendable {
        var intent: Intent
        var phase: Phase
        var attempts = 0
        /// Waits for somebody to let it go: a deletion of a file that is still open.
        var isHeld = false
        /// Somebody asked for another try while this one was under way: should it be refused, that is not the answer.
        var isTriedAgain = false
        var lastError: ObjectStoreError?
    }

    /// How many intents run at once.
    let width: Int
    private var items: [IntentID: Item] = [:]
    /// For each key, the intents that name it, oldest first.
    private var queues: [ObjectKey: [IntentID]] = [:]
    /// Who waits for an intent because it requires it.
    private var dependents: [IntentID: [IntentID]] = [:]
    /// When `tick` has been asked for and has not come yet.
    private var wakeAt: Duration?
    private var runningCount = 0
    private var nextID: UInt64 = 1
    /// Intents that were added, changed or removed, and the nodes whose state they store.
    private var changed: Set<IntentID> = []
    private var changedNodes: Set<InodeNumber> = []
    /// How many intents store something of a node.
    private var counts: [InodeNumber: Int] = [:]

    /// A fault on purpose: nothing waits for anything.
    private let ignoresOrder: Bool

    init(width: Int = 32, ignoresOrder: Bool = false) {
        self.width = width
        self.ignoresOrder = ignoresOrder
    }

    var isEmpty: Bool { items.isEmpty }
    var count: Int { items.count }
    func hasIntents(for key: ObjectKey) -> Bool { queues[key] != nil }
    func contains(_ id: IntentID) -> Bool { items[id] != nil }

    var intents: [(intent: Intent, isRunning: Bool, isHeld: Bool, failure: ObjectStoreError?)] {
        items.values.sorted { $0.intent.id < $1.intent.id }.map { item in
            switch item.phase {
            case .queued: (item.intent, false, item.isHeld, item.lastError)
            case .running: (item.intent, true, item.isHeld, item.lastError)
            case .failed(let error): (item.intent, false, item.isHeld, error)
            }
        }
    }

    /// What was refused for good, and all that cannot run before it has.
    var stuck: Set<IntentID> {
        items.values.reduce(into: []) { found, item in
            guard case .failed = item.phase, !found.contains(item.intent.id) else { return }
            found.formUnion(blocked(by: item.intent.id))
        }
    }

    func intent(_ id: IntentID) -> Intent? { items[id]?.intent }

    /// What is queued to be stored of a node, oldest first.
    func intents(of inode: InodeNumber) -> [(intent: Intent, isRunning: Bool)] {
        items.values.filter { $0.intent.inode == inode && $0.intent.kind != .delete }
            .sorted { $0.intent.id < $1.intent.id }.map { ($0.intent, $0.phase.isRunning) }
    }

    mutating func takeChanged() -> Set<IntentID> {
        defer { changed = [] }
        return changed
    }

    mutating func takeChangedNodes() -> Set<InodeNumber> {
        defer { changedNodes = [] }
        return changedNodes
    }

    mutating func forget(_ id: IntentID) { changed.insert(id) }

    /// True while something of a node is to be stored.
    func stores(_ inode: InodeNumber) -> Bool { counts[inode] != nil }

    private mutating func count(_ intent: Intent, _ change: Int) {
        guard intent.kind != .delete, let inode = intent.inode else { return }
        let count = (counts[inode] ?? 0) + change
        counts[inode] = count > 0 ? count : nil
        changedNodes.insert(inode)
    }

    /// Puts intents back that an earlier run had queued. One that requires what is gone requires nothing.
    mutating func restore(_ intents: [Intent]) {
        let intents = intents.sorted { $0.order < $1.order }
        // A conflict that gave an intent another key to write has put it behind others there, and left it where it was at its
        // source: what waits for it there still stands behind it.
        var places: [ObjectKey: [(number: UInt64, id: IntentID)]] = [:]
        for intent in intents {
            nextID = max(nextID, intent.id.value + 1, intent.order + 1)
            items[intent.id] = Item(intent: intent, phase: .queued(notBefore: .zero))
            count(intent, 1)
            for key in intent.keys {
                places[key, default: []].append((key == intent.key ? intent.order : intent.id.value, intent.id))
            }
        }
        for (key, list) in places { queues[key] = list.sorted { $0.number < $1.number }.map(\.id) }
        for intent in intents {
            guard let requires = intent.requires else { continue }
            if items[requires] != nil {
                dependents[requires, default: []].append(intent.id)
            } else {
                items[intent.id]?.intent.requires = nil
                changed.insert(intent.id)
            }
        }
        for intent in intents { consider(intent.id) }
    }

    /// True for an intent that S3 has refused for good, and that waits for somebody to do something about it.
    func isRefused(_ id: IntentID) -> Bool {
        if case .failed = items[id]?.phase { true } else { false }
    }

    /// The last trouble that an intent met, while it is still queued.
    func lastError(_ id: IntentID) -> ObjectStoreError? { items[id]?.lastError }

    // MARK: Events

    /// Adds a change. `delay`: how long it may wait for another change to take its place.
    mutating func add(
        _ kind: Intent.Kind, key: ObjectKey, source: ObjectKey? = nil, inode: InodeNumber?, place: Place,
        requires: IntentID? = nil, now: Duration, delay: Duration = .zero, isHeld: Bool = false
    ) -> (id: IntentID, actions: [Action]) {
        let intent = Intent(
            id: IntentID(value: nextID), order: nextID, kind: kind, key: key, source: source, inode: inode,
            requires: requires, place: place)
        nextID += 1
        changed.insert(intent.id)
        if let requires, items[requires] != nil { dependents[requires, default: []].append(intent.id) }
        items[intent.id] = Item(intent: intent, phase: .queued(notBefore: now + delay), isHeld: isHeld)
        count(intent, 1)
        for key in intent.keys {
            queues[key, default: []].append(intent.id)
            // A held intent gives way to a newer change of its key.
            if let first = queues[key]?.first, first != intent.id { consider(first) }
        }
        consider(intent.id)
        return (intent.id, next(now: now))
    }

    mutating func finished(_ id: IntentID, _ result: Result, now: Duration, jitter: Double) -> [Action] {
        guard var item = items[id] else { return next(now: now) }
        runningCount -= 1
        switch result {
        case .done:
            remove(id)
            return [.settled(id, nil)] + next(now: now)
        case .again:
            // Somebody else's change is behind this: one who changes it all the time must not keep us busy.
            item.attempts += 1
            item.phase = .queued(
                notBefore: item.attempts < 3 ? now : now + Self.pause(after: item.attempts, jitter: jitter))
            items[id] = item
            consider(id)
            return next(now: now)
        case .failed(let error) where error.isTransient || error.code == .signInNeeded || error.code == .cancelled:
            item.attempts += 1
            item.lastError = error
            item.phase = .queued(notBefore: now + Self.pause(after: item.attempts, jitter: jitter))
            items[id] = item
            consider(id)
            return [.stalled(blocked(by: id), error)] + next(now: now)
        case .failed(let error) where item.isTriedAgain:
            item.isTriedAgain = false
            item.lastError = error
            item.phase = .queued(notBefore: now)
            items[id] = item
            consider(id)
            return next(now: now)
        case .failed(let error):
            item.lastError = error
            item.phase = .failed(error)
            items[id] = item
            return [.settled(id, error), .stalled(blocked(by: id), error)] + next(now: now)
        }
    }

    mutating func tick(now: Duration) -> [Action] {
        if let time = wakeAt, time <= now { wakeAt = nil }
        return next(now: now)
    }

    /// Makes everything due now: somebody wants to know that S3 has it, or the network came back.
    mutating func hurry(now: Duration, retryFailed: Bool = false) -> [Action] {
        for (id, item) in items {
            switch item.phase {
            case .queued(let notBefore) where notBefore > now: items[id]?.phase = .queued(notBefore: now)
            case .failed where retryFailed: retry(id, now)
            case .running where retryFailed: items[id]?.isTriedAgain = true
            case .queued, .running, .failed: continue
            }
            consider(id)
        }
        return next(now: now)
    }

    /// Makes an intent, and everything that stands before it, due now, also what S3 refused before: somebody waits, and is
    /// told how it ends.
    mutating func expedite(_ id: IntentID, now: Duration) -> [Action] {
        var found: Set<IntentID> = [id]
        var waiting = [id]
        while let next = waiting.popLast() {
            guard let item = items[next] else { continue }
            switch item.phase {
            case .queued(let notBefore) where notBefore > now: items[next]?.phase = .queued(notBefore: now)
            case .failed: retry(next, now)
            case .queued, .running: break
            }
            consider(next)
            let before = item.intent.keys.flatMap { (queues[$0] ?? []).prefix { $0 != next } }
            for other in before + (item.intent.requires.map { [$0] } ?? []) where found.insert(other).inserted {
                waiting.append(other)
            }
        }
        return self.next(now: now)
    }

    /// Somebody wants one that is under way to be tried again, should it be refused.
    mutating func tryAgain(_ id: IntentID) {
        if items[id]?.phase.isRunning == true { items[id]?.isTriedAgain = true }
    }

    /// Makes an intent due again if S3 has refused it.
    mutating func revive(_ id: IntentID, now: Duration) -> [Action] {
        guard case .failed = items[id]?.phase else { return [] }
        retry(id, now)
        consider(id)
        return next(now: now)
    }

    /// Deletions of `key` that S3 has refused.
    func refusedDeletes(of key: ObjectKey) -> [Intent] {
        (queues[key] ?? []).compactMap { id in
            guard let item = items[id], case .failed = item.phase, item.intent.kind == .delete else { return nil }
            return item.intent
        }
    }

    /// Gives a running intent another key to write, behind what is queued there.
    mutating func move(_ id: IntentID, to key: ObjectKey, _ place: Place) {
        guard var item = items[id], item.phase.isRunning, item.intent.key != key else { return }
        let old = Set(item.intent.keys)
        item.intent.move(to: key, place, order: nextID)
        nextID += 1
        items[id] = item
        changed.insert(id)
        for key in item.intent.keys where !old.contains(key) { queues[key, default: []].append(id) }
        for key in old.subtracting(item.intent.keys) { leave(key, id) }
    }

    /// Drops an intent that has not begun. False when it is running, or gone.
    mutating func drop(_ id: IntentID) -> Bool {
        guard let item = items[id], !item.phase.isRunning else { return false }
        remove(id)
        return true
    }

    /// Lets a held intent go.
    mutating func release(_ id: IntentID, now: Duration) -> [Action] {
        items[id]?.isHeld = false
        consider(id)
        return next(now: now)
    }

    /// The intents that name `key`, oldest first, with whether each is running.
    func intents(for key: ObjectKey) -> [(intent: Intent, isRunning: Bool)] {
        (queues[key] ?? []).compactMap { id in items[id].map { ($0.intent, $0.phase.isRunning) } }
    }

    // MARK: Inside

    private struct Due: Comparable, Sendable {
        let at: Duration
        let id: IntentID
        static func < (a: Due, b: Due) -> Bool { a.at == b.at ? a.id < b.id : a.at < b.at }
    }

    /// What may run, by when; may hold entries that no longer count.
    private var delayed = Heap<Due>()

    /// Gives up an intent that is not running, and the delete of its source with it: the source is the only copy then.
    mutating func dropWithDependents(_ id: IntentID) -> [Intent] {
        guard let item = items[id], !item.phase.isRunning else { return [] }
        let given = dependents.removeValue(forKey: id) ?? []
        remove(id)
        return [item.intent] + given.flatMap { dropWithDependents($0) }
    }

    /// True when something that names `key` cannot run before an intent.
    func isBehind(_ id: IntentID, at key: ObjectKey) -> Bool {
        guard let queue = queues[key] else { return false }
        return !Set(queue).isDisjoint(with: blocked(by: id))
    }

    /// The intent and all that cannot run before it.
    private func blocked(by id: IntentID) -> [IntentID] {
        var found: Set<IntentID> = [id]
        var waiting = [id]
        while let next = waiting.popLast() {
            for key in items[next]?.intent.keys ?? [] {
                for other in (queues[key] ?? []).drop(while: { $0 != next }) where found.insert(other).inserted {
                    waiting.append(other)
                }
            }
            for other in dependents[next] ?? [] where found.insert(other).inserted { waiting.append(other) }
        }
        return found.sorted()
    }

    private mutating func remove(_ id: IntentID) {
        guard let item = items.removeValue(forKey: id) else { return }
        changed.insert(id)
        count(item.intent, -1)
        for key in item.intent.keys { leave(key, id) }
        for other in dependents.removeValue(forKey: id) ?? [] { consider(other) }
    }

    private mutating func retry(_ id: IntentID, _ now: Duration) {
        items[id]?.phase = .queued(notBefore: now)
        items[id]?.lastError = nil
    }

    private mutating func leave(_ key: ObjectKey, _ id: IntentID) {
        queues[key]?.removeAll { $0 == id }
        if let first = queues[key]?.first { consider(first) } else { queues[key] = nil }
    }

    /// True when nothing stands before an intent.
    private func isFree(_ intent: Intent) -> Bool {
        if ignoresOrder { return true }
        return intent.keys.allSatisfy { queues[$0]?.first == intent.id }
            && intent.requires.map { items[$0] == nil } ?? true
    }

    /// Notes an intent that stands first at each of its keys, so that `next` finds it without a search.
    private mutating func consider(_ id: IntentID) {
        guard let item = items[id], case .queued(let notBefore) = item.phase, isFree(item.intent) else { return }
        if item.isHeld, item.intent.keys.allSatisfy({ (queues[$0]?.count ?? 0) < 2 }) { return }
        delayed.insert(Due(at: notBefore, id: id))
    }

    /// Starts what may start, oldest due first.
    private mutating func next(now: Duration) -> [Action] {
        var actions: [Action] = []
        while runningCount < width, let due = delayed.min {
            guard due.at <= now else {
                if wakeAt.map({ due.at < $0 }) ?? true {
                    wakeAt = due.at
                    actions.append(.wake(at: due.at))
                }
                break
            }
            delayed.removeMin()
            // An entry may be out of date: dropped, hurried, or already running.
            guard let item = items[due.id], case .queued(let notBefore) = item.phase, notBefore <= now,
                isFree(item.intent)
            else { continue }
            items[due.id]?.phase = .running
            runningCount += 1
            actions.append(.run(item.intent))
        }
        return actions
    }

    /// Full jitter between a tenth and all of 1, 2, 4 … 60 seconds.
    private static func pause(after attempts: Int, jitter: Double) -> Duration {
        let ceiling = min(Double(1 << min(attempts - 1, 6)), 60)
        return .seconds(ceiling * (0.1 + 0.9 * jitter))
    }
}
