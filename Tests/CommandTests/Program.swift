import Glibc
import Testing

/// The built program, run as a person runs it.
struct Program {
    struct Outcome {
        /// The exit code, or 128 and the signal.
        var code: Int32
        var output: String
        var error: String
    }

    /// Beside the tests' own program.
    static let path: String = {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes {
            readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        let own = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
        return own.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 } + "/cognitofs"
    }()

    /// A directory of its own with home, configuration and sockets; removed with its files when dropped.
    final class Room: Sendable {
        let path: String

        init() throws {
            var template = Array("/tmp/cognitofs-command-XXXXXX".utf8CString)
            try #require(mkdtemp(&template) != nil)
            path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        deinit { _ = try? Program.run("/bin/rm", ["-rf", path], environment: [:]) }

        var environment: [String: String] {
            [
                "HOME": path, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "COGNITOFS_RUN_DIR": path + "/run",
                "XDG_CONFIG_HOME": path + "/config",
            ]
        }

        @discardableResult
        func write(_ text: String, to name: String, mode: mode_t = 0o600) throws -> String {
            let file = path + "/" + name
            let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC, mode)
            try #require(descriptor >= 0)
            let bytes = Array(text.utf8)
            try #require(Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
            fchmod(descriptor, mode)
            close(descriptor)
            return file
        }

        func run(
            _ arguments: [String], input: String = "", extra: [String: String] = [:], name: String = "cognitofs"
        ) throws -> Outcome {
            try Program.run(
                Program.path, arguments, environment: environment.merging(extra) { $1 }, input: input, name: name)
        }
    }

    static func run(
        _ path: String, _ arguments: [String], environment: [String: String], input: String = "", name: String? = nil
    ) throws -> Outcome {
        let (output, error, stdin) = (try Pipe(), try Pipe(), try Pipe())
        let pid = try spawn(
            path, [name ?? path] + arguments, environment,
            descriptors: [stdin.read, output.write, error.write], setsid: true)
        for end in [stdin.read, output.write, error.write] { close(end) }
        let bytes = Array(input.utf8)
        _ = write(stdin.write, bytes, bytes.count)
        close(stdin.write)
        // The texts are short, and a pipe holds 64 KiB: reading one after the other can't block the program.
        let texts = (readAll(output.read), readAll(error.read))
        return Outcome(code: wait(pid), output: texts.0, error: texts.1)
    }

    struct Pipe {
        let read: Int32
        let write: Int32

        init() throws {
            var ends: [Int32] = [-1, -1]
            try #require(pipe(&ends) == 0)
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            (read, write) = (ends[0], ends[1])
        }
    }

    /// Starts a program without a terminal, or with `terminal` as its own.
    static func spawn(
        _ path: String, _ arguments: [String], _ environment: [String: String], descriptors: [Int32] = [],
        terminal: String? = nil, setsid: Bool
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        for (number, descriptor) in descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
        }
        if let terminal {
            for number: Int32 in 0...2 { posix_spawn_file_actions_addopen(&actions, number, terminal, O_RDWR, 0) }
        }
        // The threads of tests block signals, and a program would inherit that.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        // 0x80 is POSIX_SPAWN_SETSID.
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK) | (setsid ? 0x80 : 0))
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for word in words + variables { free(word) } }
        var pid = pid_t()
        try #require(posix_spawn(&pid, path, &actions, &attributes, &words, &variables) == 0)
        return pid
    }

    static func readAll(_ descriptor: Int32) -> String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        close(descriptor)
        return String(decoding: bytes, as: UTF8.self)
    }

    static func wait(_ pid: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 { guard errno == EINTR else { return -1 } }
        return status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
    }
}

/// The program on a terminal of its own, with somebody at the keys.
final class Typist {
    private let master: Int32
    private let pid: pid_t
    private(set) var screen = ""
    private var isClosed = false

    init(_ room: Program.Room, _ arguments: [String]) throws {
        // posix_openpt(3) and its kin are hidden by Glibc's header: TIOCSPTLCK unlocks, TIOCGPTN numbers (ioctl_tty(2)).
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var (unlock, number): (Int32, UInt32) = (0, 0)
        try #require(master >= 0)
        try #require(ioctl(master, 0x4004_5431, &unlock) == 0 && ioctl(master, 0x8004_5430, &number) == 0)
        let name = "/dev/pts/\(number)"
        pid = try Program.spawn(
            Program.path, ["cognitofs"] + arguments, room.environment, terminal: name, setsid: true)
    }

    deinit { close(master) }

    /// Reads until `text` is on the screen; false if the program ended or a minute went by without it.
    func sees(_ text: String) -> Bool {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            if let found = screen.firstRange(of: text) {
                screen = String(screen[found.upperBound...])
                return true
            }
            guard readMore() else { return false }
        }
        return false
    }

    func type(_ text: String) {
        let bytes = Array(text.utf8)
        _ = write(master, bytes, bytes.count)
    }

    func send(_ signal: Int32) { kill(pid, signal) }

    /// Whether the terminal shows what is typed.
    var showsTyping: Bool {
        var settings = termios()
        tcgetattr(master, &settings)
        return settings.c_lflag & tcflag_t(ECHO) != 0
    }

    /// Everything still to come, and the exit code.
    func end() -> Int32 {
        while readMore() {}
        // Nothing for a minute, or the terminal is closed: a program that still waits must not stop the tests.
        if !isClosed { kill(pid, SIGKILL) }
        return Program.wait(pid)
    }

    private func readMore() -> Bool {
        var chunk = [UInt8](repeating: 0, count: 4096)
        var entry = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 60_000) > 0 else { return false }
        let count = read(master, &chunk, chunk.count)
        guard count > 0 else {
            isClosed = true
            return false
        }
        screen += String(decoding: chunk[..<count], as: UTF8.self)
        return true
    }
}
