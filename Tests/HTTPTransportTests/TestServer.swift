import Glibc
import HTTPTransport
import Logging
import Synchronization
import Testing

/// A child process with the server of Resources/server.py. It ends when this object goes, or with the test process.
final class TestServer: Sendable {
    struct StartFailure: Error {}

    let port: Int
    /// The authority that signed the certificate, where TLS is spoken.
    let caFile: String
    private let child: pid_t
    private let input: Int32

    /// A child born between making a pipe and marking it would keep the pipe open.
    private static let oneAtATime = Mutex(())

    /// One for all tests that do not stop it.
    static let plain = Result { try TestServer() }
    static let tls = Result { try TestServer(tls: true) }

    init(port: Int = 0, tls: Bool = false) throws {
        let script = String(decoding: PackageResources.server_py, as: UTF8.self)
        let arguments = ["python3", "-c", script, String(port)] + (tls ? ["tls"] : [])
        let (child, input, output) = try Self.oneAtATime.withLock { _ in try Self.spawn(arguments) }
        self.child = child
        self.input = input
        defer { close(output) }
        let words = Self.readLine(output).split(separator: " ")
        guard words.count == 2, let port = Int(words[0]) else { throw StartFailure() }
        self.port = port
        self.caFile = String(words[1])
    }

    deinit {
        close(input)
        var status: Int32 = 0
        waitpid(child, &status, 0)
    }

    func url(_ path: String) -> String { "http://127.0.0.1:\(port)\(path)" }

    private static func spawn(_ arguments: [String]) throws -> (pid_t, input: Int32, output: Int32) {
        var input: [Int32] = [0, 0]
        var output: [Int32] = [0, 0]
        guard pipe(&input) == 0, pipe(&output) == 0 else { throw StartFailure() }
        for descriptor in input + output { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        defer {
            close(input[0])
            close(output[1])
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input[0], 0)
        posix_spawn_file_actions_adddup2(&actions, output[1], 1)
        var child = pid_t()
        var words = arguments.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        guard posix_spawnp(&child, "python3", &actions, nil, &words, environ) == 0 else { throw StartFailure() }
        return (child, input[1], output[0])
    }

    private static func readLine(_ descriptor: Int32) -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(descriptor, &byte, 1) == 1, byte != UInt8(ascii: "\n") { line.append(byte) }
        return String(decoding: line, as: UTF8.self)
    }
}

/// The bytes that the server sends and expects.
func pattern(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { bytes, written in
        let start = min(count, 251 * 4096)
        for index in 0..<start { bytes[index] = UInt8(index % 251) }
        for index in stride(from: start, to: count, by: max(start, 1)) {
            let part = min(start, count - index)
            UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(bytes)[index...])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[..<part]))
        }
        written = count
    }
}

/// Element by element, 64 MiB take tens of seconds in a debug build.
func isPattern(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let expected = pattern(bytes.count)
    guard let start = bytes.baseAddress else { return expected.isEmpty }
    return memcmp(start, expected, bytes.count) == 0
}

func makeTransport(connections: Int = 16, caFile: String? = nil) throws -> CurlTransport {
    try CurlTransport(.init(connectionsPerHost: connections, caFile: caFile), logger: Logger(label: "test"))
}

extension HTTPRequest {
    init(_ method: Method = .get, _ url: String, timeout: Duration = .seconds(60), stall: Duration = .seconds(30)) {
        self.init(method: method, url: url, timeout: timeout, stallTimeout: stall)
    }
}

extension HTTPResponse {
    var text: String { String(decoding: body, as: UTF8.self) }
}

/// Sends a request with secrets in query and headers, expects it to fail and the failure not to tell them.
func failure(
    _ transport: CurlTransport, _ request: HTTPRequest, sourceLocation: SourceLocation = #_sourceLocation
) async -> HTTPError.Code? {
    var request = request
    request.url += "?X-Amz-Security-Token=hush-hush"
    request.headers.append(("Authorization", "hush-hush"))
    do {
        let response = try await transport.send(request)
        Issue.record("got status \(response.status)", sourceLocation: sourceLocation)
        return nil
    } catch {
        #expect(!"\(error)\(error.message)".contains("hush"), sourceLocation: sourceLocation)
        #expect(!error.message.contains("Amz"), sourceLocation: sourceLocation)
        return error.code
    }
}

/// Waits until so many requests have been handed to the transport and not been answered.
func untilPending(_ count: Int, _ transport: CurlTransport) async throws {
    while transport.pendingCount < count { try await Task.sleep(for: .milliseconds(1)) }
}
