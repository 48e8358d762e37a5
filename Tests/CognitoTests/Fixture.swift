import Bytes
import FoundationEssentials
import HTTPTransport
import Logging
import Synchronization

@testable import Cognito

/// Values that tests share.
enum Fixture {
    static let poolID = "us-east-1_Ab3dEf9Hi"
    static let clientID = "1example23456789"
    static let identityPoolID = "us-east-1:f602c14b-0fde-409c-9a7e-0baccbfd87d0"
    static let identity = "us-east-1:11111111-2222-3333-4444-555555555555"
    static let otherIdentity = "us-east-1:99999999-2222-3333-4444-555555555555"
    /// The service's time when a test begins: 2026-11-21 08:05:09 UTC.
    static let start = 1_795_248_309.0

    static func configuration(clientSecret: String? = nil) throws -> CognitoConfiguration {
        try CognitoConfiguration(
            userPoolID: poolID, clientID: clientID, clientSecret: clientSecret.map { Secret($0) },
            identityPoolID: identityPoolID, userPoolEndpoint: "http://127.0.0.1:1",
            identityPoolEndpoint: "http://127.0.0.1:1")
    }

    static func client(
        _ service: FakeService, clock: TestClock = TestClock(), logger: Logger = quiet, clientSecret: String? = nil
    ) throws -> CognitoClient {
        CognitoClient(
            configuration: try configuration(clientSecret: clientSecret), transport: service, logger: logger,
            clock: clock.wall)
    }

    static let quiet = Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() }

    static func idToken(
        issued: Double = start, life: Double = 3600, subject: String = "sub-alice", pool: String = poolID,
        use: String = "id"
    ) -> Secret {
        let payload = """
            {"iss":"https://cognito-idp.us-east-1.amazonaws.com/\(pool)","sub":"\(subject)","token_use":"\(use)",
            "cognito:username":"alice-internal","iat":\(Int(issued)),"exp":\(Int(issued + life))}
            """
        return Secret("e30.\(Base64.encode(Array(payload.utf8)).replacing("=", with: "")).c2ln")
    }

    static func session(
        refreshToken: String = "refresh-1", secretKey: String = "secret-key", subject: String = "sub-alice",
        identity: String = identity, tokenIssued: Double = start, tokenLife: Double = 3600,
        credentialsLife: Double? = 3600, signedInAt: Double = start
    ) -> AuthSession {
        let token = idToken(issued: tokenIssued, life: tokenLife, subject: subject)
        return AuthSession(
            userPoolID: poolID, clientID: clientID, identityPoolID: identityPoolID, signInName: "alice",
            identityID: known(IdentityID(identity)),
            tokens: TokenSet(
                idToken: token, accessToken: Secret("access"), refreshToken: Secret(refreshToken), deviceKey: nil,
                claims: IDTokenClaims(
                    issuer: "https://cognito-idp.us-east-1.amazonaws.com/\(poolID)", subject: subject,
                    username: "alice-internal", issuedAt: tokenIssued.rounded(.down),
                    expires: (tokenIssued + tokenLife).rounded(.down))),
            credentials: credentialsLife.map {
                AWSCredentials(
                    accessKeyID: "ASIASTORED0000000000", secretAccessKey: Secret(secretKey),
                    sessionToken: Secret("token"), lifetime: Lifetime(begins: start, ends: start + $0))
            }, signedInAt: signedInAt)
    }

    static func tokenAnswer(
        issued: Double = start, life: Double = 3600, refreshToken: String? = nil, subject: String = "sub-alice"
    ) -> String {
        let token = idToken(issued: issued, life: life, subject: subject).reveal()
        let refresh = refreshToken.map { #","RefreshToken":"\#($0)""# } ?? ""
        return #"{"AuthenticationResult":{"IdToken":"\#(token)","AccessToken":"access","ExpiresIn":3600\#(refresh)}}"#
    }

    static func credentialsAnswer(key: String, ends: Double, identity: String = identity) -> String {
        """
        {"IdentityId":"\(identity)","Credentials":{"AccessKeyId":"\(key)","SecretKey":"secret-of-\(key)",
        "SessionToken":"token-of-\(key)","Expiration":\(ends / 1e9)E9}}
        """
    }

    static func known<T>(_ value: T?) -> T {
        guard let value else { fatalError("a fixture that is not valid") }
        return value
    }
}

/// A clock that a test turns. Sleeping ends when the time has been turned past its end.
final class TestClock: Sendable {
    private struct State {
        var now = Fixture.start
        var sleepers: [UInt64: (end: Double, continuation: CheckedContinuation<Void, Never>)] = [:]
        var next: UInt64 = 0
    }
    private let state = Mutex(State())

    var now: Double { state.withLock { $0.now } }

    func advance(_ seconds: Double) {
        let woken = state.withLock { state in
            state.now += seconds
            let due = state.sleepers.filter { $0.value.end <= state.now }
            for id in due.keys { state.sleepers[id] = nil }
            return due.values.map(\.continuation)
        }
        for continuation in woken { continuation.resume() }
    }

    /// Short waits (retries, lock polls) take no time at all; long ones need `advance`.
    var wall: WallClock {
        WallClock(
            now: { self.now },
            sleep: { duration in
                guard duration > .seconds(2) else { return await Task.yield() }
                let id = self.state.withLock { state in
                    state.next += 1
                    return state.next
                }
                await withTaskCancellationHandler {
                    await withCheckedContinuation { continuation in
                        let ended = self.state.withLock { state in
                            if Task.isCancelled { return true }
                            let seconds = Double(duration.components.seconds)
                            state.sleepers[id] = (state.now + seconds, continuation)
                            return false
                        }
                        if ended { continuation.resume() }
                    }
                } onCancel: {
                    self.state.withLock { $0.sleepers.removeValue(forKey: id) }?.continuation.resume()
                }
            })
    }
}

/// Asks nobody.
struct NoPrompt: SignInPrompt {
    func code(_ request: CodeRequest) async throws(CognitoError) -> Secret { throw .cancelled }
    func newPassword(_ request: NewPasswordRequest) async throws(CognitoError) -> NewPassword { throw .cancelled }
    func chooseFactor(_ factors: [String]) async throws(CognitoError) -> String { throw .cancelled }
}
