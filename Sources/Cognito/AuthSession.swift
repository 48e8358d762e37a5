/// Somebody signed in to one app: all that is kept of it.
public struct AuthSession: Sendable, Equatable {
    public var userPoolID: String
    public var clientID: String
    public var identityPoolID: String
    /// The name as it was typed.
    public var signInName: String
    public var identityID: IdentityID
    public var tokens: TokenSet
    /// The last credentials, so that a mount starts without the network while they live.
    public var credentials: AWSCredentials?
    /// Seconds since 1970.
    public var signedInAt: Double

    public init(
        userPoolID: String, clientID: String, identityPoolID: String, signInName: String, identityID: IdentityID,
        tokens: TokenSet, credentials: AWSCredentials?, signedInAt: Double
    ) {
        self.userPoolID = userPoolID
        self.clientID = clientID
        self.identityPoolID = identityPoolID
        self.signInName = signInName
        self.identityID = identityID
        self.tokens = tokens
        self.credentials = credentials
        self.signedInAt = signedInAt
    }

    /// True when both are sign-ins of one user of one app: the same space.
    public func isSameUser(as other: AuthSession) -> Bool {
        userPoolID == other.userPoolID && identityPoolID == other.identityPoolID
            && tokens.claims.subject == other.tokens.claims.subject && identityID == other.identityID
    }

    /// True for a name that this user may sign in with, as far as that is known. Pools may tell apart by case or not.
    public func mayBeCalled(_ name: String) -> Bool {
        let names = [signInName, tokens.claims.username, tokens.claims.subject] + tokens.claims.aliases
        return names.contains { $0.lowercased() == name.lowercased() }
    }

    /// Refuses a session that was made for another app than the configuration names.
    func check(against configuration: CognitoConfiguration) throws(CognitoError) {
        guard userPoolID == configuration.userPoolID.text, clientID == configuration.clientID,
            identityPoolID == configuration.identityPoolID.text
        else {
            throw CognitoError(
                .otherUser, "The session stored here belongs to another app (user pool \(userPoolID)).",
                remedy: "Run `cognitofs login` with this configuration, or use another state_dir.")
        }
    }

    /// For `whoami`: no secret in it.
    public var summary: SessionSummary {
        SessionSummary(
            signInName: signInName, username: tokens.claims.username, subject: tokens.claims.subject,
            identityID: identityID, userPoolID: userPoolID, signedInAt: signedInAt,
            tokensExpire: tokens.claims.expires, credentialsExpire: credentials?.lifetime.ends)
    }
}

/// Who is signed in, and how long what they hold lasts. Times are seconds since 1970 of the service's clock.
public struct SessionSummary: Sendable, Equatable {
    public var signInName: String
    public var username: String
    public var subject: String
    public var identityID: IdentityID
    public var userPoolID: String
    public var signedInAt: Double
    /// When the ID token ends; it is renewed on its own until the session ends.
    public var tokensExpire: Double
    public var credentialsExpire: Double?
}
