import Disk
import FileSystemCore
import Synchronization

/// The life of one process in a simulation: its clock runs on the executor's time, and stops for ever at its end.
public final class SimulatedProcess: Sendable {
    public let executor: SimulatedExecutor
    private let id: Int
    private let random: Mutex<SeededRandom>

    public init(_ executor: SimulatedExecutor) {
        self.executor = executor
        id = executor.newProcess()
        random = Mutex(executor.splitRandom())
    }

    /// Tasks on it run on the executor; a task that sleeps when the process ends, or later, is told so by an error.
    public var clock: VolumeClock {
        var clock = VolumeClock(
            monotonic: { [executor] in executor.now }, wall: { [executor] in Self.wall(executor.now) },
            random: { self.random.withLock { Double.random(in: 0...1, using: &$0) } })
        clock.sleep = { [executor, id] duration in try await executor.sleep(duration, in: id) }
        clock.executor = executor
        return clock
    }

    /// Nothing of it waits for time any more.
    public func end() { executor.end(id) }

    /// The simulation begins in January 2027.
    private static func wall(_ now: Duration) -> Timestamp {
        let (seconds, attoseconds) = now.components
        return Timestamp(seconds: 1_800_000_000 + seconds, nanoseconds: Int32(attoseconds / 1_000_000_000))
    }
}
