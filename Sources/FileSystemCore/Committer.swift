import HeapModule
import ObjectStore

/// Decides which intent runs when. A state machine: events in, actions out, no I/O, clock or randomness of its own.
///
/// Two intents run at once unless they share a key; those that share one keep the order in which they were added.
/// At most `width` run at once. A transient failure is tried again with growing pauses for as long as the mount lives;
/// what S3 refuses for good stays, failed, at the head of its keys until a later change takes its place or it is dropped.
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
        var lastError: ObjectStoreError?
    }

    /// How many intents run at once.
    let width: Int
    private var items: [IntentID: Item] = [:]
    /// For each key, the intents that name it, oldest first.
    private var queues: [ObjectKey: [IntentID]] = [:]
    private var runningCount = 0
    private var nextID: UInt64 = 1

    init(width: Int = 32) { self.width = width }

    var isEmpty: Bool { items.isEmpty }
    var count: Int { items.count }
    func hasIntents(for key: ObjectKey) -> Bool { queues[key] != nil }
    func contains(_ id: IntentID) -> Bool { items[id] != nil }

    var intents: [(intent: Intent, isRunning: Bool, failure: ObjectStoreError?)] {
        items.values.sorted { $0.intent.id < $1.intent.id }.map { item in
            switch item.phase {
            case .queued: (item.intent, false, item.lastError)
            case .running: (item.intent, true, item.lastError)
            case .failed(let error): (item.intent, false, error)
            }
        }
    }

    /// The last trouble that an intent met, while it is still queued.
    func lastError(_ id: IntentID) -> ObjectStoreError? { items[id]?.lastError }

    // MARK: Events

    /// Adds a change. `delay`: how long it may wait for another change to take its place.
    mutating func add(
        _ kind: Intent.Kind, key: ObjectKey, source: ObjectKey? = nil, inode: InodeNumber?, place: Place,
        requires: IntentID? = nil, now: Duration, delay: Duration = .zero, isHeld: Bool = false
    ) -> (id: IntentID, replaced: [Intent], actions: [Action]) {
        let intent = Intent(
            id: IntentID(value: nextID), kind: kind, key: key, source: source, inode: inode,
            requires: requires, place: place)
        nextID += 1
        let replaced = dropFailures(of: intent.keys)
        items[intent.id] = Item(intent: intent, phase: .queued(notBefore: now + delay), isHeld: isHeld)
        for key in intent.keys {
            queues[key, default: []].append(intent.id)
            // A held intent gives way to a newer change of its key.
            if let first = queues[key]?.first, first != intent.id { consider(first) }
        }
        consider(intent.id)
        return (intent.id, replaced, replaced.map { .settled($0.id, nil) } + next(now: now))
    }

    mutating func finished(_ id: IntentID, _ result: Result, now: Duration, jitter: Double) -> [Action] {
        guard var item = items[id] else { return next(now: now) }
        runningCount -= 1
        switch result {
        case .done:
            remove(id)
            return [.settled(id, nil)] + next(now: now)
        case .failed(let error) where error.isTransient || error.code == .signInNeeded || error.code == .cancelled:
            item.attempts += 1
            item.lastError = error
            item.phase = .queued(notBefore: now + Self.pause(after: item.attempts, jitter: jitter))
            items[id] = item
            consider(id)
            return [.stalled(blocked(by: id), error)] + next(now: now)
        case .failed(let error):
            item.lastError = error
            item.phase = .failed(error)
            items[id] = item
            return [.settled(id, error), .stalled(blocked(by: id), error)] + next(now: now)
        }
    }

    mutating func tick(now: Duration) -> [Action] { next(now: now) }

    /// Makes everything due now: somebody wants to know that S3 has it, or the network came back.
    mutating func hurry(now: Duration, retryFailed: Bool = false) -> [Action] {
        for (id, item) in items {
            switch item.phase {
            case .queued(let notBefore) where notBefore > now: items[id]?.phase = .queued(notBefore: now)
            case .failed where retryFailed: items[id]?.phase = .queued(notBefore: now)
            case .queued, .running, .failed: continue
            }
            consider(id)
        }
        return next(now: now)
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

    /// A failed change of the same keys gives way to the new one, and takes with it what depended on it.
    private mutating func dropFailures(of keys: [ObjectKey]) -> [Intent] {
        var dropped: [Intent] = []
        for id in keys.flatMap({ queues[$0] ?? [] }) {
            guard let item = items[id], case .failed = item.phase else { continue }
            dropped += dropWithDependents(id)
        }
        return dropped
    }

    /// Gives up an intent that is not running, and the delete of its source with it: the source is the only copy then.
    mutating func dropWithDependents(_ id: IntentID) -> [Intent] {
        guard let item = items[id], !item.phase.isRunning else { return [] }
        let dependents = item.intent.keys.flatMap { queues[$0] ?? [] }.filter { items[$0]?.intent.requires == id }
        remove(id)
        return [item.intent] + dependents.flatMap { dropWithDependents($0) }
    }

    /// The intent and all that cannot run before it.
    private func blocked(by id: IntentID) -> [IntentID] {
        var found: Set<IntentID> = [id]
        var waiting = [id]
        while let next = waiting.popLast() {
            for key in items[next]?.intent.keys ?? [] {
                for other in queues[key] ?? [] where other > next && found.insert(other).inserted {
                    waiting.append(other)
                }
            }
        }
        return found.sorted()
    }

    private mutating func remove(_ id: IntentID) {
        guard let item = items.removeValue(forKey: id) else { return }
        for key in item.intent.keys {
            queues[key]?.removeAll { $0 == id }
            if let first = queues[key]?.first { consider(first) } else { queues[key] = nil }
        }
    }

    /// Notes an intent that stands first at each of its keys, so that `next` finds it without a search.
    private mutating func consider(_ id: IntentID) {
        guard let item = items[id], case .queued(let notBefore) = item.phase,
            item.intent.keys.allSatisfy({ queues[$0]?.first == id })
        else { return }
        if item.isHeld, item.intent.keys.allSatisfy({ (queues[$0]?.count ?? 0) < 2 }) { return }
        delayed.insert(Due(at: notBefore, id: id))
    }

    /// Starts what may start, oldest due first.
    private mutating func next(now: Duration) -> [Action] {
        var actions: [Action] = []
        while runningCount < width, let due = delayed.min {
            guard due.at <= now else {
                actions.append(.wake(at: due.at))
                break
            }
            delayed.removeMin()
            // An entry may be out of date: dropped, hurried, or already running.
            guard let item = items[due.id], case .queued(let notBefore) = item.phase, notBefore <= now,
                item.intent.keys.allSatisfy({ queues[$0]?.first == due.id })
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
