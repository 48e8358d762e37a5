import Synchronization

/// Bounds the memory that uploads take: whoever needs more waits its turn.
final class MemoryBudget: Sendable {
    private struct Waiter {
        let count: Int
        let continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var free: Int
        var waiters: [Waiter] = []
    }

    private let limit: Int
    /// Guards the count and the queue; continuations are resumed after it is let go.
    private let state: Mutex<State>

    init(limit: Int) {
        self.limit = limit
        state = Mutex(State(free: limit))
    }

    /// Runs `body` with `count` bytes taken; a wish over the limit takes all of it.
    func withBytes<Value: Sendable, Failure: Error>(
        _ count: Int, _ body: () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let count = min(count, limit)
        await take(count)
        defer { give(count) }
        return try await body()
    }

    private func take(_ count: Int) async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let isFree = state.withLock { state in
                guard state.waiters.isEmpty, state.free >= count else {
                    state.waiters.append(Waiter(count: count, continuation: continuation))
                    return false
                }
                state.free -= count
                return true
            }
            if isFree { continuation.resume() }
        }
    }

    private func give(_ count: Int) {
        let woken = state.withLock { state in
            state.free += count
            var woken: [Waiter] = []
            while let first = state.waiters.first, first.count <= state.free {
                state.free -= first.count
                woken.append(state.waiters.removeFirst())
            }
            return woken
        }
        for waiter in woken { waiter.continuation.resume() }
    }
}
