import HTTPTransport
import Testing

@testable import Cognito

@Suite("Calls to the services") struct CognitoClientTests {
    private func refresh(_ service: FakeService) async throws -> TokenSet {
        try await Fixture.client(service).refresh(Fixture.session().tokens)
    }

    @Test("A call is sent three times at most, and again only where a repeat is harmless") func retries() async throws {
        let service = FakeService()
        service.on(.getTokensFromRefreshToken) { _ in .status(500) }
        await #expect(throws: CognitoError.self) { try await refresh(service) }
        #expect(service.count(.getTokensFromRefreshToken) == 3)
        service.on(.getTokensFromRefreshToken) { _ in
            service.calls.count < 5 ? .lost(.connectionLost) : .json(Fixture.tokenAnswer())
        }
        _ = try await refresh(service)
        #expect(service.calls.count == 5)
    }

    @Test(
        "The answer to a challenge is never sent twice once it may have been received",
        arguments: [
            FakeService.Reply.lost(.timedOut), .lost(.connectionLost), .status(500), .status(503),
            .fault("InternalErrorException", "", status: 500), .fault("TooManyRequestsException", ""),
        ])
    func challengeOnce(_ reply: FakeService.Reply) async throws {
        let service = FakeService()
        service.on(.respondToAuthChallenge) { _ in reply }
        let client = try Fixture.client(service)
        let challenge = Challenge(name: "SMS_MFA", session: nil, parameters: [:])
        await #expect(throws: CognitoError.self) { try await client.respond(to: challenge, [:]) }
        #expect(service.calls.count == 1)
    }

    @Test("The answer to a challenge is sent again when the connection was refused") func challengeNotReceived()
        async throws
    {
        let service = FakeService()
        service.on(.respondToAuthChallenge) { _ in
            service.calls.count < 2 ? .lost(.notConnected) : .json(Fixture.tokenAnswer())
        }
        _ = try await Fixture.client(service).respond(
            to: Challenge(name: "SMS_MFA", session: nil, parameters: [:]), [:])
        #expect(service.calls.count == 2)
    }

    @Test("The old way to refresh is used only where the new one is unknown") func fallback() async throws {
        let service = FakeService()
        service.on(.refreshTokenAuth) { _ in .json(Fixture.tokenAnswer()) }
        for (type, falls) in [
            ("UnsupportedOperationException", true), ("UnknownOperationException", true),
            ("NotAuthorizedException", false), ("InvalidParameterException", false),
            ("TooManyRequestsException", false),
        ] {
            service.on(.getTokensFromRefreshToken) { _ in .fault(type, "no") }
            let before = service.count(.refreshTokenAuth)
            let result = try? await refresh(service)
            #expect((service.count(.refreshTokenAuth) > before) == falls, "\(type)")
            #expect((result != nil) == falls, "\(type)")
        }
    }

