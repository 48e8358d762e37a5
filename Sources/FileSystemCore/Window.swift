import Bytes
import ObjectStore
import Synchronization
import SystemPackage

/// A range of an object that is being fetched, or has been, in memory. Readers wait for the bytes that they need, not
/// for the whole range.
final class Window: Sendable {
    let range: Range<Int64>
    /// Has room for the range at least.
    let buffer: ByteBuffer

    private struct State {
        /// Bytes that are there, from the start of the range.
        var valid = 0
        var failure: Errno?
        var isFinished = false
        /// Nobody works on it any more.
        var isSettled = false
        var isKept = false
        var waiters: [Int: (needed: Int, continuation: CheckedContinuation<Errno?, Never>)] = [:]
        var nextWaiter = 0
    }
    /// Guards the state; continuations are resumed after it is let go.
    private let state = Mutex(State())

    init(range: Range<Int64>, _ buffer: ByteBuffer) {
        precondition(buffer.capacity >= range.count, "the range does not fit the buffer")
        self.range = range
        self.buffer = buffer
    }

    /// The fetch has ended, and so has the writing to the disk cache.
    var isSettled: Bool { state.withLock { $0.isSettled } }
    /// Settled, and all of it was given to the disk cache.
    var isKept: Bool { state.withLock { $0.isKept } }

    /// The part of `wanted` that is there already, from its start, or nil.
    func slice(_ wanted: Range<Int64>) -> ByteSlice? {
        let part = wanted.clamped(to: range)
        guard !part.isEmpty, part.lowerBound == wanted.lowerBound else { return nil }
        let (from, to) = (Int(part.lowerBound - range.lowerBound), Int(part.upperBound - range.lowerBound))
        return state.withLock { $0.valid } >= to ? ByteSlice(buffer, from..<to) : nil
    }

    /// More bytes have come.
    func advance(to count: Int) {
        wake { state in
            state.valid = max(state.valid, count)
            return state.waiters.filter { $0.value.needed <= count }.map { ($0.key, nil) }
        }
    }

    /// The fetch has ended.
    func finish(_ failure: Errno?) {
        wake { state in
            state.isFinished = true
            state.failure = failure
            return state.waiters.map { ($0.key, $0.value.needed <= state.valid ? nil : failure ?? .ioError) }
        }
    }

    /// Nobody works on it any more.
    func settle(isKept: Bool) {
        state.withLock { state in
            state.isSettled = true
            state.isKept = isKept
        }
    }

    private func wake(_ change: (inout sending State) -> [(id: Int, failure: Errno?)]) {
        let woken = state.withLock { state in
            change(&state).sorted { $0.id < $1.id }.compactMap { done in
                state.waiters.removeValue(forKey: done.id).map { ($0.continuation, done.failure) }
            }
        }
        for (continuation, failure) in woken { continuation.resume(returning: failure) }
    }

    /// Returns when the window holds everything up to `end`, an offset in the file.
    func wait(until end: Int64) async throws(Errno) {
        let needed = Int(min(end, range.upperBound) - range.lowerBound)
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        let failure = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Errno?, Never>) in
                let now: Errno?? = state.withLock { state in
                    if state.valid >= needed { return .some(nil) }
                    if state.isFinished { return .some(state.failure ?? .ioError) }
                    if Task.isCancelled { return .some(.interrupted) }
                    state.waiters[id] = (needed, continuation)
                    return nil
                }
                if let now { continuation.resume(returning: now) }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiters.removeValue(forKey: id) }
            waiter?.continuation.resume(returning: .interrupted)
        }
        if let failure { throw failure }
    }
}
