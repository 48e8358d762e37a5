import Bytes
import HTTPTransport
import ObjectStore
import Testing

@testable import S3

@Suite("What a call does about a request that failed")
struct RecoveryTests {
    private func header(_ request: HTTPRequest, _ name: String) -> String? {
        request.headers.first { $0.name.lowercased() == name }?.value
    }

    private func list(_ store: S3ObjectStore) async throws {
        _ = try await store.list(ListRequest(prefix: Array("p/".utf8), delimited: true), .metadata)
    }

    @Test(
        "A server that fails for ever ends the call inside its patience, as unavailable",
        arguments: [(500, "InternalError"), (503, "SlowDown"), (502, ""), (429, "")])
    func unavailable(_ status: Int, _ name: String) async throws {
        let time = StoppedTime()
        let transport = ScriptedTransport { _, _ in .error(status, name) }
        #expect(await code { try await list(scriptedStore(transport, time: time)) } == .unavailable)
        #expect(transport.requests.count > 3)
        #expect(time.sleeps.reduce(.zero, +) <= .seconds(10))
    }

    @Test("No connection for all of the patience is unreachable")
    func unreachable() async throws {
        let time = StoppedTime()
        let transport = ScriptedTransport { _, _ throws(HTTPError) in
            time.pass(.seconds(3))
            throw HTTPError(.notConnected, "refused")
        }
        #expect(await code { try await list(scriptedStore(transport, time: time)) } == .unreachable)
        #expect((2...4).contains(transport.requests.count))
    }

    @Test("No attempt may take longer than what is left; the first leaves time for a second")
    func timeouts() async throws {
        let time = StoppedTime()
        let transport = ScriptedTransport { request, _ throws(HTTPError) in
            time.pass(request.stallTimeout)
            throw HTTPError(.timedOut, "nothing moved")
        }
        #expect(await code { try await list(scriptedStore(transport, time: time)) } == .unreachable)
        let requests = transport.requests
        #expect(requests.count == 2)
        #expect(requests[0].timeout == .seconds(10) && requests[0].stallTimeout == .seconds(5))
        #expect(requests[1].timeout < .seconds(5))
    }

    @Test("The server's wish to be left alone is granted, and a wish beyond patience ends the call")
    func retryAfter() async throws {
        let time = StoppedTime()
        let once = ScriptedTransport { _, number in
            number == 0 ? .answer(503, [("Retry-After", "3")]) : .listing()
        }
        try await list(scriptedStore(once, time: time))
        #expect(time.sleeps == [.seconds(3)])
        let long = ScriptedTransport { _, _ in .answer(503, [("Retry-After", "60")]) }
        #expect(await code { try await list(scriptedStore(long)) } == .unavailable)
        #expect(long.requests.count == 1)
    }

