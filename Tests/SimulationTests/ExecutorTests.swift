import FileSystemCore
import Synchronization
import Testing

@testable import Simulation

/// What happened, in order.
private final class Trace: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func note(_ line: String) { lines.withLock { $0.append(line) } }
}

@Suite("The simulated executor")
struct ExecutorTests {
    @Test("Who waits for what never comes is told that nothing can go on")
    func stuck() {
        let executor = SimulatedExecutor(seed: 1)
        let never = Reply<Int>()
        #expect(throws: SimulatedExecutor.Stuck.self) { try executor.run { _ = await never.wait() } }
        never.resolve(.success(1))
        executor.settle()
    }

    @Test("A sleeper is told when its task is cancelled, and when its process has ended, also before it sleeps")
    func ended() throws {
        let executor = SimulatedExecutor(seed: 2)
        let process = SimulatedProcess(executor)
        let other = SimulatedProcess(executor)
        let clock = process.clock
        let outcome = try executor.run {
            let sleeper = Task(executorPreference: executor) { (try? await clock.sleep(.seconds(50))) == nil }
            let cancelled = Task(executorPreference: executor) { (try? await other.clock.sleep(.seconds(60))) == nil }
            try? await other.clock.sleep(.seconds(1))
            cancelled.cancel()
            process.end()
            let late = (try? await clock.sleep(.zero)) == nil
            return [await sleeper.value, await cancelled.value, late]
        }
        #expect(outcome == [true, true, true])
        #expect(executor.now == .seconds(1))
    }

    @Test("Time passes only when nobody can go on, and wakes sleepers in their order")
    func time() throws {
        let executor = SimulatedExecutor(seed: 3)
        let process = SimulatedProcess(executor)
        let trace = Trace()
        for seconds in [30, 10, 20] {
            Task(executorPreference: executor) {
                try? await process.clock.sleep(.seconds(seconds))
                trace.note("\(seconds) \(process.clock.monotonic())")
            }
        }
        executor.advance(by: .seconds(25))
        #expect(trace.all == ["10 10.0 seconds", "20 20.0 seconds"])
        #expect(executor.now == .seconds(25))
        executor.advance(by: .seconds(25))
        #expect(trace.all.count == 3)
    }

    /// Everything that tasks can do, noted.
    private static func mixed(_ seed: UInt64) throws -> (trace: [String], fingerprint: UInt64) {
        let executor = SimulatedExecutor(seed: seed)
        let process = SimulatedProcess(executor)
        let trace = Trace()
        try executor.run {
            async let early = pause(1)
            async let late = pause(2)
            let values = await withTaskGroup(of: Int.self) { group in
                for index in 0..<20 {
                    group.addTask {
                        trace.note("begin \(index)")
                        await Task.yield()
                        let reply = Reply<Int>()
                        Task(executorPreference: executor) {
                            trace.note("answer \(index)")
                            reply.resolve(.success(index))
                        }
                        let value = (try? await reply.wait().get()) ?? -1
                        try? await process.clock.sleep(.milliseconds(index % 3))
                        trace.note("end \(value)")
                        return value
                    }
                }
                var values: [Int] = []
                for await value in group { values.append(value) }
                return values
            }
            trace.note("\(values) \(await early) \(await late)")
            let hanging = Task(executorPreference: executor) { await Reply<Int>().wait() }
            await Task.yield()
            hanging.cancel()
            trace.note("\(await hanging.value)")
        }
        return (trace.all, executor.fingerprint)

        @Sendable func pause(_ number: Int) async -> Int {
            try? await process.clock.sleep(.seconds(number))
            trace.note("pause \(number)")
            return number
        }
    }

    @Test("One seed is one interleaving of groups, child tasks, continuations and cancellation; another is another")
    func repeatable() throws {
        var traces: Set<[String]> = []
        for seed in 0..<50 as Range<UInt64> {
            let first = try Self.mixed(seed)
            let second = try Self.mixed(seed)
            #expect(first.trace == second.trace)
            #expect(first.fingerprint == second.fingerprint)
            traces.insert(first.trace)
        }
        #expect(traces.count == 50)
    }
}
