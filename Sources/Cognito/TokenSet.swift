import Bytes
import FoundationEssentials

/// What a user pool gives a signed-in user.
public struct TokenSet: Sendable, Equatable {
    public var idToken: Secret
    public var accessToken: Secret
    public var refreshToken: Secret
    /// Set when the pool remembers devices: refreshing must name it.
    public var deviceKey: String?
    public var claims: IDTokenClaims
}

/// What the ID token says. Not verified: it came over TLS from the issuer.
public struct IDTokenClaims: Sendable, Equatable {
    /// `https://cognito-idp.<region>.<suffix>/<user pool>`.
    public var issuer: String
    /// The user's immutable id.
    public var subject: String
    /// The name the pool keeps the user under.
    public var username: String
    /// Other names that the pool may let the user sign in with.
    public var aliases: [String]
    /// Seconds since 1970 of the service's clock.
    public var issuedAt: Double
    public var expires: Double

    /// Longest JSON Web Token that is taken.
    static let maximumTokenBytes = 64 << 10

    /// The key of `Logins` in identity pool calls.
    var providerName: String { String(issuer.dropFirst("https://".count)) }

    init(
        issuer: String, subject: String, username: String, aliases: [String] = [], issuedAt: Double, expires: Double
    ) {
        self.issuer = issuer
        self.subject = subject
        self.username = username
        self.aliases = aliases
        self.issuedAt = issuedAt
        self.expires = expires
    }

    /// Reads a token of `userPoolID`; anything else is an answer that makes no sense.
    init(idToken: Secret, userPoolID: UserPoolID) throws(CognitoError) {
        struct Payload: Decodable {
            var iss, sub, tokenUse: String
            var username, email, phoneNumber, preferredUsername: String?
            var iat, exp: Double
            enum CodingKeys: String, CodingKey {
                case iss, sub, iat, exp, email
                case phoneNumber = "phone_number"
                case preferredUsername = "preferred_username"
                case tokenUse = "token_use"
                case username = "cognito:username"
            }
        }
        guard let token = boundedToken(idToken) else { throw .invalidAnswer("an ID token of a strange size") }
        let parts = token.reveal().split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let json = Base64.decode(String(parts[1])),
            let payload = try? JSONDecoder().decode(Payload.self, from: Data(json))
        else { throw .invalidAnswer("an ID token that can't be read") }
        guard payload.tokenUse == "id", payload.iss.hasPrefix("https://"), payload.iss.utf8.count <= 256,
            payload.iss.hasSuffix("/" + userPoolID.text), (1...128).contains(payload.sub.utf8.count),
            (payload.username ?? "").utf8.count <= 128, payload.iat.isFinite, payload.exp.isFinite,
            payload.iat > 0, payload.exp > payload.iat, payload.exp < 1e11
        else { throw .invalidAnswer("an ID token of another pool or form") }
        self.init(
            issuer: payload.iss, subject: payload.sub, username: payload.username ?? payload.sub,
            aliases: [payload.email, payload.phoneNumber, payload.preferredUsername].compactMap(\.self),
            issuedAt: payload.iat, expires: payload.exp)
    }
}

/// A token as it may go into a request: printable ASCII of a bounded length.
func boundedToken(_ token: Secret) -> Secret? {
    guard (1...IDTokenClaims.maximumTokenBytes).contains(token.byteCount),
        token.withUTF8({ $0.allSatisfy { (0x21...0x7E).contains($0) } })
    else { return nil }
    return token
}

/// How long something lives, and when to replace it.
public struct Lifetime: Sendable, Equatable {
    /// Seconds since 1970 of the service's clock.
    public var begins: Double
    public var ends: Double

    public init(begins: Double, ends: Double) {
        self.begins = begins
        self.ends = ends
    }

    /// Renewal starts this many seconds before the end: five minutes, or a quarter of a life shorter than twenty.
    public var renewalMargin: Double { min(300, max(0, ends - begins) / 4) }

    public func isOver(at now: Double) -> Bool { now >= ends }
    public func isDue(at now: Double) -> Bool { now >= ends - renewalMargin }
}

extension IDTokenClaims {
    var lifetime: Lifetime { Lifetime(begins: issuedAt, ends: expires) }
}
