import Glibc
import MountRuntime

/// Shows how far uploads are on standard error: a bar that moves on a terminal, a line now and then elsewhere.
struct ProgressLine {
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private var hasDrawn = false
    private var lastLine = ""
    private var lastPlain: ContinuousClock.Instant?
    private var rate = UploadRate()

    mutating func show(_ progress: SyncProgress) {
        let left = rate.timeLeft(progress, now: .now)
        if isTerminal {
            draw(Self.bar(progress, left: left, columns: Self.columns()))
        } else if lastPlain.map({ $0.duration(to: .now) >= .seconds(5) }) ?? true, progress.pendingChanges > 0 {
            Console.error(Self.sentence(progress, left: left) + "\n")
            lastPlain = .now
        }
    }

    /// Leaves the terminal on a new line.
    mutating func finish() {
        guard isTerminal, hasDrawn else { return }
        Console.error("\r\u{1B}[K")
    }

    private mutating func draw(_ line: String) {
        guard line != lastLine else { return }
        Console.error("\r" + line + "\u{1B}[K")
        lastLine = line
        hasDrawn = true
    }

    static func sentence(_ progress: SyncProgress, left: Duration? = nil) -> String {
        let amount =
            "\(Amounts.count(progress.pendingChanges, "change")) to go, \(Amounts.bytes(progress.pendingBytes))"
        return switch progress.state {
        case .offline: "\(amount), waiting for the network"
        case .needsSignIn: "\(amount), waiting for `cognitofs login`"
        case .mounted, .draining: amount + (left.map { ", about \(Amounts.time($0)) left" } ?? "")
        }
    }

    /// `[#####-----]  2 changes to go, 1.5 MiB, about 20 s left  name`, cut to the terminal's width.
    static func bar(_ progress: SyncProgress, left: Duration? = nil, columns: Int) -> String {
        let total = progress.sentBytes + progress.pendingBytes
        let share = total > 0 ? Double(progress.sentBytes) / Double(total) : (progress.pendingChanges == 0 ? 1 : 0)
        let filled = Int((min(max(share, 0), 1) * 20).rounded(.down))
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: 20 - filled)
        let name = progress.current.map { "  " + Console.printable($0) } ?? ""
        return String("[\(bar)]  \(sentence(progress, left: left))\(name)".prefix(max(20, columns - 1)))
    }

    private static func columns() -> Int {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}

/// How fast bytes and changes go, measured over the last seconds, and so how long the rest takes: a queue of many renames
/// has no bytes to send, and one large file is a single change.
struct UploadRate {
    /// What is older says nothing of now.
    private static let window = Duration.seconds(15)
    /// Less than this is no measurement.
    private static let shortest = Duration.seconds(2)

    private var samples: [(at: ContinuousClock.Instant, sent: Int64, changes: Int)] = []

    /// Nil while nothing can honestly be said: too early, or nothing goes.
    mutating func timeLeft(_ progress: SyncProgress, now: ContinuousClock.Instant) -> Duration? {
        samples.append((now, progress.sentBytes, progress.pendingChanges))
        samples.removeAll { $0.at + Self.window < now }
        guard progress.state == .mounted || progress.state == .draining, let first = samples.first else { return nil }
        let time = first.at.duration(to: now)
        guard time >= Self.shortest else { return nil }
        func left(_ rest: Double, after done: Double) -> Duration? {
            done > 0 && rest > 0 ? .seconds(rest * (time / .seconds(1)) / done) : nil
        }
        let byBytes = left(Double(progress.pendingBytes), after: Double(progress.sentBytes - first.sent))
        let byChanges = left(Double(progress.pendingChanges), after: Double(first.changes - progress.pendingChanges))
        // Bytes that wait and do not go can take any time.
        if progress.pendingBytes > 0, byBytes == nil { return nil }
        return [byBytes, byChanges].compactMap { $0 }.max()
    }
}
