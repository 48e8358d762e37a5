import Glibc
import SystemPackage

/// A program that is spoken to in lines; its input is closed and it is killed at the end at the latest.
final class ChildProcess {
    private let pid: pid_t
    private let input: Int32
    private let output: Int32
    private var isRunning = true

    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        let output = try Self.pipeEnds()
        let input = try Self.pipeEnds()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input.read, 0)
        posix_spawn_file_actions_adddup2(&actions, output.write, 1)
        var child: pid_t = 0
        var argv = arguments.map { strdup($0) } + [nil]
        var inherited: [String] = []
        var entry = environ
        while let text = entry.pointee {
            inherited.append(String(cString: text))
            entry += 1
        }
        var envp = (inherited + environment.map { "\($0.key)=\($0.value)" }).map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        let failure = posix_spawnp(&child, arguments[0], &actions, nil, &argv, &envp)
        close(input.read)
        close(output.write)
        guard failure == 0 else {
            close(input.write)
            close(output.read)
            throw Errno(rawValue: failure)
        }
        pid = child
        self.input = input.write
        self.output = output.read
    }

    private static func pipeEnds() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw Errno(rawValue: errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    deinit {
        kill()
        close(input)
        close(output)
    }

    func kill(_ signal: Int32 = SIGKILL) {
        guard isRunning else { return }
        isRunning = false
        Glibc.kill(pid, signal)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
    }

    func writeLine(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = write(input, bytes, bytes.count)
    }

    /// Without its newline; waits for it. Empty at the end of the output.
    func readLine() throws -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(output, &byte, 1) == 1, byte != UInt8(ascii: "\n") { line.append(byte) }
        return String(decoding: line, as: UTF8.self)
    }
}
