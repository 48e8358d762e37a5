import Glibc
import HTTPTransport
import Synchronization
import SystemPackage
import Testing

@testable import Cognito

/// A provider over a real store, a scripted service and a clock that the test turns.
struct ProviderFixture: Sendable {
    let files: StoreFixture
    let service = FakeService()
    let clock = TestClock()
    let client: CognitoClient
    let provider: CredentialsProvider

    init(_ session: AuthSession = Fixture.session()) async throws {
        files = try StoreFixture()
        try await files.store.begin(session)
        client = try Fixture.client(service, clock: clock)
        provider = try CredentialsProvider(
            client: client, store: files.store, session: try files.store.load(), logger: Fixture.quiet)
        serveGoodAnswers()
    }

    /// Credentials named NEW1, NEW2, … that live an hour; tokens that live an hour.
    func serveGoodAnswers(life: Double = 3600) {
        let (service, clock) = (service, clock)
        service.on(.getCredentialsForIdentity) { _ in
            let number = service.count(.getCredentialsForIdentity)
            return .json(Fixture.credentialsAnswer(key: "ASIANEW\(100_000_000 + number)", ends: clock.now + life))
        }
        service.on(.getTokensFromRefreshToken) { _ in .json(Fixture.tokenAnswer(issued: clock.now)) }
    }

    func failure(_ patience: Duration = CredentialsProvider.patience) async -> CognitoError.Code? {
        do throws(CognitoError) {
            _ = try await provider.credentials(patience: patience)
            return nil
        } catch { return error.code }
    }
}

/// Waits for something that another task does; fails the test when it never happens.
func eventually(_ what: String, _ condition: () async -> Bool) async {
    for _ in 0..<10_000 {
        if await condition() { return }
        try? await Task.sleep(for: .milliseconds(1))
    }
    Issue.record("never happened: \(what)")
}

/// Holds answers back until opened.
final class Gate: Sendable {
    private let state = Mutex<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

    func pass() async {
        await withCheckedContinuation { continuation in
            let open = state.withLock { state in
                if !state.isOpen { state.waiting.append(continuation) }
                return state.isOpen
            }
            if open { continuation.resume() }
        }
    }

    func open() {
        let waiting = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }
}

@Suite("Credentials") struct CredentialsProviderTests {
    let stored = "ASIASTORED0000000000"

    @Test("Stored credentials that live are given without any request") func noNetwork() async throws {
        let fixture = try await ProviderFixture()
        #expect(try await fixture.provider.credentials().accessKeyID == stored)
        #expect(fixture.service.calls.isEmpty)
    }

    @Test("With less than five minutes left the old ones are given at once and new ones come in the background")
    func early() async throws {
        let fixture = try await ProviderFixture()
        let gate = Gate()
        let clock = fixture.clock
        fixture.service.on(.getCredentialsForIdentity) { _ in
            await gate.pass()
            return .json(Fixture.credentialsAnswer(key: "ASIANEW0000000000000", ends: clock.now + 3600))
        }
        fixture.clock.advance(3299)
        _ = try await fixture.provider.credentials()
        #expect(fixture.service.calls.isEmpty)
        fixture.clock.advance(2)
        #expect(try await fixture.provider.credentials().accessKeyID == stored)
        #expect(try await fixture.provider.credentials().accessKeyID == stored)
        gate.open()
        await eventually("the new credentials") { (try? await fixture.provider.credentials().accessKeyID) != stored }
        #expect(fixture.service.count(.getCredentialsForIdentity) == 1)
        #expect(try fixture.files.store.load().credentials?.accessKeyID == "ASIANEW0000000000000")
    }

    @Test("Short lives are renewed when a quarter of them remains", arguments: [20.0, 60.0, 1200.0])
    func shortLife(_ life: Double) {
        let lifetime = Lifetime(begins: 1000, ends: 1000 + life)
        #expect(!lifetime.isDue(at: 1000 + life * 0.75 - 0.01))
        #expect(lifetime.isDue(at: 1000 + life * 0.75))
        #expect(!lifetime.isOver(at: 1000 + life - 0.01))
        #expect(lifetime.isOver(at: 1000 + life))
        #expect(Lifetime(begins: 0, ends: 3600).renewalMargin == 300)
    }

