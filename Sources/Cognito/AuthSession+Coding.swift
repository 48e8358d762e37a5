import FoundationEssentials

extension AuthSession {
    /// The form on disk, before it is sealed. Apart from the type itself, so that a session is never encoded by accident.
    private struct Stored: Codable {
        struct Credentials: Codable {
            var accessKeyID, secretAccessKey, sessionToken: String
            var begins, ends: Double
        }
        var userPoolID, clientID, identityPoolID, signInName, identityID: String
        var idToken, accessToken, refreshToken: String
        var deviceKey: String?
        var credentials: Credentials?
        var signedInAt: Double
    }

    /// Plain bytes of the session: seal and wipe them.
    func encoded() throws(CognitoError) -> [UInt8] {
        let stored = Stored(
            userPoolID: userPoolID, clientID: clientID, identityPoolID: identityPoolID, signInName: signInName,
            identityID: identityID.text, idToken: tokens.idToken.reveal(), accessToken: tokens.accessToken.reveal(),
            refreshToken: tokens.refreshToken.reveal(), deviceKey: tokens.deviceKey,
            credentials: credentials.map {
                Stored.Credentials(
                    accessKeyID: $0.accessKeyID, secretAccessKey: $0.secretAccessKey.reveal(),
                    sessionToken: $0.sessionToken.reveal(), begins: $0.lifetime.begins, ends: $0.lifetime.ends)
            }, signedInAt: signedInAt)
        guard var json = try? JSONEncoder().encode(stored) else {
            throw CognitoError(.storeFailed, "The session could not be written down.")
        }
        defer { json.resetBytes(in: 0..<json.count) }
        return Array(json)
    }

    /// Nil when the bytes are no session of this version.
    init?(encoded: [UInt8]) {
        guard let stored = try? JSONDecoder().decode(Stored.self, from: Data(encoded)),
            let identity = IdentityID(stored.identityID), let pool = UserPoolID(stored.userPoolID),
            let claims = try? IDTokenClaims(idToken: Secret(stored.idToken), userPoolID: pool),
            let accessToken = boundedToken(Secret(stored.accessToken)),
            let refreshToken = boundedToken(Secret(stored.refreshToken))
        else { return nil }
        self.init(
            userPoolID: stored.userPoolID, clientID: stored.clientID, identityPoolID: stored.identityPoolID,
            signInName: stored.signInName, identityID: identity,
            tokens: TokenSet(
                idToken: Secret(stored.idToken), accessToken: accessToken, refreshToken: refreshToken,
                deviceKey: stored.deviceKey, claims: claims),
            credentials: stored.credentials.flatMap {
                AWSCredentials(
                    accessKeyID: $0.accessKeyID, secretAccessKey: Secret($0.secretAccessKey),
                    sessionToken: Secret($0.sessionToken), begins: $0.begins, ends: $0.ends)
            }, signedInAt: stored.signedInAt)
    }
}
