/// A call to one of the two services.
enum Operation: String, Sendable, CaseIterable {
    case initiateAuth = "InitiateAuth"
    case respondToAuthChallenge = "RespondToAuthChallenge"
    case getTokensFromRefreshToken = "GetTokensFromRefreshToken"
    /// `InitiateAuth` with the flow REFRESH_TOKEN_AUTH.
    case refreshTokenAuth
    case revokeToken = "RevokeToken"
    case getUser = "GetUser"
    case getID = "GetId"
    case getCredentialsForIdentity = "GetCredentialsForIdentity"

    var isIdentityPool: Bool { self == .getID || self == .getCredentialsForIdentity }

    /// The `X-Amz-Target` header.
    var target: String {
        let service = isIdentityPool ? "AWSCognitoIdentityService" : "AWSCognitoIdentityProviderService"
        return "\(service).\(self == .refreshTokenAuth ? Operation.initiateAuth.rawValue : rawValue)"
    }

    /// False where a second sending could count as a failed sign-in: then only a request that was certainly not
    /// received is sent again.
    var mayRepeat: Bool { self != .respondToAuthChallenge }

    /// True for calls that keep a session going, where "not authorized" means that it has ended.
    var renewsSession: Bool { self == .getTokensFromRefreshToken || self == .refreshTokenAuth || self == .getUser }
}
