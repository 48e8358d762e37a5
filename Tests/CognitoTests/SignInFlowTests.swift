import Testing

@testable import Cognito

@Suite("The sign-in flow") struct SignInFlowTests {
    typealias Event = SignInFlow.Event
    static let random = [UInt8](repeating: 9, count: 128)

    /// A flow whose first message has been sent.
    private func started(secret: Bool = false) -> SignInFlow {
        var flow = SignInFlow(
            poolName: "Ab3dEf9Hi", username: "Alice@Example.com", password: Secret("Passw0rd!"),
            secretHash: { secret ? .text("hash of \($0)") : nil })
        _ = flow.handle(.begin(random: Self.random))
        return flow
    }

    private func challenge(_ name: String, _ parameters: [String: String] = [:]) -> Challenge {
        Challenge(name: name, session: Secret("session of \(name)"), parameters: parameters)
    }

    private let verifier = [
        "SALT": "aa", "SRP_B": "bbbb", "SECRET_BLOCK": "c2VjcmV0", "USER_ID_FOR_SRP": "internal", "USERNAME": "alias",
    ]

    private func arrive(_ flow: inout SignInFlow, _ name: String, _ parameters: [String: String] = [:])
        -> SignInFlow.Action
    {
        flow.handle(.answer(.challenge(challenge(name, parameters)), now: Fixture.start))
    }

    private func isFailure(_ action: SignInFlow.Action, _ code: CognitoError.Code) -> Bool {
        if case .fail(let error) = action { return error.code == code }
        return false
    }

    @Test("The first message has the typed name, the public value and the hash of that name") func firstMessage() {
        var flow = SignInFlow(
            poolName: "p", username: "Alice@Example.com", password: Secret("x"), secretHash: { .text("hash of \($0)") })
        guard case .initiate(let fields) = flow.handle(.begin(random: Self.random)) else {
            Issue.record("no first message")
            return
        }
        #expect(fields["USERNAME"] == .text("Alice@Example.com"))
        #expect(fields["SECRET_HASH"] == .text("hash of Alice@Example.com"))
        #expect(fields["SRP_A"] != nil)
    }

    @Test("The proof names the pool's own name for the user, in the hash too, and echoes the secret block") func proof()
    {
        var flow = started(secret: true)
        guard case .respond(let challenge, let fields) = arrive(&flow, "PASSWORD_VERIFIER", verifier) else {
            Issue.record("no proof")
            return
        }
        #expect(challenge.session == Secret("session of PASSWORD_VERIFIER"))
        #expect(fields["USERNAME"] == .text("internal"))
        #expect(fields["SECRET_HASH"] == .text("hash of internal"))
        #expect(fields["PASSWORD_CLAIM_SECRET_BLOCK"] == .text("c2VjcmV0"))
        #expect(fields["TIMESTAMP"] == .text("Sat Nov 21 08:05:09 UTC 2026"))
        #expect(fields["PASSWORD_CLAIM_SIGNATURE"] != nil)
    }

    @Test("A wrong password fails at once and is not sent again") func wrongPassword() {
        var flow = started()
        _ = arrive(&flow, "PASSWORD_VERIFIER", verifier)
        #expect(isFailure(flow.handle(.refused(.wrongPassword)), .wrongPassword))
    }

    @Test(
        "A proof without its values, or with values that are no numbers, is an invalid answer",
        arguments: ["SALT", "SRP_B", "SECRET_BLOCK"])
    func missingValues(_ name: String) {
        for value in [nil, "not hex or base64 !"] {
            var flow = started()
            var parameters = verifier
            parameters[name] = value
            #expect(isFailure(arrive(&flow, "PASSWORD_VERIFIER", parameters), .invalidAnswer))
        }
    }

    @Test(
        "A challenge that is not supported is named, with a way out",
        arguments: [
            "MFA_SETUP", "CUSTOM_CHALLENGE", "WEB_AUTHN", "SELECT_CHALLENGE", "PASSWORD", "PASSWORD_SRP", "SMS_OTP",
            "DEVICE_SRP_AUTH", "DEVICE_PASSWORD_VERIFIER", "SOMETHING_NEW",
        ])
    func unsupported(_ name: String) {
        var flow = started()
        guard case .fail(let error) = arrive(&flow, name) else {
            Issue.record("\(name) did not fail")
            return
        }
        #expect(error.code == .unsupportedChallenge)
        #expect(error.message.contains(name))
        #expect(!error.remedy.isEmpty)
    }

    @Test("A second proof of the password in one sign-in is refused") func secondVerifier() {
        var flow = started()
        _ = arrive(&flow, "PASSWORD_VERIFIER", verifier)
        #expect(isFailure(arrive(&flow, "PASSWORD_VERIFIER", verifier), .unsupportedChallenge))
    }

