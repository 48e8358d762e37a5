import Bytes
import HTTPTransport
import Logging
import Sealing

/// The calls to one app's user pool and identity pool. Holds no session; safe to share.
///
/// Every call ends inside about ten seconds, with an answer or an error; cancelling the task ends it at once.
public struct CognitoClient: Sendable {
    public let configuration: CognitoConfiguration
    let service: JSONService
    let clock: ServerClock
    let random: @Sendable (Int) -> [UInt8]
    let logger: Logger

    public init(
        configuration: CognitoConfiguration, transport: any HTTPTransport, logger: Logger, clock: WallClock = .system,
        random: @escaping @Sendable (Int) -> [UInt8] = { SecureRandom.bytes($0) }
    ) {
        self.configuration = configuration
        self.clock = ServerClock(clock)
        self.random = random
        self.logger = logger
        service = JSONService(
            configuration: configuration, transport: transport, clock: self.clock, random: random, logger: logger)
    }

    /// How many seconds the local clock is behind the service's, as its answers showed; 0 while it is about right.
    public var clockCorrectionSeconds: Double { clock.correctionSeconds }

    /// `SECRET_HASH` for `username`; nil for an app client without a secret.
    func secretHash(for username: String) -> JSONField? {
        configuration.clientSecret.map { secret in
            .text(Self.secretHash(username: username, clientID: configuration.clientID, clientSecret: secret))
        }
    }

    /// base64(HMAC-SHA256(client secret, username + client id)).
    static func secretHash(username: String, clientID: String, clientSecret: Secret) -> String {
        let message = Array((username + clientID).utf8)
        return Base64.encode(
            clientSecret.withUTF8 { key in message.withUnsafeBytes { HMACSHA256.authenticate(key: key, message: $0) } })
    }
}
