import Synchronization

/// Holds tasks until it is opened, and tells when they have come: the way to fix an order of events in a test without
/// waiting for time to pass.
public final class Gate: Sendable {
    /// Continuations are taken out under the lock and resumed after it is given back.
    private struct State {
        var isOpen = false
        var arrivals = 0
        var nextID = 0
        var held: [Int: CheckedContinuation<Void, Never>] = [:]
        var watchers: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }
    private let state = Mutex(State())

    public init() {}

    /// Lets everybody through, now and from now on.
    public func open() {
        let held = state.withLock { state in
            state.isOpen = true
            defer { state.held = [:] }
            return Array(state.held.values)
        }
        for continuation in held { continuation.resume() }
    }

    /// Returns when the gate is open, or the task was cancelled.
    public func pass() async {
        let (id, watchers) = state.withLock { state in
            state.nextID += 1
            state.arrivals += 1
            let arrivals = state.arrivals
            let ready = state.watchers.filter { $0.count <= arrivals }
            state.watchers.removeAll { $0.count <= arrivals }
            return (state.nextID, ready)
        }
        for watcher in watchers { watcher.continuation.resume() }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isFree = state.withLock { state in
                    if state.isOpen || Task.isCancelled { return true }
                    state.held[id] = continuation
                    return false
                }
                if isFree { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.held.removeValue(forKey: id) }?.resume()
        }
    }

    /// Returns when `count` tasks in all have come to the gate.
    public func arrived(_ count: Int = 1) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.arrivals >= count { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
    }
}
