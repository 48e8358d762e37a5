import Glibc

/// Receives the signals that end or hurry a mount, on a thread of its own.
///
/// The signals are blocked in every thread before any other is started, so that only the watching thread gets them.
struct SignalWatch {
    enum Event: Sendable { case end, hangUp }

    private static let watched = [SIGTERM, SIGINT, SIGHUP]

    /// Call on the main thread before other threads exist.
    static func block() {
        signal(SIGPIPE, SIG_IGN)
        var set = signalSet()
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Calls `handle` on the watching thread for each signal.
    static func start(_ handle: @escaping @Sendable (Event) -> Void) {
        _ = ControlThread.start {
            var set = signalSet()
            while true {
                var number: Int32 = 0
                guard sigwait(&set, &number) == 0 else { continue }
                handle(number == SIGHUP ? .hangUp : .end)
            }
        }
    }

    private static func signalSet() -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in watched { sigaddset(&set, number) }
        return set
    }
}