    @Test(
        "Expired credentials are renewed and the call repeated",
        arguments: ["ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "TokenRefreshRequired"])
    func renewal(_ name: String) async throws {
        let source = FixedCredentials()
        let transport = ScriptedTransport { _, number in number == 0 ? .error(400, name) : .listing() }
        try await list(scriptedStore(transport, credentials: source))
        #expect(source.renewals == 1)
        #expect(header(transport.requests[1], "authorization")?.contains("Credential=AKIDNEW1/") == true)
    }

    @Test("Credentials that stay refused, or a session that is over, need a sign-in")
    func signIn() async throws {
        let transport = ScriptedTransport { _, _ in .error(403, "InvalidAccessKeyId") }
        #expect(await code { try await list(scriptedStore(transport)) } == .signInNeeded)
        #expect(transport.requests.count == 3)
        let over = FixedCredentials { _ throws(ObjectStoreError) in throw ObjectStoreError(.signInNeeded, "over") }
        #expect(await code { try await list(scriptedStore(transport, credentials: over)) } == .signInNeeded)
        let away = FixedCredentials { _ throws(ObjectStoreError) in throw ObjectStoreError(.unreachable, "no route") }
        #expect(await code { try await list(scriptedStore(transport, credentials: away)) } == .unreachable)
    }

    @Test("A wrong clock is corrected by the server's and the call repeated; the correction stays")
    func clock() async throws {
        let time = StoppedTime(wall: 1_795_248_309 - 7200)
        let transport = ScriptedTransport { _, number in
            number == 0 ? .error(403, "RequestTimeTooSkewed") : .listing()
        }
        let store = scriptedStore(transport, time: time)
        try await list(store)
        try await list(store)
        #expect(
            transport.requests.map { header($0, "x-amz-date") } == [
                "20261121T060509Z", "20261121T080509Z", "20261121T080509Z",
            ])
        #expect(store.clockOffset == 7200)
        let never = ScriptedTransport { _, _ in .error(403, "RequestTimeTooSkewed") }
        #expect(await code { try await list(scriptedStore(never)) } == .invalidAnswer)
        #expect(never.requests.count == 2)
    }

    @Test(
        "A bucket in another region is asked there, with a new signature, and nowhere else",
        arguments: [
            (301, "PermanentRedirect", "<Region>us-west-2</Region>"),
            (400, "AuthorizationHeaderMalformed", "<Region>us-west-2</Region>"),
        ])
    func region(_ status: Int, _ name: String, _ more: String) async throws {
        let transport = ScriptedTransport { request, _ in
            if request.url.contains("us-west-2") { return .listing() }
            var answer = ScriptedAnswer.error(status, name, more)
            answer.headers.append(("Location", "https://evil.example.org/"))
            return answer
        }
        let store = scriptedStore(transport)
        try await list(store)
        try await list(store)
        #expect(store.region == "us-west-2")
        #expect(transport.requests.count == 3)
        #expect(transport.requests[1].url.hasPrefix("https://files.s3.us-west-2.amazonaws.com/?"))
        #expect(header(transport.requests[1], "authorization")?.contains("/us-west-2/s3/") == true)
        #expect(!transport.requests.contains { $0.url.contains("evil") })
    }

    @Test("A server that sends us in circles is not followed")
    func circles() async throws {
        let transport = ScriptedTransport { _, number in
            .answer(301, [("x-amz-bucket-region", number.isMultiple(of: 2) ? "us-west-2" : "eu-central-1")])
        }
        #expect(await code { try await list(scriptedStore(transport)) } == .invalidAnswer)
        #expect(transport.requests.count == 2)
    }

    @Test("A HEAD that is refused without a word is asked again in words")
    func speechlessHead() async throws {
        let source = FixedCredentials()
        let bytes = Array("abc".utf8)
        let transport = ScriptedTransport { request, number in
            switch (request.method, number) {
            case (.head, 0): .answer(400)
            case (.head, _): .head(bytes, eTag: "e")
            case (_, 1): .error(400, "ExpiredToken")
            default: .answer(206, [("Content-Range", "bytes 0-0/3")], [97])
            }
        }
        let store = scriptedStore(transport, credentials: source)
        #expect(try await store.head(try key("a"), .metadata).summary.size == 3)
        #expect(source.renewals == 1)
        let denied = ScriptedTransport { request, _ in
            request.method == .head ? .answer(403) : .error(403, "AccessDenied")
        }
        #expect(await code { _ = try await scriptedStore(denied).head(try key("a"), .metadata) } == .accessDenied)
    }

    @Test("A refusal names the object, the missing permission and the request")
    func words() async throws {
        let transport = ScriptedTransport { _, _ in .error(403, "AccessDenied") }
        let store = scriptedStore(transport)
        let version = ObjectVersion(key: try key("private/me/a.png"), eTag: ETag("e"))
        do throws(ObjectStoreError) {
            _ = try await store.get(version, range: 0..<1, into: ByteBuffer(capacity: 1), .demandRead) { _ in }
            Issue.record("not refused")
        } catch {
            #expect(error.code == .accessDenied)
            #expect(error.description.contains("private/me/a.png"))
            #expect(error.description.contains("s3:GetObject"))
            #expect(error.description.contains("REQ1"))
        }
    }

    @Test(
        "Each refusal has its meaning",
        arguments: [
            (404, "NoSuchBucket", ObjectStoreError.Code.noSuchBucket), (404, "NoSuchKey", .notFound),
            (400, "EntityTooLarge", .tooLarge), (400, "KeyTooLongError", .tooLarge),
            (403, "InvalidObjectState", .archived), (403, "SignatureDoesNotMatch", .invalidAnswer),
            (400, "BadDigest", .corrupted), (400, "Nonsense", .invalidAnswer), (405, "", .invalidAnswer),
        ])
    func meanings(_ status: Int, _ name: String, _ meaning: ObjectStoreError.Code) async throws {
        let transport = ScriptedTransport { _, _ in .error(status, name) }
        let body = ByteSlice([1])
        let result = await code {
            _ = try await scriptedStore(transport).put(try key("a"), body, plain(), .none, .upload)
        }
        #expect(result == meaning)
    }

    @Test("A call that waits to come again ends when it is cancelled")
    func cancelled() async throws {
        let transport = ScriptedTransport { _, number in
            if number == 1 { withUnsafeCurrentTask { $0?.cancel() } }
            return .error(503, "SlowDown")
        }
        let store = scriptedStore(transport)
        let task = Task { await code { try await list(store) } }
        #expect(await task.value == .cancelled)
        #expect(transport.requests.count == 2)
    }
}
