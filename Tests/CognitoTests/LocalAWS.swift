import Bytes
import FoundationEssentials
import Glibc
import HTTPTransport
import Logging
import Synchronization
import Testing

@testable import Cognito

/// The local AWS of `scripts/local-aws`, started once for all tests of this process: it checks SRP proofs, tokens and
/// signatures as AWS does. It ends with this process, since its input closes then.
final class LocalAWS: Sendable {
    struct Facts: Decodable, Sendable {
        var endpoint, userPoolID, clientID, identityPoolID, password: String
        var totpSecret, secretClientID, clientSecret: String
    }

    let facts: Facts
    let transport: CurlTransport
    /// One question at a time.
    private let server: Mutex<ChildProcess>

    private static let started: Result<LocalAWS, any Error> = Result { try LocalAWS() }

    static func shared() throws -> LocalAWS { try started.get() }

    private init() throws {
        let root = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
        let given = getenv("COGNITOFS_TEST_PYTHON").map { String(cString: $0) }
        let python = given ?? root + "/.venv/bin/python"
        guard access(python, X_OK) == 0 else {
            throw CognitoError(
                .configuration, "\(python) is missing.", remedy: "Run scripts/setup, or set COGNITOFS_TEST_PYTHON.")
        }
        let script = String(decoding: PackageResources.local_pool_py, as: UTF8.self)
        let child = try ChildProcess([python, "-c", script, root])
        facts = try JSONDecoder().decode(Facts.self, from: Data(try child.readLine().utf8))
        transport = try CurlTransport(logger: Fixture.quiet)
        server = Mutex(child)
    }

    /// Sends a command of `local_pool.py` and returns its answer.
    func ask(_ command: String) throws -> String {
        try server.withLock { server in
            server.writeLine(command)
            return try server.readLine()
        }
    }

    /// Changes switches of the server for the time of `body`.
    func with<R>(_ switches: String, off: String, _ body: () async throws -> R) async throws -> R {
        try await set(switches)
        do {
            let result = try await body()
            try await set(off)
            return result
        } catch {
            try await set(off)
            throw error
        }
    }

    private func set(_ json: String) async throws {
        let response = try await transport.send(
            HTTPRequest(
                method: .post, url: facts.endpoint + "/_cognitofs/settings", body: ByteSlice(Array(json.utf8)),
                timeout: .seconds(10), stallTimeout: .seconds(10)))
        #expect(response.status == 200)
    }

    func client(secret: Bool = false, clock: WallClock = .system) throws -> CognitoClient {
        CognitoClient(
            configuration: try CognitoConfiguration(
                userPoolID: facts.userPoolID, clientID: secret ? facts.secretClientID : facts.clientID,
                clientSecret: secret ? Secret(facts.clientSecret) : nil, identityPoolID: facts.identityPoolID,
                userPoolEndpoint: facts.endpoint, identityPoolEndpoint: facts.endpoint),
            transport: transport, logger: Fixture.quiet, clock: clock)
    }
}

/// Answers from a list, and remembers what was asked.
final class ScriptedPrompt: SignInPrompt {
    private struct State {
        var codes: [@Sendable () throws -> String]
        var requests: [CodeRequest] = []
        var passwordRequests: [NewPasswordRequest] = []
        var passwords: [NewPassword]
    }
    private let state: Mutex<State>
    var requests: [CodeRequest] { state.withLock { $0.requests } }
    var passwordRequests: [NewPasswordRequest] { state.withLock { $0.passwordRequests } }

    init(codes: [@Sendable () throws -> String] = [], passwords: [NewPassword] = []) {
        state = Mutex(State(codes: codes, passwords: passwords))
    }

    func code(_ request: CodeRequest) async throws(CognitoError) -> Secret {
        let next = state.withLock { state in
            state.requests.append(request)
            return state.codes.isEmpty ? nil : state.codes.removeFirst()
        }
        guard let next, let code = try? next() else { throw .cancelled }
        return Secret(code)
    }

    func newPassword(_ request: NewPasswordRequest) async throws(CognitoError) -> NewPassword {
        let next = state.withLock { state in
            state.passwordRequests.append(request)
            return state.passwords.isEmpty ? nil : state.passwords.removeFirst()
        }
        guard let next else { throw .cancelled }
        return next
    }

    func chooseFactor(_ factors: [String]) async throws(CognitoError) -> String { factors[0] }
}
