import Bytes
import HTTPTransport
import ObjectStore
import Testing

@testable import S3

/// A connection that broke after the request was sent.
private let lost = HTTPError(.connectionLost, "the connection broke")

@Suite("Answers that were lost, or do not mean what they say")
struct UnclearAnswerTests {
    private let ours = Array("ours".utf8)
    private let dated = ["mtime": "5"]

    private func put(
        _ store: S3ObjectStore, _ precondition: Precondition = .absent, _ metadata: [String: String]? = nil
    ) async throws(ObjectStoreError) -> ETag {
        guard let name = ObjectKey("a") else { throw ObjectStoreError(.invalidAnswer, "") }
        return try await store.put(name, ByteSlice(ours), plain(metadata ?? dated), precondition, .upload)
    }

    @Test("412 after a lost answer is our own success when the object is the one we sent")
    func echoIsSuccess() async throws {
        let transport = ScriptedTransport { [ours] request, number throws(HTTPError) in
            switch (request.method, number) {
            case (.put, 0): throw lost
            case (.put, _): .error(412, "PreconditionFailed")
            default: .head(ours, eTag: "mine", metadata: ["mtime": "5"])
            }
        }
        #expect(try await put(scriptedStore(transport)) == ETag("mine"))
    }

    @Test(
        "412 after a lost answer is a conflict when the object has other bytes, or other metadata",
        arguments: [("theirs", "5"), ("ours", "6")])
    func otherIsConflict(_ bytes: String, _ mtime: String) async throws {
        let transport = ScriptedTransport { request, number throws(HTTPError) in
            switch (request.method, number) {
            case (.put, 0): throw lost
            case (.put, _): .error(412, "PreconditionFailed")
            default: .head(Array(bytes.utf8), eTag: "x", metadata: ["mtime": mtime])
            }
        }
        #expect(await code { _ = try await put(scriptedStore(transport)) } == .preconditionFailed)
    }

    @Test("When the object cannot be looked at, nobody knows, and that is said")
    func deniedLookIsUnreachable() async throws {
        let transport = ScriptedTransport { request, number throws(HTTPError) in
            switch (request.method, number) {
            case (.put, 0): throw lost
            case (.put, _): .error(412, "PreconditionFailed")
            default: .error(403, "AccessDenied")
            }
        }
        #expect(await code { _ = try await put(scriptedStore(transport)) } == .unreachable)
    }

    @Test("A plain 412 without metadata to tell by is a conflict, without another request")
    func plainConflict() async throws {
        let transport = ScriptedTransport { _, _ in .error(412, "PreconditionFailed") }
        #expect(await code { _ = try await put(scriptedStore(transport), .absent, [:]) } == .preconditionFailed)
        #expect(transport.requests.count == 1)
    }

    @Test("Without a stored checksum the bytes themselves decide", arguments: ["ours", "bad!"])
    func rereadDecides(_ there: String) async throws {
        let transport = ScriptedTransport { request, _ in
            switch request.method {
            case .put: .error(412, "PreconditionFailed")
            case .head:
                .answer(200, [("ETag", "\"t\""), ("Content-Length", "4"), ("x-amz-meta-mtime", "5")])
            default:
                .answer(206, [("ETag", "\"t\""), ("Content-Range", "bytes 0-3/4")], Array(there.utf8))
            }
        }
        let result = await code { _ = try await put(scriptedStore(transport)) }
        #expect(result == (there == "ours" ? nil : .preconditionFailed))
    }

