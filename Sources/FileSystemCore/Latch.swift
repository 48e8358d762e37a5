import Synchronization
import SystemPackage

/// A result that one side gives once and any number of tasks wait for. A waiter that is cancelled stops waiting with
/// EINTR; what it waited for goes on.
final class Latch<Value: Sendable>: Sendable {
    typealias Outcome = Result<Value, Errno>

    private struct State {
        var outcome: Outcome?
        var waiters: [Int: CheckedContinuation<Outcome, Never>] = [:]
        var nextWaiter = 0
    }
    /// Guards the state; continuations are resumed after it is let go.
    private let state = Mutex(State())

    /// The first call decides; later ones change nothing.
    func resolve(_ outcome: Outcome) {
        let waiters = state.withLock { state in
            guard state.outcome == nil else { return [CheckedContinuation<Outcome, Never>]() }
            state.outcome = outcome
            defer { state.waiters = [:] }
            // In the order they came, so that a run can be repeated.
            return state.waiters.sorted { $0.key < $1.key }.map(\.value)
        }
        for waiter in waiters { waiter.resume(returning: outcome) }
    }

    var outcome: Outcome? { state.withLock { $0.outcome } }

    func wait() async throws(Errno) -> Value {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Outcome, Never>) in
                let now: Outcome? = state.withLock { state in
                    if let outcome = state.outcome { return outcome }
                    if Task.isCancelled { return .failure(.interrupted) }
                    state.waiters[id] = continuation
                    return nil
                }
                if let now { continuation.resume(returning: now) }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiters.removeValue(forKey: id) }
            waiter?.resume(returning: .failure(.interrupted))
        }
        return try outcome.get()
    }

    /// As `wait`, but gives up with `late` when `patience` has passed.
    func wait(atMost patience: Duration, late: Errno, _ clock: VolumeClock) async throws(Errno) -> Value {
        let outcome = await withTaskGroup(of: Outcome?.self) { group in
            group.addTask { () async -> Outcome? in
                do throws(Errno) { return .success(try await self.wait()) } catch { return .failure(error) }
            }
            group.addTask { () async -> Outcome? in
                do { try await clock.sleep(patience) } catch { return nil }
                return .failure(late)
            }
            var first: Outcome?
            while first == nil, let next = await group.next() { first = next }
            group.cancelAll()
            return first ?? .failure(.interrupted)
        }
        return try outcome.get()
    }
}
