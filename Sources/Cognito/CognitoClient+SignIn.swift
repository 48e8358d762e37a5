import Logging

extension CognitoClient {
    /// Signs in with a password and whatever else the pool asks for, and gets the user's identity and first
    /// credentials. Nothing is stored: give the session to `AuthSessionStore.begin`.
    public func signIn(
        username: String, password: Secret, prompt: any SignInPrompt
    ) async throws(CognitoError) -> AuthSession {
        guard (1...128).contains(username.count), username.utf8.count <= 512 else {
            throw CognitoError(.wrongPassword, "A user name has 1 to 128 characters.")
        }
        guard (1...256).contains(password.byteCount) else {
            throw CognitoError(.wrongPassword, "A password has 1 to 256 characters.")
        }
        let grant = try await tokens(username: username, password: password, prompt: prompt)
        guard let refreshToken = grant.refreshToken else { throw .invalidAnswer("a sign-in without a refresh token") }
        let tokens = try tokenSet(grant, refreshToken: refreshToken, deviceKey: grant.deviceKey)
        let identity = try await identityID(for: tokens)
        let answer = try await credentials(for: identity, tokens)
        logger.info("Signed in", metadata: ["identity": "\(answer.identity)"])
        return AuthSession(
            userPoolID: configuration.userPoolID.text, clientID: configuration.clientID,
            identityPoolID: configuration.identityPoolID.text, signInName: username, identityID: answer.identity,
            tokens: tokens, credentials: answer.credentials, signedInAt: clock.now())
    }

    private func tokens(
        username: String, password: Secret, prompt: any SignInPrompt
    ) async throws(CognitoError) -> TokenGrant {
        var flow = SignInFlow(
            poolName: configuration.userPoolID.name, username: username, password: password,
            secretHash: { secretHash(for: $0) })
        var action = flow.handle(.begin(random: random(SRPExchange.exponentByteCount)))
        while true {
            let event: SignInFlow.Event
            switch action {
            case .finish(let grant): return grant
            case .fail(let error): throw error
            case .beginAgain: event = .begin(random: random(SRPExchange.exponentByteCount))
            case .initiate(let parameters):
                event = await outcome { () async throws(CognitoError) in try await initiateAuth(parameters) }
            case .respond(let challenge, let responses):
                event = await outcome { () async throws(CognitoError) in try await respond(to: challenge, responses) }
            case .askCode(let request): event = .code(try await prompt.code(request))
            case .askNewPassword(let request): event = .newPassword(try await prompt.newPassword(request))
            case .askFactor(let factors): event = .factor(try await prompt.chooseFactor(factors))
            }
            action = flow.handle(event)
        }
    }

    private func outcome(_ call: () async throws(CognitoError) -> AuthStep) async -> SignInFlow.Event {
        do {
            let step = try await call()
            return .answer(step, now: clock.now())
        } catch {
            return .refused(error)
        }
    }
}
