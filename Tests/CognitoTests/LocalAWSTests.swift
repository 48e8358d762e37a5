import HTTPTransport
import Testing

@testable import Cognito

@Suite("Against the local AWS", .serialized) struct LocalAWSTests {
    private func refusal(_ body: () async throws(CognitoError) -> Void) async -> CognitoError.Code? {
        do throws(CognitoError) {
            try await body()
            return nil
        } catch { return error.code }
    }

    private func signIn(
        _ name: String, secret: Bool = false, password: String? = nil, prompt: any SignInPrompt = NoPrompt()
    ) async throws -> AuthSession {
        let local = try LocalAWS.shared()
        return try await local.client(secret: secret).signIn(
            username: "\(name)@example.com", password: Secret(password ?? local.facts.password), prompt: prompt)
    }

    @Test("A password proves itself by SRP; two users have two identities, one user always the same") func signIn()
        async throws
    {
        let alice = try await signIn("alice")
        let again = try await signIn("alice")
        let bob = try await signIn("bob")
        #expect(alice.isSameUser(as: again))
        #expect(alice.identityID != bob.identityID)
        #expect(!alice.isSameUser(as: bob))
        #expect(alice.credentials?.secretAccessKey.isEmpty == false)
        let life = try #require(alice.credentials?.lifetime)
        #expect((3500...3700).contains(life.ends - life.begins))
        let local = try LocalAWS.shared()
        #expect(try await local.client().getUser(alice)["email"] == "alice@example.com")
    }

    @Test("A wrong password and an unknown user are refused alike") func wrongPassword() async throws {
        let local = try LocalAWS.shared()
        let client = try local.client()
        for name in ["mallory@example.com", "nobody@example.com"] {
            let code = await refusal { () async throws(CognitoError) in
                _ = try await client.signIn(username: name, password: Secret("Wrong-Horse-42"), prompt: NoPrompt())
            }
            #expect(code == .wrongPassword, "\(name)")
        }
    }

    @Test("A temporary password is replaced at the first sign-in") func newPassword() async throws {
        let prompt = ScriptedPrompt(passwords: [
            NewPassword(password: Secret("Entirely-New-Horse-43"))
        ])
        let session = try await signIn("carol", prompt: prompt)
        #expect(prompt.passwordRequests == [NewPasswordRequest(requiredAttributes: [], complaint: nil)])
        let again = try await signIn("carol", password: "Entirely-New-Horse-43")
        #expect(again.isSameUser(as: session))
    }

    @Test("A code of an authenticator app is asked for; a wrong one is asked again") func authenticatorApp()
        async throws
    {
        let local = try LocalAWS.shared()
        let prompt = ScriptedPrompt(codes: [
            { "000000" }, { try local.ask("totp \(local.facts.totpSecret)") },
        ])
        _ = try await signIn("dave", prompt: prompt)
        #expect(prompt.requests.map(\.kind) == [.authenticatorApp, .authenticatorApp])
        #expect(prompt.requests.last?.complaint != nil)
    }

    @Test("An app client with a secret works with it, and says so without") func clientSecret() async throws {
        let local = try LocalAWS.shared()
        var session = try await signIn("alice", secret: true)
        session.tokens = try await local.client(secret: true).refresh(session.tokens)
        let client = CognitoClient(
            configuration: try CognitoConfiguration(
                userPoolID: local.facts.userPoolID, clientID: local.facts.secretClientID,
                identityPoolID: local.facts.identityPoolID, userPoolEndpoint: local.facts.endpoint,
                identityPoolEndpoint: local.facts.endpoint), transport: local.transport, logger: Fixture.quiet)
        let code = await refusal { () async throws(CognitoError) in
            _ = try await client.signIn(
                username: "alice@example.com", password: Secret(local.facts.password), prompt: NoPrompt())
        }
        #expect(code == .configuration)
    }

    @Test("Tokens are refreshed; after signing out the refresh token is dead and nothing is left on disk")
    func signOut() async throws {
        let local = try LocalAWS.shared()
        let client = try local.client()
        let files = try StoreFixture()
        let session = try await signIn("bob")
        try await files.store.begin(session)
        let fresh = try await client.refresh(session.tokens)
        #expect(fresh.idToken != session.tokens.idToken)
        #expect(try await client.signOut(files.store) == nil)
        let code = await refusal { () async throws(CognitoError) in _ = try await client.refresh(session.tokens) }
        #expect(code == .sessionEnded)
        #expect(throws: CognitoError.notSignedIn) { try files.store.load() }
    }

    @Test("Tokens and credentials that live seconds are renewed again and again, on disk each time") func shortLives()
        async throws
    {
        let local = try LocalAWS.shared()
        try await local.with(
            #"{"token_seconds": 4, "credential_seconds": 2}"#, off: #"{"token_seconds": 0, "credential_seconds": 0}"#
        ) {
            let files = try StoreFixture()
            try await files.store.begin(try await signIn("alice"))
            let client = try local.client()
            let provider = try CredentialsProvider(
                client: client, store: files.store, session: try files.store.load(), logger: Fixture.quiet)
            var keys: Set<String> = []
            await eventually("six generations of credentials") {
                guard let credentials = try? await provider.credentials() else {
                    Issue.record("no credentials: \(String(describing: provider.lastError))")
                    return true
                }
                keys.insert(credentials.accessKeyID)
                return keys.count == 6
            }
            #expect(keys.count == 6)
            #expect(try files.store.load().credentials == provider.session.credentials)
        }
    }

    @Test("A user who is switched off has a session that has ended, and not before the service says so") func disabled()
        async throws
    {
        let local = try LocalAWS.shared()
        let session = try await signIn("mallory")
        #expect(try local.ask("disable mallory@example.com") == "done")
        let client = try local.client()
        let code = await refusal { () async throws(CognitoError) in _ = try await client.refresh(session.tokens) }
        #expect(code == .sessionEnded)
        let signInCode = await refusal { () async throws(CognitoError) in
            _ = try await client.signIn(
                username: "mallory@example.com", password: Secret(local.facts.password), prompt: NoPrompt())
        }
        #expect(signInCode == .userDisabled)
    }

    @Test("Without a server a sign-in ends soon with a sentence about the network") func noServer() async throws {
        let local = try LocalAWS.shared()
        let client = CognitoClient(
            configuration: try CognitoConfiguration(
                userPoolID: local.facts.userPoolID, clientID: local.facts.clientID,
                identityPoolID: local.facts.identityPoolID, userPoolEndpoint: "http://127.0.0.1:1",
                identityPoolEndpoint: "http://127.0.0.1:1"), transport: local.transport, logger: Fixture.quiet)
        let code = await refusal { () async throws(CognitoError) in
            _ = try await client.signIn(username: "a", password: Secret("b"), prompt: NoPrompt())
        }
        #expect(code == .unreachable)
    }
}
