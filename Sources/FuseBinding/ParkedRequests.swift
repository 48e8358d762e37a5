import CFuse
import FileSystemCore
import Synchronization
import SystemPackage

/// The requests whose answers wait for something, each with the task that will know.
///
/// Whoever takes a request out of `waiting` answers it, so a task that ends, an interrupt and the end of the session may
/// meet in any order. The number of requests is bounded by the kernel: one per waiting thread, and as many reads ahead as
/// `max_background` allows.
final class ParkedRequests: Sendable {
    private struct State {
        var waiting: [ObjectIdentifier: ParkedRequest] = [:]
        /// Requests taken out whose reply is being sent.
        var replying = 0
        /// No request comes in any more.
        var isClosed = false
    }

    // Innermost lock: nothing is called while it is held.
    private let state = Mutex(State())
    private let drained = Semaphore()
    private let executor: (any TaskExecutor)?

    init(executor: (any TaskExecutor)?) {
        self.executor = executor
    }

    /// Runs `work` in a task and answers with its outcome. An interrupted caller cancels the task.
    func run<R: Reply>(
        _ request: consuming FuseRequest, _ work: @escaping @Sendable () async throws(Errno) -> R.Value, as reply: R,
        isInterruptible: Bool
    ) {
        let parked = ParkedRequest(request.release(), isInterruptible: isInterruptible)
        guard admit(parked) else {
            FuseRequest(parked.raw).fail(.interrupted)
            return
        }
        // May call back at once, and so cancels before there is a task; `attach` knows.
        fuse_req_interrupt_func(
            parked.raw, { _, parked in parked.map(ParkedRequest.interrupt) },
            Unmanaged.passUnretained(parked).toOpaque())
        let task = Task(executorPreference: executor) {
            do throws(Errno) {
                let value = try await work()
                self.finish(parked) { reply.send(value, to: $0) }
            } catch {
                self.finish(parked) { $0.fail(error) }
            }
        }
        parked.attach(task)
    }

    /// Ends every wait with EINTR, by way of its task. Requests keep coming in.
    func cancelAll() {
        for parked in state.withLock({ Array($0.waiting.values) }) { parked.cancel() }
    }

    /// Answers every request with EINTR without waiting for its task, and returns when no request is in use any more.
    /// To be called when no thread takes requests from the kernel.
    func close() {
        let (abandoned, mustWait) = state.withLock { state in
            let abandoned = Array(state.waiting.values)
            state.waiting = [:]
            state.isClosed = true
            return (abandoned, state.replying > 0)
        }
        for parked in abandoned {
            parked.cancel()
            parked.answer { $0.fail(.interrupted) }
        }
        if mustWait { drained.wait() }
    }

    private func admit(_ parked: ParkedRequest) -> Bool {
        state.withLock { state in
            guard !state.isClosed else { return false }
            state.waiting[ObjectIdentifier(parked)] = parked
            return true
        }
    }

    private func finish(_ parked: ParkedRequest, _ reply: (consuming FuseRequest) -> Void) {
        let isOurs = state.withLock { state in
            guard state.waiting.removeValue(forKey: ObjectIdentifier(parked)) != nil else { return false }
            state.replying += 1
            return true
        }
        guard isOurs else { return }
        parked.answer(reply)
        let isLast = state.withLock { state in
            state.replying -= 1
            return state.isClosed && state.replying == 0
        }
        if isLast { drained.signal() }
    }
}

/// A request that waits, and its task.
private final class ParkedRequest: Sendable {
    private struct Waiting {
        var task: Task<Void, Never>?
        var isCancelled = false
    }

    // The pointer is libfuse's; it is used before the task starts and then by the one who took the request out of
    // `waiting`, never by two.
    nonisolated(unsafe) let raw: fuse_req_t
    private let isInterruptible: Bool
    private let waiting = Mutex(Waiting())

    init(_ raw: fuse_req_t, isInterruptible: Bool) {
        self.raw = raw
        self.isInterruptible = isInterruptible
    }

    /// libfuse's callback. It runs under the request's own lock, which `answer` takes before it replies: the object
    /// lives at least until this has returned.
    static func interrupt(_ parked: UnsafeMutableRawPointer) {
        Unmanaged<ParkedRequest>.fromOpaque(parked).takeUnretainedValue().cancel()
    }

    func attach(_ task: Task<Void, Never>) {
        let isCancelled = waiting.withLock { waiting in
            waiting.task = task
            return waiting.isCancelled
        }
        if isCancelled { task.cancel() }
    }

    func cancel() {
        guard isInterruptible else { return }
        let task = waiting.withLock { waiting in
            waiting.isCancelled = true
            return waiting.task
        }
        task?.cancel()
    }

    /// To be called once. Waits for an interrupt that is being told, and lets no further one in.
    func answer(_ reply: (consuming FuseRequest) -> Void) {
        fuse_req_interrupt_func(raw, nil, nil)
        reply(FuseRequest(raw))
    }
}
