import Logging
import Synchronization
import Testing

@testable import Cognito

@Suite("Secrets can't be printed") struct SecretTests {
    let word = "correct-horse-battery"

    @Test("Whatever renders a secret shows none of it") func renderings() {
        let secret = Secret(word)
        var dumped = ""
        dump(secret, to: &dumped)
        dump(["nested": [secret]], to: &dumped)
        let renderings = [
            "\(secret)", String(describing: secret), String(reflecting: secret), "\([secret])",
            "\(Optional(secret) as Any)",
            "\(Mirror(reflecting: secret).children.map { "\($0)" })", dumped,
        ]
        for rendering in renderings { #expect(!rendering.contains(word), "\(rendering)") }
        #expect("\(secret)" == "<secret>")
    }

    @Test("A secret gives its text to those who ask for it by name, and compares by content") func reveal() {
        #expect(Secret("pässwörd 🔑").reveal() == "pässwörd 🔑")
        #expect(Secret("").isEmpty)
        #expect(Secret("a") == Secret("a"))
        #expect(Secret("a") != Secret("b"))
        #expect(Secret("a") != Secret("ab"))
        #expect(Secret(String(repeating: "x", count: 9000)).byteCount == 9000)
    }

    @Test("No value that holds secrets shows them: session, tokens, credentials, requests, flow") func holders() throws
    {
        let session = Fixture.session(refreshToken: word, secretKey: word)
        let fields: JSONFields = ["PASSWORD": .secret(Secret(word)), "MAP": .object(["A": .secret(Secret(word))])]
        let configuration = try Fixture.configuration(clientSecret: word)
        let flow = SignInFlow(
            poolName: "p", username: "alice", password: Secret(word), secretHash: { _ in nil })
        let exchange = SRPExchange(poolName: "p", random: [1, 2, 3])
        for value in [session, fields, configuration, flow, exchange as Any, session.summary] as [Any] {
            var text = "\(value) \(String(reflecting: value))"
            dump(value, to: &text)
            #expect(!text.contains(word))
            #expect(!text.contains(session.tokens.idToken.reveal()))
        }
    }

    @Test("A sign-in that fails at every step logs and throws no secret") func logsAndErrors() async throws {
        let lines = LogLines()
        let service = FakeService()
        service.on(.initiateAuth) { _ in .fault("InternalErrorException", "broken") }
        let client = try Fixture.client(service, logger: lines.logger, clientSecret: word)
        await #expect(throws: CognitoError.self) {
            try await client.signIn(username: "alice", password: Secret(word), prompt: NoPrompt())
        }
        service.on(.initiateAuth) { _ in .json(Fixture.tokenAnswer(refreshToken: word)) }
        service.on(.getID) { _ in .fault("NotAuthorizedException", "Token is not from a supported provider") }
        await #expect(throws: CognitoError.self) {
            try await client.signIn(username: "alice", password: Secret(word), prompt: NoPrompt())
        }
        let all = lines.all.joined(separator: "\n")
        #expect(!lines.all.isEmpty)
        #expect(!all.contains(word))
        #expect(!all.contains(Fixture.idToken().reveal()))
    }
}

/// Collects what is logged, metadata included.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }

    var logger: Logger {
        var logger = Logger(label: "test") { _ in Collector(lines: self) }
        logger.logLevel = .trace
        return logger
    }

    fileprivate func add(_ line: String) { lines.withLock { $0.append(line) } }
}

private struct Collector: LogHandler {
    let lines: LogLines
    var logLevel = Logger.Level.trace
    var metadata: Logger.Metadata = [:]
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { lines.add("\(event.level) \(event.message) \(event.metadata ?? [:])") }
}
