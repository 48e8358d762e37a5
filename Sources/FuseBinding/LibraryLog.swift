import CFuse
import Logging
import Synchronization

/// libfuse's own messages, which it gives out for the whole process.
enum LibraryLog {
    private struct State {
        var log: Logger?
        var last: String?
    }

    // Innermost lock: nothing is called while it is held.
    private static let state = Mutex(State())

    /// Sends them to `log` from now on.
    static func send(to log: Logger) {
        state.withLock { $0 = State(log: log) }
        cfuse_set_log_sink { level, text in
            guard let text else { return }
            LibraryLog.receive(level, String(cString: text))
        }
    }

    /// The last message since the one taken before: what libfuse says about a failure.
    static func takeLast() -> String? {
        state.withLock { state in
            defer { state.last = nil }
            return state.last
        }
    }

    private static func receive(_ level: Int32, _ text: String) {
        var line = text[...]
        while line.last?.isNewline == true { line = line.dropLast() }
        let message = String(line)
        let log = state.withLock { state in
            state.last = message
            return state.log
        }
        // syslog's levels: 3 is an error, 4 a warning.
        let severity: Logger.Level = level <= 3 ? .error : level == 4 ? .warning : .debug
        log?.log(level: severity, "libfuse reports", metadata: ["message": "\(message)"])
    }
}
