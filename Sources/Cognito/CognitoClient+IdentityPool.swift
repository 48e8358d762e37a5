extension CognitoClient {
    /// The user's identity in the pool, which names the user's space. The same for the same user, always.
    func identityID(for tokens: TokenSet) async throws(CognitoError) -> IdentityID {
        struct Answer: Decodable { var IdentityId: String }
        let answer = try await service.call(
            .getID, ["IdentityPoolId": .text(configuration.identityPoolID.text), "Logins": logins(tokens)],
            as: Answer.self)
        guard let identity = IdentityID(answer.IdentityId) else { throw .invalidAnswer("a strange identity id") }
        return identity
    }

    /// Keys for the user's role. The identity in the answer is the one that counts.
    func credentials(
        for identity: IdentityID, _ tokens: TokenSet
    ) async throws(CognitoError) -> (identity: IdentityID, credentials: AWSCredentials) {
        struct Answer: Decodable {
            struct Keys: Decodable {
                var AccessKeyId, SecretKey, SessionToken: String
                /// Seconds since 1970, often in exponent form.
                var Expiration: Double
            }
            var IdentityId: String
            var Credentials: Keys
        }
        let answer = try await service.call(
            .getCredentialsForIdentity, ["IdentityId": .text(identity.text), "Logins": logins(tokens)],
            as: Answer.self)
        let keys = answer.Credentials
        guard let identity = IdentityID(answer.IdentityId),
            let credentials = AWSCredentials(
                accessKeyID: keys.AccessKeyId, secretAccessKey: Secret(keys.SecretKey),
                sessionToken: Secret(keys.SessionToken), begins: clock.now(), ends: keys.Expiration)
        else { throw .invalidAnswer("strange credentials") }
        return (identity, credentials)
    }

    /// The ID token under its issuer's name; never the access token.
    private func logins(_ tokens: TokenSet) -> JSONField {
        .object([tokens.claims.providerName: .secret(tokens.idToken)])
    }
}
