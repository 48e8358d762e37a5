import Glibc
import MountRuntime

/// Shows how far uploads are on standard error: a bar that moves on a terminal, a line now and then elsewhere.
struct ProgressLine {
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private var hasDrawn = false
    private var lastLine = ""
    private var lastPlain: ContinuousClock.Instant?

    mutating func show(_ progress: SyncProgress) {
        if isTerminal {
            draw(Self.bar(progress, columns: Self.columns()))
        } else if lastPlain.map({ $0.duration(to: .now) >= .seconds(5) }) ?? true, progress.pendingChanges > 0 {
            Console.error(Self.sentence(progress) + "\n")
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

    static func sentence(_ progress: SyncProgress) -> String {
        "\(Amounts.count(progress.pendingChanges, "change")) to go, \(Amounts.bytes(progress.pendingBytes))"
    }

    /// `[#####-----]  2 changes to go, 1.5 MiB  name`, cut to the terminal's width.
    static func bar(_ progress: SyncProgress, columns: Int) -> String {
        let total = progress.sentBytes + progress.pendingBytes
        let share = total > 0 ? Double(progress.sentBytes) / Double(total) : (progress.pendingChanges == 0 ? 1 : 0)
        let filled = Int((min(max(share, 0), 1) * 20).rounded(.down))
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: 20 - filled)
        let name = progress.current.map { "  " + Console.printable($0) } ?? ""
        return String("[\(bar)]  \(sentence(progress))\(name)".prefix(max(20, columns - 1)))
    }

    private static func columns() -> Int {
        var size = winsize()
        guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}
