import FoundationEssentials
import Glibc
import Synchronization

/// How a mount in the background tells the command that started it that the directory answers, or why it doesn't: one line
/// of JSON on a pipe.
public final class ReadyPipe: Sendable {
    /// The variable that names the descriptor of the pipe.
    public static let variable = "COGNITOFS_READY_FD"
    /// The most bytes of the line.
    public static let longestLine = 64 << 10

    public struct Report: Codable, Sendable, Equatable {
        public var ready: Bool?
        /// A sentence for the person who mounts.
        public var error: String?
        /// The exit code that goes with it.
        public var exit: Int32?

        public init(ready: Bool? = nil, error: String? = nil, exit: Int32? = nil) {
            self.ready = ready
            self.error = error
            self.exit = exit
        }

        /// Nil unless `line` is a report of success or failure.
        public init?(line: some Collection<UInt8>) {
            guard let report = try? JSONDecoder().decode(Report.self, from: Data(line)) else { return nil }
            guard report.ready == true || (report.error != nil && report.exit.map { (1...255).contains($0) } == true)
            else {
                return nil
            }
            self = report
        }
    }

    private let descriptor: Int32
    private let hasReported = Atomic(false)

    /// Nil when nobody waits: the variable isn't there or names no pipe.
    public init?(environment: [String: String]) {
        guard let text = environment[Self.variable], let descriptor = Int32(text), descriptor > 2 else { return nil }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFIFO else { return nil }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        self.descriptor = descriptor
    }

    /// The directory answers; later reports are dropped. The process keeps no tie to the terminal of whoever mounted.
    public func reportReady() {
        guard !hasReported.load(ordering: .acquiring) else { return }
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        if null >= 0 {
            for standard: Int32 in 0...2 { dup2(null, standard) }
            if null > 2 { close(null) }
        }
        send(Report(ready: true))
    }

    /// What is wrong, unless something has been reported already.
    public func reportFailure(_ message: String, exit: Int32) { send(Report(error: message, exit: exit)) }

    private func send(_ report: Report) {
        guard !hasReported.exchange(true, ordering: .acquiringAndReleasing),
            let json = try? JSONEncoder().encode(report)
        else { return }
        let line = Array(json) + [0x0A]
        // Shorter than a pipe holds, so it goes in one piece; a reader that has gone needs no report.
        signal(SIGPIPE, SIG_IGN)
        _ = line.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        close(descriptor)
    }
}
