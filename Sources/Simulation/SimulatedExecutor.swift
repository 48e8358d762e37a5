import Disk
import Glibc
import HeapModule
import Synchronization

/// Runs tasks one after another on the calling thread, the next one chosen by its seed, and has a time of its own, which
/// jumps to the next sleeper when nobody can go on. So one seed is one interleaving, exactly repeatable, and hours pass in
/// microseconds.
///
/// What stays on it: child tasks and `async let` of a task that runs here, continuations, cancellation; an unstructured
/// task only when it is started with `Task(executorPreference:)`. A job that comes from another thread is a trap.
public final class SimulatedExecutor: TaskExecutor {
    /// Everybody waits for somebody, and nobody for the time.
    public struct Stuck: Error, Sendable, CustomStringConvertible {
        public var now: Duration
        public var description: String { "nothing can go on any more at \(now)" }
    }

    struct Sleeper: Comparable, Sendable {
        let at: Duration
        let id: Int
        static func < (a: Sleeper, b: Sleeper) -> Bool { a.at == b.at ? a.id < b.id : a.at < b.at }
    }

    struct Sleep: Sendable {
        let process: Int
        let continuation: CheckedContinuation<Bool, Never>
    }

    struct State {
        var random: SeededRandom
        var ready: [UnownedJob] = []
        var now = Duration.zero
        /// May hold sleepers that were woken since.
        var sleepers = Heap<Sleeper>()
        var sleeps: [Int: Sleep] = [:]
        var nextSleep = 0
        var nextProcess = 1
        var dead: Set<Int> = []
        var fingerprint: UInt64 = 0xCBF2_9CE4_8422_2325
        var jobCount = 0
        /// The thread that runs jobs now.
        var thread: pthread_t?
    }
    /// Held for a moment only; no job runs under it.
    private let state: Mutex<State>

    public init(seed: UInt64) { state = Mutex(State(random: SeededRandom(seed))) }

    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { state in
            precondition(state.thread.map { $0 == pthread_self() } ?? true, "a job came from another thread")
            state.ready.append(job)
        }
    }

    public var now: Duration { state.withLock { $0.now } }

    /// A number that two runs share when they ran the same jobs in the same order at the same times.
    public var fingerprint: UInt64 { state.withLock { $0.fingerprint } }

    public var jobCount: Int { state.withLock { $0.jobCount } }

    /// A generator for some part of the simulation.
    public func splitRandom() -> SeededRandom { state.withLock { $0.random.split() } }

    // MARK: Running

    /// Runs `body` to its end, with all that it waits for; other tasks stay where they are then.
    public func run<Value: Sendable>(_ body: @escaping @Sendable () async -> Value) throws(Stuck) -> Value {
        let result = Mutex<Value?>(nil)
        let box = Box(result: consume result)
        Task(executorPreference: self) {
            let value = await body()
            box.result.withLock { $0 = value }
        }
        return try onThisThread { () throws(Stuck) in
            while true {
                if let value = box.result.withLock({ $0 }) { return value }
                guard runNext() || wakeNext(before: nil) else { throw Stuck(now: now) }
            }
        }
    }

    /// Runs what can run without time passing.
    public func settle() { onThisThread { while runNext() {} } }

    /// Lets time pass, and runs what comes due.
    public func advance(by duration: Duration) {
        let end = now + duration
        onThisThread { while runNext() || wakeNext(before: end) {} }
        state.withLock { $0.now = end }
    }

    private func onThisThread<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        let former = state.withLock { state in
            defer { state.thread = pthread_self() }
            return state.thread
        }
        defer { state.withLock { $0.thread = former } }
        return try body()
    }

    /// Runs one of the jobs that are ready; false when there is none.
    private func runNext() -> Bool {
        let job = state.withLock { state -> UnownedJob? in
            if state.ready.isEmpty { return nil }
            let index = Int.random(in: 0..<state.ready.count, using: &state.random)
            state.note(UInt64(index) << 32 | UInt64(state.ready.count))
            state.jobCount += 1
            state.ready.swapAt(index, state.ready.count - 1)
            return state.ready.removeLast()
        }
        guard let job else { return false }
        job.runSynchronously(on: asUnownedTaskExecutor())
        return true
    }

    /// Moves time to the next sleeper and wakes it; false when there is none.
    private func wakeNext(before end: Duration?) -> Bool {
        let woken = state.withLock { state -> Sleep? in
            while let next = state.sleepers.min {
                if let end, next.at > end { return nil }
                state.sleepers.removeMin()
                guard let sleep = state.sleeps.removeValue(forKey: next.id) else { continue }
                state.now = max(state.now, next.at)
                state.note(UInt64(truncatingIfNeeded: state.now.attoseconds))
                return sleep
            }
            return nil
        }
        woken?.continuation.resume(returning: true)
        return woken != nil
    }

    /// So that `run`'s task and its loop share one result.
    private final class Box<Value: Sendable>: Sendable {
        let result: Mutex<Value?>
        init(result: consuming sending Mutex<Value?>) { self.result = result }
    }

    // MARK: Time

    /// Returns after `duration` of simulated time; throws when the task is cancelled or the process has ended.
    func sleep(_ duration: Duration, in process: Int) async throws(CancellationError) {
        let id = state.withLock { state in
            state.nextSleep += 1
            return state.nextSleep
        }
        let isWoken = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
                let isOver = state.withLock { state in
                    if Task.isCancelled || state.dead.contains(process) { return true }
                    state.sleepers.insert(Sleeper(at: state.now + max(duration, .zero), id: id))
                    state.sleeps[id] = Sleep(process: process, continuation: continuation)
                    return false
                }
                if isOver { continuation.resume(returning: false) }
            }
        } onCancel: {
            state.withLock { $0.sleeps.removeValue(forKey: id) }?.continuation.resume(returning: false)
        }
        if !isWoken { throw CancellationError() }
    }

    func newProcess() -> Int {
        state.withLock { state in
            defer { state.nextProcess += 1 }
            return state.nextProcess
        }
    }

    /// Sleeps of this process throw, those under way and those to come.
    func end(_ process: Int) {
        let ended = state.withLock { state in
            state.dead.insert(process)
            let ids = state.sleeps.filter { $0.value.process == process }.keys.sorted()
            return ids.compactMap { state.sleeps.removeValue(forKey: $0) }
        }
        for sleep in ended { sleep.continuation.resume(returning: false) }
    }
}

extension SimulatedExecutor.State {
    /// Mixes a number into the fingerprint (FNV-1a, by words).
    mutating func note(_ number: UInt64) { fingerprint = (fingerprint ^ number) &* 0x0000_0100_0000_01B3 }
}
