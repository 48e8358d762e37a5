import Glibc
import MountRuntime
import Synchronization

/// Starts this program again as a process of its own that stays, and waits for its word that the directory answers.
///
/// A new process rather than fork(2): the mount's threads are then born in it, whatever this one has started.
enum DaemonStart {
    /// The longest wait for the daemon's word. A mount bounds its own steps far below this.
    private static let patience = Duration.seconds(90)
    /// The daemon's end of the pipe in the daemon.
    private static let readyDescriptor: Int32 = 3
    /// The signal that ended the waiting; 0 while there is none. Written by the handler only.
    private static let interruption = Atomic<Int32>(0)

    /// Returns when the mount answers; throws what the daemon says otherwise.
    static func start(_ arguments: [String]) throws(CommandFailure) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw failure("pipe", errno) }
        defer { close(ends[0]) }
        catchInterruptions()
        let daemon: pid_t
        do throws(CommandFailure) {
            daemon = try spawn(arguments, ready: ends[1])
        } catch {
            close(ends[1])
            throw error
        }
        close(ends[1])
        let line = readLine(ends[0], from: daemon)
        guard let report = ReadyPipe.Report(line: line) else { throw giveUp(daemon) }
        guard report.ready != true else { return }
        let code = report.exit.flatMap { ExitCode(rawValue: $0) } ?? .internalError
        throw CommandFailure(code, report.error ?? "The mount failed without saying why.")
    }

    private static func spawn(_ arguments: [String], ready: Int32) throws(CommandFailure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        closeInheritedOnExec()
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, ready, readyDescriptor)
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        // 0x80 is POSIX_SPAWN_SETSID of posix_spawn(3), which Glibc's header hides.
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) | 0x80)
        var words: [UnsafeMutablePointer<CChar>?] = (["cognitofs"] + arguments).map { strdup($0) } + [nil]
        let variable = "\(ReadyPipe.variable)=\(readyDescriptor)"
        var environment: [UnsafeMutablePointer<CChar>?] =
            Surroundings.environment.map { strdup("\($0.key)=\($0.value)") } + [strdup(variable), nil]
        defer { for word in words + environment { free(word) } }
        var daemon = pid_t()
        let result = posix_spawn(&daemon, "/proc/self/exe", &actions, &attributes, &words, &environment)
        guard result == 0 else { throw failure("posix_spawn", result) }
        return daemon
    }

    /// The daemon lives long: nothing that whoever called us left open must stay open because of it.
    private static func closeInheritedOnExec() {
        guard let stream = opendir("/proc/self/fd") else { return }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let descriptor = Int32(name), descriptor > 2 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        }
    }

    /// What the daemon wrote before it closed the pipe, the time was up, or a signal came.
    private static func readLine(_ descriptor: Int32, from daemon: pid_t) -> [UInt8] {
        let deadline = ContinuousClock.now + patience
        var line: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while interruption.load(ordering: .relaxed) == 0, line.count < ReadyPipe.longestLine {
            let left = ContinuousClock.now.duration(to: deadline) / .milliseconds(1)
            guard left > 0 else { break }
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            // A second at most, so that a signal just before the call is seen too.
            let ready = poll(&entry, 1, Int32(min(left, 1000).rounded(.up)))
            guard ready > 0 else { continue }
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            line += chunk[..<count]
            if line.last == 0x0A { break }
        }
        return line
    }

    /// The daemon has ended without a word, or must.
    private static func giveUp(_ daemon: pid_t) -> CommandFailure {
        var status: Int32 = 0
        if waitpid(daemon, &status, WNOHANG) == 0 {
            kill(daemon, SIGTERM)
            guard interruption.load(ordering: .relaxed) == 0 else { return CommandFailure(.cancelled, "Stopped.") }
            return CommandFailure(
                .temporary,
                "The mount didn't answer within \(patience.components.seconds) s and was stopped. Try again; "
                    + "--foreground shows what it waits for.")
        }
        let how = status & 0x7F == 0 ? "exit code \((status >> 8) & 0xFF)" : "signal \(status & 0x7F)"
        return CommandFailure(
            .internalError, "The mount's process ended before it was ready (\(how)). --foreground shows why.")
    }

    private static func catchInterruptions() {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { DaemonStart.interruption.store($0, ordering: .relaxed) }
        for signal in [SIGINT, SIGTERM, SIGHUP] { sigaction(signal, &action, nil) }
    }

    private static func failure(_ call: String, _ reason: Int32) -> CommandFailure {
        CommandFailure(
            .temporary, "The mount's process can't be started: \(call): \(String(cString: strerror(reason))).")
    }
}