    @Test("An <Error> inside a 200 of a copy is an error: repeated if it may pass, reported if not")
    func errorInsideSuccess() async throws {
        let source = ObjectVersion(key: try key("s"), eTag: ETag("e"))
        let passing = ScriptedTransport { _, number in
            number == 0
                ? .xml("<Error><Code>InternalError</Code></Error>")
                : .xml("<CopyObjectResult><ETag>&quot;new&quot;</ETag></CopyObjectResult>")
        }
        let tag = try await scriptedStore(passing).copy(source, size: 1, to: try key("t"), nil, .none, .metadata)
        #expect(tag == ETag("new") && passing.requests.count == 2)
        let final = ScriptedTransport { _, _ in .xml("<Error><Code>AccessDenied</Code></Error>") }
        #expect(
            await code {
                _ = try await scriptedStore(final).copy(source, size: 1, to: try key("t"), nil, .none, .metadata)
            } == .accessDenied)
    }

    @Test("An answer to Complete that ends in the middle is no success")
    func cutDocument() async throws {
        let transport = ScriptedTransport { _, number in
            number == 0
                ? .xml("   <CompleteMultipartUploadResult><ETag>")
                : .xml("  \n<CompleteMultipartUploadResult><ETag>\"done-1\"</ETag></CompleteMultipartUploadResult>")
        }
        let part = UploadedPart(number: try #require(PartNumber(1)), eTag: ETag("p"), size: 4, crc32c: nil)
        let upload = Upload(key: try key("a"), id: "id")
        let tag = try await scriptedStore(transport).completeUpload(upload, [part], .none, .upload)
        #expect(tag == ETag("done-1"))
    }

    @Test(
        "NoSuchUpload after a lost Complete is our success when the parts' checksums agree", arguments: [true, false])
    func completedEarlier(_ isOurs: Bool) async throws {
        let crc = CRC32C(ByteSlice(ours)).value
        guard case .composite(let text)? = StoredChecksum.composite(ofParts: [crc]) else {
            Issue.record("no composite")
            return
        }
        let transport = ScriptedTransport { request, number throws(HTTPError) in
            if number == 0 { throw lost }
            if request.method == .post { return .error(404, "NoSuchUpload") }
            return .answer(
                200,
                [
                    ("ETag", "\"done-1\""), ("Content-Length", "4"), ("x-amz-checksum-type", "COMPOSITE"),
                    ("x-amz-checksum-crc32c", isOurs ? text : "AAAAAA==-1"),
                ])
        }
        let part = UploadedPart(number: try #require(PartNumber(1)), eTag: ETag("p"), size: 4, crc32c: crc)
        let upload = Upload(key: try key("a"), id: "id")
        let result = await code {
            _ = try await scriptedStore(transport).completeUpload(upload, [part], .absent, .upload)
        }
        #expect(result == (isOurs ? nil : .noSuchUpload))
    }

    @Test(
        "A delete whose answer was lost succeeds when the object is gone, and is a conflict when another came",
        arguments: [404, 412], [true, false])
    func lostDelete(_ status: Int, _ isGone: Bool) async throws {
        let transport = ScriptedTransport { request, number throws(HTTPError) in
            if number == 0 { throw lost }
            if request.method == .get { return isGone ? .listing() : .listing(ScriptedAnswer.entry("a", eTag: "new")) }
            return status == 404 ? .error(404, "NoSuchKey") : .error(412, "PreconditionFailed")
        }
        let result = await code {
            try await scriptedStore(transport).delete(try key("a"), .matches(ETag("old")), .metadata)
        }
        #expect(result == (status == 412 && !isGone ? .preconditionFailed : nil))
    }

    @Test("A 412 to a copy is blamed on the side that changed", arguments: ["old", "new"])
    func blame(_ sourceNow: String) async throws {
        let source = ObjectVersion(key: try key("s"), eTag: ETag("old"))
        let transport = ScriptedTransport { request, _ in
            switch request.method {
            case .put: .error(412, "PreconditionFailed")
            case .head: .error(404, "")
            default: .listing(ScriptedAnswer.entry("s", eTag: sourceNow))
            }
        }
        let result = await code {
            _ = try await scriptedStore(transport).copy(
                source, size: 1, to: try key("t"), nil, .matches(ETag("x")), .metadata)
        }
        #expect(result == (sourceNow == "old" ? .preconditionFailed : .sourceChanged))
    }

    @Test("A server that knows no conditions is looked at before each write, and remembered")
    func withoutConditions() async throws {
        let transport = ScriptedTransport { request, _ in
            if request.method == .get { return .listing(ScriptedAnswer.entry("a", eTag: "there")) }
            let isConditional = request.headers.contains { $0.name.hasPrefix("If-") }
            return isConditional ? .error(501, "NotImplemented") : .answer(200, [("ETag", "\"new\"")])
        }
        let store = scriptedStore(transport)
        #expect(await code { _ = try await put(store, .absent, [:]) } == .preconditionFailed)
        #expect(!store.supportsPreconditions)
        #expect(try await put(store, .matches(ETag("there"))) == ETag("new"))
        #expect(await code { _ = try await put(store, .matches(ETag("old")), [:]) } == .preconditionFailed)
        #expect(transport.requests.map(\.method) == [.put, .get, .get, .put, .get])
    }

    @Test("A write that meets another one under way comes again")
    func conflict() async throws {
        let transport = ScriptedTransport { _, number in
            number < 2 ? .error(409, "ConditionalRequestConflict") : .answer(200, [("ETag", "\"new\"")])
        }
        #expect(try await put(scriptedStore(transport)) == ETag("new"))
    }
}
