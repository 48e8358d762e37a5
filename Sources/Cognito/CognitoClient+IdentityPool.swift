extension CognitoClient {
    /// The user's identity in the pool, which names the user's space. The same for the same user, always.
    func identityID(for tokens: TokenSet) async throws(CognitoError) -> IdentityID {
        struct Answer: Decodable { var identityId: String }
        let answer = try await service.call(
            .getID, ["IdentityPoolId": .text(configuration.identityPoolID.text), "Logins": logins(tokens)],
            as: Answer.self)
        guard let identity = IdentityID(answer.identityId) else { throw .invalidAnswer("a strange identity id") }
        return identity
    }

    /// Keys for the user's role. The identity in the answer is the one that counts.
    func credentials(
        for identity: IdentityID, _ tokens: TokenSet
    ) async throws(CognitoError) -> (identity: IdentityID, credentials: AWSCredentials) {
        struct Answer: Decodable {
            struct Keys: Decodable {
                var accessKeyId, secretKey, sessionToken: String
                /// Seconds since 1970, often in exponent form.
                var expiration: Double
            }
            var identityId: String
            var credentials: Keys
        }
        let answer = try await service.call(
            .getCredentialsForIdentity, ["IdentityId": .text(identity.text), "Logins": logins(tokens)],
            as: Answer.self)
        let keys = answer.credentials
        guard let identity = IdentityID(answer.identityId),
            let credentials = AWSCredentials(
                accessKeyID: keys.accessKeyId, secretAccessKey: Secret(keys.secretKey),
                sessionToken: Secret(keys.sessionToken), begins: clock.now(), ends: keys.expiration)
        else { throw .invalidAnswer("strange credentials") }
        return (identity, credentials)
    }

    /// The ID token under its issuer's name; never the access token.
    private func logins(_ tokens: TokenSet) -> JSONField {
        .object([tokens.claims.providerName: .secret(tokens.idToken)])
    }
}
