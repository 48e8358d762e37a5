/// What the user pool answers to a step of a sign-in.
enum AuthStep: Sendable, Equatable {
    case tokens(TokenGrant)
    case challenge(Challenge)
}

/// The tokens of one answer, as they came.
struct TokenGrant: Sendable, Equatable {
    var idToken: Secret
    var accessToken: Secret
    /// Missing when the old one stays good.
    var refreshToken: Secret?
    var deviceKey: String?
}

/// A question of the pool.
struct Challenge: Sendable, Equatable {
    /// `SOFTWARE_TOKEN_MFA` and so on.
    var name: String
    /// Echoed as it came.
    var session: Secret?
    var parameters: [String: String]
}

extension CognitoClient {
    func initiateAuth(_ parameters: JSONFields, flow: String = "USER_SRP_AUTH") async throws(CognitoError) -> AuthStep {
        let answer = try await service.call(
            flow == "REFRESH_TOKEN_AUTH" ? .refreshTokenAuth : .initiateAuth,
            [
                "ClientId": .text(configuration.clientID), "AuthFlow": .text(flow),
                "AuthParameters": .object(parameters),
            ], as: AuthAnswer.self)
        return try answer.step()
    }

    func respond(
        to challenge: Challenge, _ responses: JSONFields
    ) async throws(CognitoError) -> AuthStep {
        var fields: JSONFields = [
            "ClientId": .text(configuration.clientID), "ChallengeName": .text(challenge.name),
            "ChallengeResponses": .object(responses),
        ]
        fields["Session"] = challenge.session.map { .secret($0) }
        return try await service.call(.respondToAuthChallenge, fields, as: AuthAnswer.self).step()
    }

    /// New ID and access tokens. With rotation the answer carries a new refresh token, which must be stored before
    /// anything else is done with the answer: the old one dies.
    func refresh(_ tokens: TokenSet) async throws(CognitoError) -> TokenSet {
        let grant: TokenGrant
        do {
            grant = try await getTokens(tokens)
        } catch {
            guard error.code == .unsupportedOperation else { throw error }
            grant = try await refreshTokenAuth(tokens)
        }
        return try tokenSet(
            grant, refreshToken: grant.refreshToken ?? tokens.refreshToken,
            deviceKey: grant.deviceKey ?? tokens.deviceKey)
    }

    private func getTokens(_ tokens: TokenSet) async throws(CognitoError) -> TokenGrant {
        var fields: JSONFields = [
            "RefreshToken": .secret(tokens.refreshToken), "ClientId": .text(configuration.clientID),
        ]
        fields["ClientSecret"] = configuration.clientSecret.map { .secret($0) }
        fields["DeviceKey"] = tokens.deviceKey.map { .text($0) }
        return try grant(
            in: try await service.call(.getTokensFromRefreshToken, fields, as: AuthAnswer.self).step())
    }

    /// For services that do not know `GetTokensFromRefreshToken`. The hash is over the internal name, also in pools of aliases.
    private func refreshTokenAuth(_ tokens: TokenSet) async throws(CognitoError) -> TokenGrant {
        var parameters: JSONFields = ["REFRESH_TOKEN": .secret(tokens.refreshToken)]
        parameters["SECRET_HASH"] = secretHash(for: tokens.claims.username)
        parameters["DEVICE_KEY"] = tokens.deviceKey.map { .text($0) }
        return try grant(in: try await initiateAuth(parameters, flow: "REFRESH_TOKEN_AUTH"))
    }

    private func grant(in step: AuthStep) throws(CognitoError) -> TokenGrant {
        guard case .tokens(let grant) = step else { throw .invalidAnswer("a challenge to a refresh") }
        return grant
    }

    /// Checks a grant and reads its ID token.
    func tokenSet(
        _ grant: TokenGrant, refreshToken: Secret, deviceKey: String?
    ) throws(CognitoError) -> TokenSet {
        TokenSet(
            idToken: grant.idToken, accessToken: grant.accessToken, refreshToken: refreshToken, deviceKey: deviceKey,
            claims: try IDTokenClaims(idToken: grant.idToken, userPoolID: configuration.userPoolID))
    }

    /// Ends the refresh token and all tokens that came from it.
    func revoke(_ refreshToken: Secret) async throws(CognitoError) {
        var fields: JSONFields = ["Token": .secret(refreshToken), "ClientId": .text(configuration.clientID)]
        fields["ClientSecret"] = configuration.clientSecret.map { .secret($0) }
        try await service.call(.revokeToken, fields)
    }

    /// The attributes of the signed-in user, by name.
    public func getUser(_ session: AuthSession) async throws(CognitoError) -> [String: String] {
        struct Answer: Decodable {
            struct Attribute: Decodable { var name, value: String? }
            var userAttributes: [Attribute]?
        }
        let answer = try await service.call(
            .getUser, ["AccessToken": .secret(session.tokens.accessToken)], as: Answer.self)
        return (answer.userAttributes ?? []).prefix(200).reduce(into: [:]) { attributes, attribute in
            if let name = attribute.name, let value = attribute.value { attributes[name] = value }
        }
    }
}

/// The wire form shared by InitiateAuth, RespondToAuthChallenge and GetTokensFromRefreshToken.
private struct AuthAnswer: Decodable {
    struct Result: Decodable {
        struct Device: Decodable { var deviceKey: String? }
        var accessToken, idToken, refreshToken: String?
        var newDeviceMetadata: Device?
    }
    var authenticationResult: Result?
    var challengeName: String?
    var challengeParameters: [String: String]?
    var session: String?

    /// Session tickets are at most 2048 bytes today; parameters hold the user's attributes and options.
    static let maximumSessionBytes = 16 << 10
    static let maximumParameters = 64

    func step() throws(CognitoError) -> AuthStep {
        if let result = authenticationResult { return .tokens(try grant(result)) }
        guard let name = challengeName, (1...64).contains(name.utf8.count),
            name.utf8.allSatisfy({ isASCIIAlphanumeric($0) || $0 == UInt8(ascii: "_") })
        else { throw .invalidAnswer("neither tokens nor a challenge") }
        guard (session ?? "").utf8.count <= Self.maximumSessionBytes,
            (challengeParameters ?? [:]).count <= Self.maximumParameters
        else { throw .invalidAnswer("a challenge of a strange size") }
        return .challenge(
            Challenge(name: name, session: session.map { Secret($0) }, parameters: challengeParameters ?? [:]))
    }

    private func grant(_ result: Result) throws(CognitoError) -> TokenGrant {
        guard let idToken = result.idToken.flatMap({ boundedToken(Secret($0)) }),
            let accessToken = result.accessToken.flatMap({ boundedToken(Secret($0)) })
        else { throw .invalidAnswer("an answer without tokens") }
        let refreshToken = result.refreshToken.map { Secret($0) }
        if let refreshToken, boundedToken(refreshToken) == nil { throw .invalidAnswer("a strange refresh token") }
        let deviceKey = result.newDeviceMetadata?.deviceKey
        guard (deviceKey ?? "").utf8.count <= 128 else { throw .invalidAnswer("a strange device key") }
        return TokenGrant(
            idToken: idToken, accessToken: accessToken, refreshToken: refreshToken, deviceKey: deviceKey)
    }
}