    @Test("A client secret goes as plain text to the new refresh and as a hash of the internal name to the old")
    func secrets() async throws {
        let service = FakeService()
        let client = try Fixture.client(service, clientSecret: "s3cret")
        let hash = CognitoClient.secretHash(
            username: "alice-internal", clientID: Fixture.clientID, clientSecret: Secret("s3cret"))
        service.on(.getTokensFromRefreshToken) { body in
            body.contains(#""ClientSecret":"s3cret""#) ? .fault("UnsupportedOperationException", "") : .status(400)
        }
        service.on(.refreshTokenAuth) { body in
            let escaped = hash.replacing("/", with: "\\/")
            return body.contains(hash) || body.contains(escaped) ? .json(Fixture.tokenAnswer()) : .status(400)
        }
        _ = try await client.refresh(Fixture.session().tokens)
    }

    @Test("A remembered device is named when refreshing") func device() async throws {
        let service = FakeService()
        service.on(.getTokensFromRefreshToken) { body in
            body.contains(#""DeviceKey":"us-east-1_device""#) ? .json(Fixture.tokenAnswer()) : .status(400)
        }
        var tokens = Fixture.session().tokens
        tokens.deviceKey = "us-east-1_device"
        let fresh = try await Fixture.client(service).refresh(tokens)
        #expect(fresh.deviceKey == "us-east-1_device")
        #expect(fresh.refreshToken == tokens.refreshToken)
    }

    @Test(
        "Answers out of bounds are refused",
        arguments: [
            #"{"IdentityId":"a:b:c","Credentials":{"AccessKeyId":"ASIA0000000000000000","SecretKey":"s","SessionToken":"t","Expiration":2E9}}"#,
            #"{"IdentityId":"us-east-1:../../x","Credentials":{"AccessKeyId":"ASIA0000000000000000","SecretKey":"s","SessionToken":"t","Expiration":2E9}}"#,
            #"{"IdentityId":"us-east-1:a","Credentials":{"AccessKeyId":"ASIA\r\nX: y0000000000","SecretKey":"s","SessionToken":"t","Expiration":2E9}}"#,
            #"{"IdentityId":"us-east-1:a","Credentials":{"AccessKeyId":"ASIA0000000000000000","SecretKey":"s","SessionToken":"t\r\nEvil: 1","Expiration":2E9}}"#,
            #"{"IdentityId":"us-east-1:a","Credentials":{"AccessKeyId":"ASIA0000000000000000","SecretKey":"","SessionToken":"t","Expiration":2E9}}"#,
            #"{"IdentityId":"us-east-1:a","Credentials":{"AccessKeyId":"ASIA0000000000000000","SecretKey":"s","SessionToken":"t","Expiration":1E300}}"#,
            #"{"IdentityId":"us-east-1:a","Credentials":{"AccessKeyId":"ASIA0000000000000000","SecretKey":"s","SessionToken":"t","Expiration":-5}}"#,
            #"{"IdentityId":"us-east-1:a"}"#, "[]", "",
        ])
    func strangeCredentials(_ json: String) async throws {
        let service = FakeService()
        service.on(.getCredentialsForIdentity) { _ in .json(json) }
        let client = try Fixture.client(service)
        let error = await #expect(throws: CognitoError.self) {
            try await client.credentials(for: Fixture.session().identityID, Fixture.session().tokens)
        }
        #expect(error?.code == .invalidAnswer)
    }

    @Test("Expiration is read in exponent form") func exponent() async throws {
        let service = FakeService()
        service.on(.getCredentialsForIdentity) { _ in
            .json(
                #"{"IdentityId":"\#(Fixture.identity)","Credentials":{"AccessKeyId":"ASIA0000000000000000","SecretKey":"s","SessionToken":"t","Expiration":1.522664214E9}}"#
            )
        }
        let answer = try await Fixture.client(service).credentials(
            for: Fixture.session().identityID, Fixture.session().tokens)
        #expect(answer.credentials.lifetime.ends == 1_522_664_214)
    }

    @Test("An ID token of another pool, another kind, or past reading is refused") func strangeTokens() throws {
        let pool = try #require(UserPoolID(Fixture.poolID))
        for token in [
            Fixture.idToken(pool: "us-east-1_Other"), Fixture.idToken(use: "access"), Fixture.idToken(life: -1),
            Secret("a.b.c"), Secret("abc"), Secret(""), Secret("a b.c.d"),
            Secret(String(repeating: "a", count: IDTokenClaims.maximumTokenBytes + 1)),
        ] {
            #expect(throws: CognitoError.self) { try IDTokenClaims(idToken: token, userPoolID: pool) }
        }
        let claims = try IDTokenClaims(idToken: Fixture.idToken(), userPoolID: pool)
        #expect(claims.providerName == "cognito-idp.us-east-1.amazonaws.com/\(Fixture.poolID)")
        #expect(claims.username == "alice-internal")
    }

    @Test("Endpoints are AWS's own by region, and plain http only to this machine") func endpoints() throws {
        func make(_ pool: String, _ endpoint: String = "", insecure: Bool = false) throws(CognitoError)
            -> CognitoConfiguration
        {
            try CognitoConfiguration(
                userPoolID: pool, clientID: "abc", identityPoolID: Fixture.identityPoolID, userPoolEndpoint: endpoint,
                allowInsecure: insecure)
        }
        #expect(try make("cn-north-1_Abc").userPoolEndpoint == "https://cognito-idp.cn-north-1.amazonaws.com.cn")
        #expect(try make("eu-west-1_Abc").userPoolEndpoint == "https://cognito-idp.eu-west-1.amazonaws.com")
        #expect(try make("eu-west-1_Abc").identityPoolEndpoint == "https://cognito-identity.us-east-1.amazonaws.com")
        for good in ["http://127.0.0.1:14566", "http://localhost:1/", "http://[::1]:80", "https://example.com"] {
            #expect((try? make("eu-west-1_Abc", good)) != nil, "\(good)")
        }
        for bad in [
            "http://example.com", "http://127.0.0.1.evil.com", "http://127.evil", "http://localhost.evil.com",
            "ftp://x",
            "https://", "https://a/b", "https://user@host", "x", "http://[::1].evil.com",
        ] {
            #expect((try? make("eu-west-1_Abc", bad)) == nil, "\(bad)")
        }
        #expect((try? make("eu-west-1_Abc", "http://example.com", insecure: true)) != nil)
        for pool in ["", "_x", "us-east-1", "us-east-1_", "us east_x", "us-east-1_x/y"] {
            #expect((try? make(pool)) == nil, "\(pool)")
        }
    }
}
