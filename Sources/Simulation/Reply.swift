import ObjectStore
import Synchronization

/// The answer of one request: given once, by the server or by what cuts the connection, and waited for by one task.
final class Reply<Value: Sendable>: Sendable {
    typealias Outcome = Result<Value, ObjectStoreError>

    private struct State {
        var outcome: Outcome?
        var waiter: CheckedContinuation<Outcome, Never>?
    }
    /// The continuation is resumed after the lock is let go.
    private let state = Mutex(State())

    /// The first one counts.
    func resolve(_ outcome: Outcome) {
        let waiter = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
            guard state.outcome == nil else { return nil }
            state.outcome = outcome
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: outcome)
    }

    func wait() async -> Outcome {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Outcome, Never>) in
                let now = state.withLock { state -> Outcome? in
                    if state.outcome == nil { state.waiter = continuation }
                    return state.outcome
                }
                if let now { continuation.resume(returning: now) }
            }
        } onCancel: {
            resolve(.failure(ObjectStoreError(.cancelled, "The request was cancelled.")))
        }
    }
}
