/// One sign-in with user name and password, from the first message to the tokens: events in, actions out, no I/O.
///
/// The password is there before the first message, since the pool waits only seconds for its proof. A refused code or
/// new password is asked for again, `maximumTries` times in all; a sign-in that took too long for the pool begins
/// again, once.
struct SignInFlow: Sendable {
    enum Event: Sendable {
        /// `random`: fresh bytes for the SRP exchange.
        case begin(random: [UInt8])
        /// `now`: seconds since 1970 of the service's clock.
        case answer(AuthStep, now: Double)
        case refused(CognitoError)
        case code(Secret)
        case newPassword(NewPassword)
        case factor(String)
    }

    enum Action: Sendable, Equatable {
        /// Answer with `.begin`.
        case beginAgain
        case initiate(JSONFields)
        case respond(Challenge, JSONFields)
        case askCode(CodeRequest)
        case askNewPassword(NewPasswordRequest)
        case askFactor([String])
        case finish(TokenGrant)
        case fail(CognitoError)
    }

    static let maximumTries = 3
    /// A sign-in has a password and perhaps two more questions; a pool that asks on and on is broken.
    static let maximumChallenges = 12

    private enum State: Sendable {
        case idle
        case initiating(SRPExchange)
        /// The person is being asked about `challenge`.
        case asking(Challenge)
        case responding(Challenge)
        case over
    }

    private let poolName: String
    private let typedName: String
    private let password: Secret
    private let secretHash: @Sendable (String) -> JSONField?
    private var state = State.idle
    private var tries = 1
    private var challenges = 0
    private var begunAgain = false
    /// The name the pool answers to: what was typed at first, then what the pool calls the user.
    private(set) var username: String

    init(
        poolName: String, username: String, password: Secret, secretHash: @escaping @Sendable (String) -> JSONField?
    ) {
        self.poolName = poolName
        self.typedName = username
        self.username = username
        self.password = password
        self.secretHash = secretHash
    }

    mutating func handle(_ event: Event) -> Action {
        switch (state, event) {
        case (.idle, .begin(let random)): return begin(random)
        case (.initiating(let exchange), .answer(let step, let now)): return receive(step, exchange, now: now)
        case (.responding, .answer(let step, let now)): return receive(step, nil, now: now)
        case (.initiating, .refused(let error)): return fail(error)
        case (.responding(let challenge), .refused(let error)): return refused(challenge, error)
        case (.asking(let challenge), .code(let code)): return answerCode(challenge, code)
        case (.asking(let challenge), .newPassword(let new)): return answerNewPassword(challenge, new)
        case (.asking(let challenge), .factor(let factor)):
            return respond(challenge, ["ANSWER": .text(factor)])
        default: preconditionFailure("an event that no action asked for")
        }
    }

    private mutating func begin(_ random: [UInt8]) -> Action {
        username = typedName
        guard let exchange = SRPExchange(poolName: poolName, random: random) else {
            return fail(CognitoError(.unavailable, "No usable random number was drawn.", remedy: "Try again."))
        }
        state = .initiating(exchange)
        var parameters: JSONFields = ["USERNAME": .text(typedName), "SRP_A": .text(exchange.publicValue)]
        parameters["SECRET_HASH"] = secretHash(typedName)
        return .initiate(parameters)
    }

    private mutating func receive(_ step: AuthStep, _ exchange: SRPExchange?, now: Double) -> Action {
        switch step {
        case .tokens(let grant):
            state = .over
            return .finish(grant)
        case .challenge(let challenge):
            challenges += 1
            tries = 1
            guard challenges <= Self.maximumChallenges else { return fail(.invalidAnswer("challenges without end")) }
            if let name = challenge.parameters["USER_ID_FOR_SRP"] ?? challenge.parameters["USERNAME"] {
                guard (1...256).contains(name.utf8.count) else { return fail(.invalidAnswer("a strange user name")) }
                username = name
            }
            return meet(challenge, exchange, now: now)
        }
    }

    private mutating func meet(_ challenge: Challenge, _ exchange: SRPExchange?, now: Double) -> Action {
        switch (challenge.name, exchange) {
        case ("PASSWORD_VERIFIER", .some(let exchange)): return provePassword(challenge, exchange, now: now)
        case ("SMS_MFA", _), ("SOFTWARE_TOKEN_MFA", _), ("EMAIL_OTP", _), ("NEW_PASSWORD_REQUIRED", _),
            ("SELECT_MFA_TYPE", _):
            return ask(challenge, complaint: nil)
        default: return fail(.unsupported(challenge: challenge.name))
        }
    }

    private mutating func provePassword(_ challenge: Challenge, _ exchange: SRPExchange, now: Double) -> Action {
        let parameters = challenge.parameters
        guard let salt = parameters["SALT"], let value = parameters["SRP_B"], let block = parameters["SECRET_BLOCK"],
            now.isFinite, (0..<253_402_300_800).contains(now)
        else { return fail(.invalidAnswer("an SRP challenge without its values")) }
        let proof = SRPExchange.Proof(salt: salt, serverValue: value, secretBlock: block, user: username)
        let timestamp = SRPTimestamp.text(Int64(now))
        do {
            let signature = try exchange.signature(for: proof, password: password, timestamp: timestamp)
            return respond(
                challenge,
                [
                    "PASSWORD_CLAIM_SIGNATURE": .text(signature), "PASSWORD_CLAIM_SECRET_BLOCK": .text(block),
                    "TIMESTAMP": .text(timestamp),
                ])
        } catch {
            return fail(error)
        }
    }

    private mutating func ask(_ challenge: Challenge, complaint: String?) -> Action {
        state = .asking(challenge)
        switch challenge.name {
        case "NEW_PASSWORD_REQUIRED":
            return .askNewPassword(
                NewPasswordRequest(requiredAttributes: challenge.missingAttributes, complaint: complaint))
        case "SELECT_MFA_TYPE":
            let factors = challenge.factors
            return factors.isEmpty ? fail(.invalidAnswer("no factor to choose from")) : .askFactor(factors)
        default: return .askCode(challenge.codeRequest(complaint: complaint))
        }
    }

    private mutating func answerCode(_ challenge: Challenge, _ code: Secret) -> Action {
        // The name of the field is the challenge's own with _CODE, for all three.
        respond(challenge, [challenge.name + "_CODE": .secret(code)])
    }

    private mutating func answerNewPassword(_ challenge: Challenge, _ new: NewPassword) -> Action {
        var responses: JSONFields = ["NEW_PASSWORD": .secret(new.password)]
        for name in challenge.missingAttributes {
            responses["userAttributes." + name] = .text(new.attributes[name] ?? "")
        }
        return respond(challenge, responses)
    }

    private mutating func respond(_ challenge: Challenge, _ answers: JSONFields) -> Action {
        state = .responding(challenge)
        var responses = answers
        responses["USERNAME"] = .text(username)
        responses["SECRET_HASH"] = secretHash(username)
        return .respond(challenge, responses)
    }

    private mutating func refused(_ challenge: Challenge, _ error: CognitoError) -> Action {
        switch error.code {
        case .wrongCode, .passwordRefused:
            guard tries < Self.maximumTries else { return fail(error) }
            tries += 1
            return ask(challenge, complaint: error.message)
        case .challengeExpired where !begunAgain:
            begunAgain = true
            state = .idle
            return .beginAgain
        default: return fail(error)
        }
    }

    private mutating func fail(_ error: CognitoError) -> Action {
        state = .over
        return .fail(error)
    }
}
