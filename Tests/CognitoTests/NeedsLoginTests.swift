import Glibc
import SystemPackage
import Testing

@testable import Cognito

@Suite("A session that has ended") struct NeedsLoginTests {
    private func ended() async throws -> ProviderFixture {
        let fixture = try await ProviderFixture()
        fixture.service.on(.getTokensFromRefreshToken) { _ in
            .fault("NotAuthorizedException", "Refresh Token has been revoked")
        }
        return fixture
    }

    @Test("Credentials that still live are given until they end; then signing in is asked for, without more requests")
    func ends() async throws {
        let fixture = try await ended()
        fixture.clock.advance(3500)
        for _ in 0..<5 { _ = try await fixture.provider.credentials() }
        await eventually("the refusal") { fixture.provider.lastError?.code == .sessionEnded }
        _ = try await fixture.provider.credentials()
        fixture.clock.advance(200)
        #expect(await fixture.failure() == .sessionEnded)
        let calls = fixture.service.calls.count
        for _ in 0..<100 {
            fixture.clock.advance(100)
            #expect(await fixture.failure() == .sessionEnded)
        }
        #expect(fixture.service.calls.count == calls)
        #expect(fixture.provider.lastError?.needsLogin == true)
    }

    @Test("Signing in again as the same user revives it within a second") func revived() async throws {
        let fixture = try await ended()
        fixture.clock.advance(4000)
        #expect(await fixture.failure() == .sessionEnded)
        try await fixture.files.store.begin(
            Fixture.session(refreshToken: "refresh-9", tokenIssued: fixture.clock.now, credentialsLife: 9000))
        #expect(await fixture.failure() == .sessionEnded)
        fixture.clock.advance(1)
        #expect(try await fixture.provider.credentials().accessKeyID == "ASIASTORED0000000000")
        #expect(fixture.provider.lastError == nil)
    }

    @Test("Another user's sign-in is refused, and the owner's revives it") func otherUser() async throws {
        let fixture = try await ended()
        fixture.clock.advance(4000)
        #expect(await fixture.failure() == .sessionEnded)
        for stranger in [
            Fixture.session(subject: "sub-bob", credentialsLife: 9000),
            Fixture.session(identity: Fixture.otherIdentity, credentialsLife: 9000),
        ] {
            try await fixture.files.store.begin(stranger)
            fixture.clock.advance(1.5)
            #expect(await fixture.failure() == .otherUser)
            fixture.clock.advance(1.5)
            #expect(await fixture.failure() == .otherUser)
        }
        try await fixture.files.store.begin(Fixture.session(credentialsLife: 9000))
        fixture.clock.advance(1.5)
        _ = try await fixture.provider.credentials()
    }

    @Test("Another user's sign-in is never used, even when the old credentials end only then") func otherUserLater()
        async throws
    {
        let fixture = try await ProviderFixture()
        try await fixture.files.store.begin(Fixture.session(subject: "sub-bob", credentialsLife: 9000))
        fixture.clock.advance(4000)
        #expect(await fixture.failure() == .otherUser)
        #expect(fixture.service.calls.isEmpty)
    }

    @Test("After signing out nobody is signed in, and signing in revives") func signedOut() async throws {
        let fixture = try await ProviderFixture()
        fixture.service.on(.revokeToken) { _ in .json("{}") }
        _ = try await fixture.client.signOut(fixture.files.store)
        fixture.clock.advance(4000)
        #expect(await fixture.failure() == .notSignedIn)
        try await fixture.files.store.begin(Fixture.session(credentialsLife: 9000))
        fixture.clock.advance(1.5)
        _ = try await fixture.provider.credentials()
    }

    @Test("A store whose mode was widened is refused, and taken again once it is mended") func mended() async throws {
        let fixture = try await ProviderFixture()
        chmod(fixture.files.keyFile.string, 0o644)
        fixture.clock.advance(4000)
        #expect(await fixture.failure() == .storeRefused)
        chmod(fixture.files.keyFile.string, 0o600)
        fixture.clock.advance(6)
        _ = try await fixture.provider.credentials()
    }

    @Test("A session of another app is refused when the provider is made") func otherApp() async throws {
        let files = try StoreFixture()
        var session = Fixture.session()
        session.userPoolID = "us-east-1_Other"
        let client = try Fixture.client(FakeService())
        #expect(throws: CognitoError.self) {
            try CredentialsProvider(client: client, store: files.store, session: session, logger: Fixture.quiet)
        }
    }
}
