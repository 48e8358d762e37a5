import Cognito
import Glibc
import Synchronization

/// The terminal of the person, whatever the standard streams are.
struct Terminal: ~Copyable {
    /// A line longer than this is not typed by anybody.
    static let longestLine = 4096

    private let descriptor: Int32

    /// Nil when the process has no terminal.
    init?() {
        descriptor = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
    }

    deinit { close(descriptor) }

    /// Asks for a line that is shown while it is typed.
    func ask(_ question: String) throws(CommandFailure) -> String {
        write(Console.printable(question))
        return String(decoding: try readLine(), as: UTF8.self)
    }

    /// Asks for a line that is not shown. The terminal is as it was afterwards, whatever ends the asking.
    func askHidden(_ question: String) throws(CommandFailure) -> Secret {
        // Before the question: what is typed as an answer is never shown, and never thrown away as typed too early.
        guard let echo = EchoOff(descriptor) else {
            throw CommandFailure(.usage, "This terminal can't hide what is typed. Use --password-stdin.")
        }
        write(Console.printable(question))
        defer {
            echo.restore()
            write("\n")
        }
        var line = try readLine()
        defer { for index in line.indices { line[index] = 0 } }
        return Secret(utf8: line)
    }

    /// Asks for one of `choices` by number; returns its index.
    func choose(_ question: String, _ choices: [String]) throws(CommandFailure) -> Int {
        let list = choices.enumerated().map { "  \($0.offset + 1)  \($0.element)\n" }.joined()
        write(Console.printable("\(question)\n\(list)"))
        for _ in 0..<3 {
            let answer = try ask("Number: ")
            if let number = Int(answer), (1...choices.count).contains(number) { return number - 1 }
        }
        throw CommandFailure(.usage, "No choice was made.")
    }

    func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
    }

    /// A line without its end. The end of input is a wish to stop.
    private func readLine() throws(CommandFailure) -> [UInt8] {
        var line: [UInt8] = []
        line.reserveCapacity(Self.longestLine)
        while line.count < Self.longestLine {
            var byte: UInt8 = 0
            let count = read(descriptor, &byte, 1)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw CommandFailure(.cancelled, "Cancelled.") }
            if byte == 0x0A { return line }
            line.append(byte)
        }
        throw CommandFailure(.usage, "That line is too long.")
    }
}

/// Keeps a terminal from showing what is typed, until `restore`, or until a signal ends the process.
private struct EchoOff {
    private static let signals: [Int32] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT]
    private let before: termios
    private let handlers: [sigaction]

    /// Nil if `descriptor` is no terminal, or another asking is under way.
    init?(_ descriptor: Int32) {
        var settings = termios()
        guard tcgetattr(descriptor, &settings) == 0, SavedTerminal.keep(descriptor, settings) else { return nil }
        before = settings
        settings.c_lflag &= ~tcflag_t(ECHO)
        settings.c_lflag |= tcflag_t(ECHONL & 0) | tcflag_t(ICANON | ISIG)
        // No stopping with ^Z meanwhile: the shell would get a terminal that shows nothing.
        settings.c_cc.10 = 0
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { signal in
            SavedTerminal.restore()
            Glibc.signal(signal, SIG_DFL)
            raise(signal)
        }
        handlers = Self.signals.map { signal in
            var old = sigaction()
            sigaction(signal, &action, &old)
            return old
        }
        tcsetattr(descriptor, TCSAFLUSH, &settings)
    }

    func restore() {
        SavedTerminal.restore()
        for (signal, handler) in zip(Self.signals, handlers) {
            var handler = handler
            sigaction(signal, &handler, nil)
        }
    }
}

/// What a signal handler needs to give the terminal back: memory that is written before the handler is installed.
private enum SavedTerminal {
    // Written by `keep` while `descriptor` is -1, read by whoever sets it back to -1; the atomic orders the two.
    nonisolated(unsafe) private static let settings = UnsafeMutablePointer<termios>.allocate(capacity: 1)
    /// -1 while nothing is kept.
    private static let descriptor = Atomic<Int32>(-1)

    static func keep(_ terminal: Int32, _ value: termios) -> Bool {
        guard descriptor.load(ordering: .acquiring) == -1 else { return false }
        unsafe settings.initialize(to: value)
        descriptor.store(terminal, ordering: .releasing)
        return true
    }

    /// Safe in a signal handler: an atomic and tcsetattr(3), no memory is allocated.
    static func restore() {
        let terminal = descriptor.exchange(-1, ordering: .acquiringAndReleasing)
        guard terminal >= 0 else { return }
        tcsetattr(terminal, TCSANOW, unsafe settings)
    }
}
