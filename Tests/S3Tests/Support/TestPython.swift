import Glibc

/// A program of the test's that could not be started or said something unexpected.
struct ProgramFailure: Error, CustomStringConvertible {
    let description: String
}

/// The interpreter that has boto3 and MiniStack: `COGNITOFS_TEST_PYTHON`, or the package's own `.venv`, which
/// `scripts/setup` makes.
enum TestPython {
    static var path: String {
        if let set = getenv("COGNITOFS_TEST_PYTHON") { return String(cString: set) }
        let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
        return "/\(root)/.venv/bin/python"
    }

    /// A running program and the two ends of it that we hold.
    struct Running {
        var input: CInt
        var output: CInt
        var pid: pid_t
    }

    static func start(_ script: [UInt8], _ arguments: [String]) throws -> Running {
        guard access(path, X_OK) == 0 else {
            throw ProgramFailure(
                description:
                    "There is no \(path). Run scripts/setup, or set COGNITOFS_TEST_PYTHON to a Python with boto3 and ministack."
            )
        }
        var (input, output): ([CInt], [CInt]) = ([0, 0], [0, 0])
        guard pipe(&input) == 0, pipe(&output) == 0 else {
            throw ProgramFailure(description: "pipe: errno \(errno)")
        }
        for descriptor in input + output { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input[0], 0)
        posix_spawn_file_actions_adddup2(&actions, output[1], 1)
        let words = [path, "-c", String(decoding: script, as: UTF8.self)] + arguments
        var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        var pid: pid_t = 0
        let status = posix_spawn(&pid, path, &actions, nil, pointers, environ)
        close(input[0])
        close(output[1])
        guard status == 0 else { throw ProgramFailure(description: "\(path) did not start: errno \(status)") }
        return Running(input: input[1], output: output[0], pid: pid)
    }

    /// Runs to the end and gives what it wrote, by line.
    static func lines(_ script: [UInt8], _ arguments: [String]) throws -> [[UInt8]] {
        let program = try start(script, arguments)
        close(program.input)
        defer { close(program.output) }
        var lines: [[UInt8]] = []
        while let line = readLine(program.output) { lines.append(line) }
        var status: CInt = 0
        waitpid(program.pid, &status, 0)
        guard status == 0 else { throw ProgramFailure(description: "the script ended with status \(status)") }
        return lines
    }

    /// Nil at the end of the file.
    static func readLine(_ descriptor: CInt) -> [UInt8]? {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(descriptor, &byte, 1) == 1 {
            if byte == UInt8(ascii: "\n") { return line }
            line.append(byte)
        }
        return line.isEmpty ? nil : line
    }
}