    @Test(
        "A code is asked for, sent under the challenge's own name, and a wrong one asked again three times in all",
        arguments: [
            ("SMS_MFA", CodeRequest.Kind.sms), ("EMAIL_OTP", .email), ("SOFTWARE_TOKEN_MFA", .authenticatorApp),
        ])
    func codes(_ name: String, _ kind: CodeRequest.Kind) {
        var flow = started()
        _ = arrive(&flow, "PASSWORD_VERIFIER", verifier)
        var action = arrive(&flow, name, ["CODE_DELIVERY_DESTINATION": "+***\u{1B}[31m12"])
        for attempt in 1...3 {
            guard case .askCode(let request) = action else {
                Issue.record("no question at attempt \(attempt)")
                return
            }
            #expect(request.kind == kind)
            #expect(request.destination == "+***[31m12")
            #expect((request.complaint == nil) == (attempt == 1))
            guard case .respond(let challenge, let fields) = flow.handle(.code(Secret("12345\(attempt)"))) else {
                Issue.record("no answer")
                return
            }
            #expect(challenge.session == Secret("session of \(name)"))
            #expect(fields["\(name)_CODE"] == .secret(Secret("12345\(attempt)")))
            #expect(fields["USERNAME"] == .text("internal"))
            action = flow.handle(.refused(CognitoError(.wrongCode, "That code is wrong.")))
        }
        #expect(isFailure(action, .wrongCode))
    }

    @Test("A new password comes with the required attributes that have no value yet, and is asked again when refused")
    func newPassword() {
        var flow = started()
        _ = arrive(&flow, "PASSWORD_VERIFIER", verifier)
        let parameters = [
            "requiredAttributes": #"["userAttributes.name","userAttributes.email","userAttributes."]"#,
            "userAttributes": #"{"email":"a@example.com","name":""}"#,
        ]
        let ask = arrive(&flow, "NEW_PASSWORD_REQUIRED", parameters)
        #expect(ask == .askNewPassword(NewPasswordRequest(requiredAttributes: ["name"], complaint: nil)))
        let new = NewPassword(password: Secret("N3w!"), attributes: ["name": "Alice", "email": "evil@example.com"])
        guard case .respond(_, let fields) = flow.handle(.newPassword(new)) else {
            Issue.record("no answer")
            return
        }
        #expect(fields["NEW_PASSWORD"] == .secret(Secret("N3w!")))
        #expect(fields["userAttributes.name"] == .text("Alice"))
        #expect(fields["userAttributes.email"] == nil)
        let again = flow.handle(.refused(CognitoError(.passwordRefused, "Password too short")))
        #expect(
            again == .askNewPassword(NewPasswordRequest(requiredAttributes: ["name"], complaint: "Password too short")))
    }

    @Test("A second factor is chosen from what the pool offers, spelled as it is there") func factors() {
        var flow = started()
        _ = arrive(&flow, "PASSWORD_VERIFIER", verifier)
        let ask = arrive(&flow, "SELECT_MFA_TYPE", ["MFAS_CAN_CHOOSE": #"["SMS_MFA","EMAIL_OTP"]"#])
        #expect(ask == .askFactor(["SMS_MFA", "EMAIL_OTP"]))
        guard case .respond(let challenge, let fields) = flow.handle(.factor("EMAIL_OTP")) else {
            Issue.record("no answer")
            return
        }
        #expect(challenge.name == "SELECT_MFA_TYPE")
        #expect(fields["ANSWER"] == .text("EMAIL_OTP"))
        guard case .askCode(let request) = arrive(&flow, "EMAIL_OTP") else {
            Issue.record("no question")
            return
        }
        #expect(request.kind == .email)
    }

    @Test("An offer of no factors, or of text that is no list, is an invalid answer", arguments: ["[]", "x", "{}"])
    func noFactors(_ offer: String) {
        var flow = started()
        #expect(isFailure(arrive(&flow, "SELECT_MFA_TYPE", ["MFAS_CAN_CHOOSE": offer]), .invalidAnswer))
    }

    @Test("A sign-in that took too long begins again once, with the typed name, and then gives up") func tooLong() {
        var flow = started()
        let expired = CognitoError(.challengeExpired, "That took too long.")
        _ = arrive(&flow, "PASSWORD_VERIFIER", verifier)
        _ = arrive(&flow, "SMS_MFA")
        _ = flow.handle(.code(Secret("1")))
        #expect(flow.handle(.refused(expired)) == .beginAgain)
        guard case .initiate(let fields) = flow.handle(.begin(random: Self.random)) else {
            Issue.record("did not begin again")
            return
        }
        #expect(fields["USERNAME"] == .text("Alice@Example.com"))
        _ = arrive(&flow, "PASSWORD_VERIFIER", verifier)
        _ = arrive(&flow, "SMS_MFA")
        _ = flow.handle(.code(Secret("1")))
        #expect(isFailure(flow.handle(.refused(expired)), .challengeExpired))
    }

    @Test("A pool that asks on and on is given up") func endless() {
        var flow = started()
        var action = arrive(&flow, "PASSWORD_VERIFIER", verifier)
        for _ in 0..<SignInFlow.maximumChallenges - 1 {
            action = arrive(&flow, "SMS_MFA")
            guard case .askCode = action else { break }
            _ = flow.handle(.code(Secret("1")))
        }
        action = arrive(&flow, "SMS_MFA")
        #expect(isFailure(action, .invalidAnswer))
    }

    @Test("Tokens end the flow") func tokens() {
        var flow = started()
        _ = arrive(&flow, "PASSWORD_VERIFIER", verifier)
        let grant = TokenGrant(
            idToken: Secret("i"), accessToken: Secret("a"), refreshToken: Secret("r"), deviceKey: nil)
        #expect(flow.handle(.answer(.tokens(grant), now: Fixture.start)) == .finish(grant))
    }
}
