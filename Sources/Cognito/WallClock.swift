import Glibc
import HTTPTransport
import Synchronization

/// Time as a value, so that a test can turn it.
public struct WallClock: Sendable {
    /// Seconds since 1970.
    public var now: @Sendable () -> Double
    /// Returns after the time, or early when the task is cancelled.
    public var sleep: @Sendable (Duration) async -> Void

    public init(now: @escaping @Sendable () -> Double, sleep: @escaping @Sendable (Duration) async -> Void) {
        self.now = now
        self.sleep = sleep
    }

    public static let system = WallClock(
        now: {
            var time = timespec()
            clock_gettime(CLOCK_REALTIME, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
        },
        sleep: { try? await Task.sleep(for: $0) })
}

/// The service's time: this machine's clock, corrected by what the `Date` of the last answer showed.
final class ServerClock: Sendable {
    /// `Date` has whole seconds and the answer took a while: below this it is noise, not a wrong clock.
    static let noiseSeconds = 3.0

    let local: WallClock
    /// Seconds to add to the local clock. Guarded alone; no other lock is taken under it.
    private let offset = Mutex(0.0)

    init(_ local: WallClock) { self.local = local }

    func now() -> Double { local.now() + offset.withLock { $0 } }

    /// How far the local clock is behind the service's, in seconds; 0 while it is about right.
    var correctionSeconds: Double { offset.withLock { $0 } }

    func observe(_ response: HTTPResponse) {
        guard let header = response["Date"], let seconds = HTTPDate.parse(header) else { return }
        let difference = Double(seconds) + 0.5 - local.now()
        offset.withLock { $0 = abs(difference) < Self.noiseSeconds ? 0 : difference }
    }
}