    @Test("Two hundred callers at once cause one renewal, and all get the same credentials") func singleFlight()
        async throws
    {
        let fixture = try await ProviderFixture()
        fixture.clock.advance(4000)
        let provider = fixture.provider
        let keys = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<200 { group.addTask { try await provider.credentials().accessKeyID } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(keys.count == 1)
        #expect(fixture.service.count(.getCredentialsForIdentity) == 1)
        #expect(fixture.service.count(.getTokensFromRefreshToken) == 1)
    }

    @Test("Cancelling one caller ends its wait only; the renewal goes on for the others") func cancelOne() async throws
    {
        let fixture = try await ProviderFixture()
        let gate = Gate()
        let (provider, clock, service) = (fixture.provider, fixture.clock, fixture.service)
        service.on(.getCredentialsForIdentity) { _ in
            await gate.pass()
            return .json(Fixture.credentialsAnswer(key: "ASIANEW0000000000000", ends: clock.now + 3600))
        }
        clock.advance(4000)
        let first = Task { await fixture.failure() }
        let second = Task { try await provider.credentials().accessKeyID }
        await eventually("the request") { service.count(.getCredentialsForIdentity) == 1 }
        first.cancel()
        #expect(await first.value == .cancelled)
        gate.open()
        #expect(try await second.value == "ASIANEW0000000000000")
        #expect(service.count(.getCredentialsForIdentity) == 1)
    }

    @Test("A caller waits no longer than its patience; the renewal goes on") func patience() async throws {
        let fixture = try await ProviderFixture()
        let gate = Gate()
        let (clock, service) = (fixture.clock, fixture.service)
        service.on(.getCredentialsForIdentity) { _ in
            await gate.pass()
            return .json(Fixture.credentialsAnswer(key: "ASIANEW0000000000000", ends: clock.now + 3600))
        }
        clock.advance(4000)
        let caller = Task { await fixture.failure(.seconds(10)) }
        await eventually("the request") { service.count(.getCredentialsForIdentity) == 1 }
        // The alarm is set by a task of its own: turn the clock until it has rung.
        let ringing = Task {
            while !Task.isCancelled {
                clock.advance(11)
                try? await Task.sleep(for: .milliseconds(1))
            }
        }
        #expect(await caller.value == .unreachable)
        ringing.cancel()
        gate.open()
        await eventually("the renewal") { fixture.provider.session.credentials?.accessKeyID == "ASIANEW0000000000000" }
    }

    @Test("Without a network nothing ends: callers fail at once until the next try, then all goes on")
    func networkGone() async throws {
        let fixture = try await ProviderFixture()
        for operation in [Operation.getCredentialsForIdentity, .getTokensFromRefreshToken] {
            fixture.service.on(operation) { _ in .lost(.notConnected) }
        }
        fixture.clock.advance(5000)
        #expect(await fixture.failure() == .unreachable)
        let calls = fixture.service.calls.count
        for _ in 0..<50 { #expect(await fixture.failure() == .unreachable) }
        #expect(fixture.service.calls.count == calls)
        #expect(fixture.provider.lastError?.code == .unreachable)
        for _ in 0..<20 {
            fixture.clock.advance(60)
            #expect(await fixture.failure() == .unreachable)
        }
        #expect(try fixture.files.store.load().tokens.refreshToken == Secret("refresh-1"))
        fixture.serveGoodAnswers()
        fixture.clock.advance(11)
        _ = try await fixture.provider.credentials()
        #expect(fixture.provider.lastError == nil)
    }

    @Test("A local clock that is set back does not make a failure last") func clockSetBack() async throws {
        let fixture = try await ProviderFixture()
        fixture.service.on(.getTokensFromRefreshToken) { _ in .lost(.timedOut) }
        fixture.clock.advance(1_000_000)
        #expect(await fixture.failure() == .unreachable)
        fixture.serveGoodAnswers()
        fixture.clock.advance(-500_000)
        _ = try await fixture.provider.credentials()
    }

    @Test("Faults of the service, of any number, never end a session") func serviceFaults() async throws {
        let fixture = try await ProviderFixture()
        fixture.clock.advance(5000)
        for reply in [
            FakeService.Reply.status(503), .fault("TooManyRequestsException", "Rate exceeded"),
            .fault("InternalErrorException", "", status: 500), .lost(.connectionLost), .json("{}"), .json("not json"),
            .status(200), .lost(.badAnswer), .lost(.tlsFailed),
        ] {
            fixture.service.on(.getTokensFromRefreshToken) { _ in reply }
            fixture.clock.advance(120)
            let code = await fixture.failure()
            #expect(code != nil && code != .sessionEnded)
        }
        fixture.serveGoodAnswers()
        fixture.clock.advance(120)
        _ = try await fixture.provider.credentials()
    }

    @Test("A failing refresh is no reason to stop while the ID token lives") func refreshFailsEarly() async throws {
        let fixture = try await ProviderFixture()
        fixture.service.on(.getTokensFromRefreshToken) { _ in .lost(.timedOut) }
        fixture.clock.advance(3400)
        _ = try await fixture.provider.credentials()
        await eventually("the new credentials") { fixture.provider.session.credentials?.accessKeyID != stored }
        #expect(fixture.service.count(.getTokensFromRefreshToken) > 0)
    }

    @Test("A rotated refresh token is on disk before anything else is asked with it") func rotation() async throws {
        let fixture = try await ProviderFixture()
        let (store, clock) = (fixture.files.store, fixture.clock)
        let onDisk = Mutex<[Bool]>([])
        fixture.service.on(.getTokensFromRefreshToken) { body in
            body.contains("refresh-1")
                ? .json(Fixture.tokenAnswer(issued: clock.now, refreshToken: "refresh-2"))
                : .fault("RefreshTokenReuseException", "")
        }
        fixture.service.on(.getCredentialsForIdentity) { _ in
            let found = (try? store.load())?.tokens.refreshToken == Secret("refresh-2")
            onDisk.withLock { $0.append(found) }
            return .json(Fixture.credentialsAnswer(key: "ASIANEW0000000000000", ends: clock.now + 3600))
        }
        clock.advance(4000)
        _ = try await fixture.provider.credentials()
        #expect(onDisk.withLock { $0 } == [true])
    }

    @Test("A disk that refuses the new tokens does not end the session; they are written when it can be done")
    func diskRefuses() async throws {
        let fixture = try await ProviderFixture()
        let clock = fixture.clock
        fixture.service.on(.getTokensFromRefreshToken) { body in
            let next = body.contains("refresh-1") ? "refresh-2" : body.contains("refresh-2") ? "refresh-3" : nil
            guard let next else { return .fault("RefreshTokenReuseException", "") }
            return .json(Fixture.tokenAnswer(issued: clock.now, refreshToken: next))
        }
        let obstacle = fixture.files.sessionFile.string + ".new"
        #expect(mkdir(obstacle, 0o700) == 0)
        clock.advance(4000)
        _ = try await fixture.provider.credentials()
        #expect(try fixture.files.store.load().tokens.refreshToken == Secret("refresh-1"))
        #expect(fixture.provider.session.tokens.refreshToken == Secret("refresh-2"))
        rmdir(obstacle)
        clock.advance(4000)
        _ = try await fixture.provider.credentials()
        #expect(try fixture.files.store.load().tokens.refreshToken == Secret("refresh-3"))
    }

    @Test("An ID token that the pool calls expired is refreshed, once") func tokenExpiredEarly() async throws {
        let fixture = try await ProviderFixture(Fixture.session(tokenLife: 86_400))
        let (service, clock) = (fixture.service, fixture.clock)
        let expired = FakeService.Reply.fault(
            "NotAuthorizedException", "Invalid login token. Token expired: 1 >= 0")
        service.on(.getCredentialsForIdentity) { _ in
            service.count(.getTokensFromRefreshToken) == 0
                ? expired : .json(Fixture.credentialsAnswer(key: "ASIANEW0000000000000", ends: clock.now + 3600))
        }
        clock.advance(4000)
        _ = try await fixture.provider.credentials()
        #expect(service.calls == [.getCredentialsForIdentity, .getTokensFromRefreshToken, .getCredentialsForIdentity])
        service.on(.getCredentialsForIdentity) { _ in expired }
        clock.advance(4000)
        #expect(await fixture.failure() == .loginTokenExpired)
        #expect(service.count(.getTokensFromRefreshToken) == 2)
    }

    @Test("An identity that the pool has forgotten is looked up again, and must be the same") func identityMismatch()
        async throws
    {
        let fixture = try await ProviderFixture()
        let (service, clock) = (fixture.service, fixture.clock)
        service.on(.getCredentialsForIdentity) { _ in
            service.count(.getID) == 0
                ? .fault("NotAuthorizedException", "Logins don't match. Please include at least one valid login")
                : .json(Fixture.credentialsAnswer(key: "ASIANEW0000000000000", ends: clock.now + 3600))
        }
        service.on(.getID) { _ in .json(#"{"IdentityId":"\#(Fixture.identity)"}"#) }
        clock.advance(4000)
        _ = try await fixture.provider.credentials()
        service.on(.getCredentialsForIdentity) { _ in
            .json(
                Fixture.credentialsAnswer(
                    key: "ASIANEW0000000000000", ends: clock.now + 3600, identity: Fixture.otherIdentity))
        }
        clock.advance(4000)
        #expect(await fixture.failure() == .otherUser)
    }

    @Test("Credentials that S3 refused are replaced once for all who had them; fresh ones are not replaced again")
    func refused() async throws {
        let fixture = try await ProviderFixture()
        let provider = fixture.provider
        let old = try await provider.credentials()
        fixture.clock.advance(10)
        let keys = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<50 { group.addTask { try await provider.renew(after: old).accessKeyID } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(keys.count == 1 && !keys.contains(stored))
        #expect(fixture.service.count(.getCredentialsForIdentity) == 1)
        let fresh = try await provider.credentials()
        #expect(fresh.accessKeyID == keys.first)
        await #expect(throws: CognitoError.self) { try await provider.renew(after: fresh) }
        #expect(fixture.service.count(.getCredentialsForIdentity) == 1)
    }

    @Test("Another process's renewal in the file is taken without a request") func otherProcessRenewed() async throws {
        let fixture = try await ProviderFixture()
        fixture.clock.advance(4000)
        var theirs = Fixture.session()
        theirs.credentials = AWSCredentials(
            accessKeyID: "ASIATHEIRS0000000000", secretAccessKey: Secret("s"), sessionToken: Secret("t"),
            lifetime: Lifetime(begins: fixture.clock.now, ends: fixture.clock.now + 3600))
        try await fixture.files.store.begin(theirs)
        #expect(try await fixture.provider.credentials().accessKeyID == "ASIATHEIRS0000000000")
        #expect(fixture.service.calls.isEmpty)
    }

    @Test(
        "A local clock two hours slow or fast is noticed by the Date of answers and corrected for",
        arguments: [-7200.0, 7200.0])
    func wrongClock(_ error: Double) async throws {
        let fixture = try await ProviderFixture()
        let (service, clock) = (fixture.service, fixture.clock)
        clock.advance(error + 10_000)
        let real = Fixture.start + 10_000
        service.setDate(HTTPDate.format(Int64(real)))
        service.on(.getTokensFromRefreshToken) { _ in .json(Fixture.tokenAnswer(issued: real)) }
        service.on(.getCredentialsForIdentity) { _ in
            .json(Fixture.credentialsAnswer(key: "ASIANEW\(100_000_000 + service.calls.count)", ends: real + 3600))
        }
        var first = try await fixture.provider.credentials()
        // With a slow clock the stored ones seem to live still; S3 knows better.
        if first.accessKeyID == stored { first = try await fixture.provider.renew(after: first) }
        #expect(abs(fixture.client.clockCorrectionSeconds + error) < 2)
        let calls = service.calls.count
        #expect(try await fixture.provider.credentials() == first)
        clock.advance(3200)
        #expect(try await fixture.provider.credentials() == first)
        #expect(service.calls.count == calls)
        clock.advance(200)
        _ = try await fixture.provider.credentials()
        await eventually("the renewal") { service.calls.count > calls }
    }
}
