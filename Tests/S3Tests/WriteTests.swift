import Bytes
import HTTPTransport
import ObjectStore
import TestSupport
import Testing

@testable import S3

@Suite("Writing")
struct WriteTests {
    private func header(_ request: HTTPRequest?, _ name: String) -> String? {
        request?.headers.first { $0.name.lowercased() == name }?.value
    }

    @Test("A checksum confirmed for other bytes is corruption")
    func confirmation() async throws {
        let transport = ScriptedTransport { _, _ in
            .answer(200, [("ETag", "\"e\""), ("x-amz-checksum-crc32c", "AAAAAA==")])
        }
        let store = scriptedStore(transport)
        #expect(
            await code { _ = try await store.put(try key("a"), ByteSlice([1]), plain(), .none, .upload) } == .corrupted)
        let one = try #require(PartNumber(1))
        let upload = Upload(key: try key("a"), id: "u")
        #expect(await code { _ = try await store.uploadPart(upload, one, ByteSlice([1]), .upload) } == .corrupted)
    }

    @Test("An answer without a tag is no success")
    func tagless() async throws {
        let transport = ScriptedTransport { _, _ in .answer(200) }
        let result = await code {
            _ = try await scriptedStore(transport).put(try key("a"), ByteSlice([1]), plain(), .none, .upload)
        }
        #expect(result == .invalidAnswer)
    }

    @Test("Bytes damaged on the way are sent again")
    func digest() async throws {
        let transport = ScriptedTransport { _, number in
            number == 0 ? .error(400, "BadDigest") : .answer(200, [("ETag", "\"e\"")])
        }
        _ = try await scriptedStore(transport).put(try key("a"), ByteSlice([1]), plain(), .none, .upload)
        #expect(transport.requests.count == 2)
    }

    @Test("Over TLS a body goes with its CRC and unhashed; without TLS its hash is signed")
    func payload() async throws {
        let transport = ScriptedTransport { _, _ in .answer(200, [("ETag", "\"e\"")]) }
        let body = ByteSlice(Array("hello".utf8))
        _ = try await scriptedStore(transport).put(try key("a"), body, plain(), .absent, .upload)
        let open = try S3Endpoint.custom(url: "http://127.0.0.1:9000")
        let other = S3Options(checksum: .crc64nvme)
        _ = try await scriptedStore(transport, endpoint: open, options: other)
            .put(try key("a"), body, plain(), .matches(ETag("o")), .upload)
        let requests = transport.requests
        #expect(header(requests.first, "x-amz-content-sha256") == "UNSIGNED-PAYLOAD")
        #expect(header(requests.first, "x-amz-checksum-crc32c") == "mnG7TA==")
        #expect(header(requests.first, "if-none-match") == "*")
        #expect(
            header(requests.last, "x-amz-content-sha256")
                == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
        #expect(header(requests.last, "x-amz-checksum-crc64nvme") == "M3eFcAZSQlc=")
        #expect(header(requests.last, "if-match") == "\"o\"")
        #expect(requests.last?.url == "http://127.0.0.1:9000/files/a")
    }

    @Test("A slow line is no reason to give up: only standstill is bounded, and the whole by size")
    func patience() async throws {
        let transport = ScriptedTransport { _, _ in .answer(200, [("ETag", "\"e\"")]) }
        let body = ByteSlice(ByteBuffer(capacity: 16 << 20), 0..<(16 << 20))
        _ = try await scriptedStore(transport).put(try key("a"), body, plain(), .none, .upload)
        let request = try #require(transport.requests.first)
        #expect(request.stallTimeout == .seconds(30))
        #expect(request.timeout >= .seconds(512))
        #expect(request.priority == RequestContext.Priority.upload.rawValue)
    }

    @Test(
        "Values that no header can carry are refused, not bent",
        arguments: [
            ObjectAttributes(contentType: "text/plain\r\nx-amz-acl: public-read"),
            ObjectAttributes(contentType: "a", headers: ["cache-control": "a\nb"]),
            ObjectAttributes(contentType: "a", metadata: ["a b": "c"]),
            ObjectAttributes(contentType: "a", metadata: ["": "c"]),
        ])
    func injection(_ attributes: ObjectAttributes) async throws {
        let transport = ScriptedTransport { _, _ in .answer(200, [("ETag", "\"e\"")]) }
        let result = await code {
            _ = try await scriptedStore(transport).put(try key("a"), ByteSlice([1]), attributes, .none, .upload)
        }
        #expect(result == .invalidAnswer)
        #expect(transport.requests.isEmpty)
    }

    @Test("A copy over the limit goes in parts, and takes the source's attributes along")
    func largeCopy() async throws {
        let store = try LocalServer.shared().store(options: S3Options(largestCopy: 6 << 20))
        let place = "copy-\(UInt64.random(in: 0 ... .max))/"
        var random = Seeded(1)
        let bytes = random.bytes(13 << 20)
        let attributes = plain(["mtime": "1"])
        let tag = try await store.put(try key(place + "a"), ByteSlice(bytes), attributes, .absent, .upload)
        let source = ObjectVersion(key: try key(place + "a"), eTag: tag)
        let copied = try await store.copy(
            source, size: Int64(bytes.count), to: try key(place + "b"), nil, .absent, .upload)
        let there = try await store.head(try key(place + "b"), .metadata)
        #expect(there.summary.version.eTag == copied && there.attributes == attributes)
        let buffer = ByteBuffer(capacity: bytes.count)
        var context = RequestContext.demandRead
        context.objectSize = Int64(bytes.count)
        let count = try await store.get(there.summary.version, range: 0..<Int64(bytes.count), into: buffer, context) {
            _ in
        }
        #expect(buffer.withBytes(0..<count) { Array($0) } == bytes)
        let stale = ObjectVersion(key: source.key, eTag: ETag("stale"))
        let result = await code {
            _ = try await store.copy(stale, size: Int64(bytes.count), to: try key(place + "c"), nil, .none, .upload)
        }
        #expect(result == .sourceChanged)
    }

    @Test("Many objects are deleted at once, odd names too, and those that were not there as well")
    func deleteMany() async throws {
        let store = try LocalServer.shared().store()
        let place = "many-\(UInt64.random(in: 0 ... .max))/"
        let keys = try ["a", "<&>\"", "é 日本", "tab\t"].map { try key(place + $0) }
        for key in keys { _ = try await store.put(key, ByteSlice([1]), plain(), .none, .upload) }
        #expect(try await store.deleteMany(keys + [try key(place + "gone")], .metadata).isEmpty)
        #expect(
            try await store.list(ListRequest(prefix: Array(place.utf8), delimited: false), .metadata).objects.isEmpty)
    }

    @Test("Temporary credentials work with their token, and not with another")
    func session() async throws {
        let server = try LocalServer.shared()
        let name = try key("session/\(UInt64.random(in: 0 ... .max))")
        let store = try server.store(server.session)
        _ = try await store.put(name, ByteSlice([1]), plain(), .absent, .upload)
        #expect(try await store.head(name, .metadata).summary.size == 1)
        var broken = server.session
        broken.token = "other"
        let stranger = try server.store(broken)
        #expect(await code { _ = try await stranger.head(name, .metadata) } == .signInNeeded)
    }

    @Test("Who may not list or write elsewhere is told so, and knows the way to his own")
    func guest() async throws {
        let server = try LocalServer.shared()
        let store = try server.store(server.guest)
        let own = try key("own/\(UInt64.random(in: 0 ... .max))")
        let tag = try await store.put(own, ByteSlice([1]), plain(["mtime": "1"]), .absent, .upload)
        #expect(try await store.head(own, .metadata).summary.version.eTag == tag)
        #expect(
            await code { _ = try await store.list(ListRequest(prefix: Array("own/".utf8), delimited: true), .metadata) }
                == .accessDenied)
        #expect(
            await code { _ = try await store.put(try key("other"), ByteSlice([1]), plain(), .none, .upload) }
                == .accessDenied)
        #expect(await code { _ = try await store.head(try key("other"), .metadata) } == .accessDenied)
        let wrong = try server.store(LocalServer.Key(id: server.owner.id, secret: "wrong", token: nil))
        #expect(await code { _ = try await wrong.head(own, .metadata) } == .invalidAnswer)
        let unknown = try server.store(LocalServer.Key(id: "AKIAUNKNOWN000000000", secret: "x", token: nil))
        #expect(
            await code { _ = try await unknown.list(ListRequest(prefix: [], delimited: true), .metadata) }
                == .signInNeeded)
    }
}
