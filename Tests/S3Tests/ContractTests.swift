import Bytes
import ObjectStore
import Testing

@testable import S3

/// What stands behind the protocol: the double and a real server have to behave alike.
enum StoreUnderTest: CaseIterable, Sendable {
    case memory, server

    func make() throws -> any ObjectStore {
        switch self {
        case .memory: InMemoryObjectStore()
        case .server: try LocalServer.shared().store()
        }
    }
}

/// A place in the bucket for one test.
struct Place {
    let store: any ObjectStore
    let prefix: String

    init(_ kind: StoreUnderTest, _ name: String = #function) throws {
        store = try kind.make()
        prefix = "contract/\(name.prefix { $0 != "(" })-\(UInt64.random(in: 0 ... .max))/"
    }

    func key(_ name: String) throws -> ObjectKey { try #require(ObjectKey(prefix + name)) }

    @discardableResult
    func put(
        _ name: String, _ text: String, _ attributes: ObjectAttributes = plain(), _ precondition: Precondition = .none
    ) async throws -> ETag {
        try await store.put(try key(name), ByteSlice(Array(text.utf8)), attributes, precondition, .upload)
    }

    func read(_ version: ObjectVersion, _ range: Range<Int64>) async throws -> String {
        let buffer = ByteBuffer(capacity: range.count)
        let count = try await store.get(version, range: range, into: buffer, .demandRead) { _ in }
        return buffer.withBytes(0..<count) { String(decoding: $0, as: UTF8.self) }
    }

    func text(_ name: String) async throws -> String {
        let found = try await store.head(try key(name), .metadata).summary
        return try await read(found.version, 0..<found.size)
    }

    func names(delimited: Bool = false, _ below: String = "") async throws -> [String] {
        let request = ListRequest(prefix: Array((prefix + below).utf8), delimited: delimited)
        let page = try await store.list(request, .metadata)
        let all = page.objects.map(\.version.key.bytes) + page.commonPrefixes
        return all.map { String(decoding: $0.dropFirst(prefix.utf8.count), as: UTF8.self) }.sorted()
    }
}

@Suite("What every object store does", .serialized)
struct ContractTests {
    @Test("A missing object is not found, by HEAD and by GET", arguments: StoreUnderTest.allCases)
    func missing(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let name = try place.key("nothing")
        #expect(await code { _ = try await place.store.head(name, .metadata) } == .notFound)
        let version = ObjectVersion(key: name, eTag: ETag("x"))
        #expect(await code { _ = try await place.read(version, 0..<4) } == .notFound)
        #expect(await code { try await place.store.delete(name, .none, .metadata) } == nil)
        #expect(await code { try await place.store.delete(name, .matches(ETag("x")), .metadata) } == nil)
    }

    @Test("A range is read from the version named, and from no other", arguments: StoreUnderTest.allCases)
    func ranges(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let old = ObjectVersion(key: try place.key("a"), eTag: try await place.put("a", "0123456789"))
        #expect(try await place.read(old, 0..<10) == "0123456789")
        #expect(try await place.read(old, 2..<5) == "234")
        #expect(try await place.read(old, 8..<100) == "89")
        #expect(try await place.read(old, 10..<20) == "")
        #expect(try await place.read(old, 3..<3) == "")
        try await place.put("a", "abcdefghij")
        #expect(await code { _ = try await place.read(old, 2..<5) } == .preconditionFailed)
        #expect(await code { _ = try await place.read(old, 10..<20) } == .preconditionFailed)
    }

    @Test("An empty object can be written, listed and read", arguments: StoreUnderTest.allCases)
    func empty(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let version = ObjectVersion(key: try place.key("e"), eTag: try await place.put("e", ""))
        #expect(try await place.read(version, 0..<0) == "")
        #expect(try await place.read(version, 0..<9) == "")
        #expect(try await place.store.head(version.key, .metadata).summary.size == 0)
    }

    @Test("A write under a precondition happens only when it holds", arguments: StoreUnderTest.allCases)
    func preconditions(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let first = try await place.put("a", "one", plain(), .absent)
        #expect(await code { try await place.put("a", "two", plain(), .absent) } == .preconditionFailed)
        #expect(await code { try await place.put("a", "two", plain(), .matches(ETag("no"))) } == .preconditionFailed)
        #expect(try await place.text("a") == "one")
        let second = try await place.put("a", "two", plain(), .matches(first))
        #expect(second != first)
        #expect(await code { try await place.put("a", "three", plain(), .matches(first)) } == .preconditionFailed)
        #expect(await code { try await place.put("gone", "x", plain(), .matches(first)) } == .preconditionFailed)
        #expect(try await place.text("a") == "two")
        #expect(try await place.names() == ["a"])
    }

    @Test(
        "A write that finds itself already done succeeds; an equal object without metadata is somebody else's",
        arguments: StoreUnderTest.allCases)
    func echo(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let tag = try await place.put("a", "one", plain(["mtime": "1.5"]), .absent)
        #expect(try await place.put("a", "one", plain(["mtime": "1.5"]), .absent) == tag)
        #expect(await code { try await place.put("a", "one", plain(["mtime": "2"]), .absent) } == .preconditionFailed)
        try await place.put("lock", "", plain(), .absent)
        #expect(await code { try await place.put("lock", "", plain(), .absent) } == .preconditionFailed)
    }

    @Test("A delete under a precondition spares another version", arguments: StoreUnderTest.allCases)
    func conditionalDelete(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let old = try await place.put("a", "one")
        let new = try await place.put("a", "two")
        let name = try place.key("a")
        #expect(await code { try await place.store.delete(name, .matches(old), .metadata) } == .preconditionFailed)
        #expect(await code { try await place.store.delete(name, .absent, .metadata) } == .preconditionFailed)
        try await place.store.delete(name, .matches(new), .metadata)
        #expect(try await place.names() == [])
    }

    @Test("Type, headers and any UTF-8 metadata come back as they were given", arguments: StoreUnderTest.allCases)
    func attributes(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let given = ObjectAttributes(
            contentType: "image/png",
            headers: ["cache-control": "max-age=60", "content-disposition": "attachment; filename=\"a b.png\""],
            metadata: [
                "mtime": "1795248309.123456789", "note": "Grüße 日本 🔐 \(String(repeating: "é", count: 80))",
                "spaces": "  two  ", "looks": "=?UTF-8?B?aGk=?=", "empty": "", "line": "a\nb",
            ])
        _ = try await place.store.put(try place.key("a"), ByteSlice([1]), given, .none, .upload)
        #expect(try await place.store.head(try place.key("a"), .metadata).attributes == given)
    }

    @Test("Metadata over two kilobytes is refused, and nothing is written", arguments: StoreUnderTest.allCases)
    func metadataLimit(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let large = plain(["a": String(repeating: "x", count: 2048)])
        #expect(await code { try await place.put("a", "one", large) } == .tooLarge)
        #expect(try await place.names() == [])
    }

    @Test("Keys with any character are listed as they were written", arguments: StoreUnderTest.allCases)
    func oddKeys(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let names = [
            "sp ace+plus%25 &=?#[]@!$'()*,;:é日本🔐~.txt", "e\u{301}", "\u{e9}", "a//b", "tab\there", "line\nfeed",
            "<&>\"", "dir/", "eu-central-1:0-1",
        ]
        for name in names { try await place.put(name, name) }
        #expect(try await place.names() == names.sorted())
        for name in names { #expect(try await place.text(name) == name) }
    }

    @Test(
        "A listing with a delimiter shows one level; pages join without gap or double",
        arguments: StoreUnderTest.allCases)
    func pages(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let names = ["a", "b/1", "b/2", "b-x", "c", "d/e/f", "g"]
        for name in names { try await place.put(name, name) }
        #expect(try await place.names(delimited: true) == ["a", "b-x", "b/", "c", "d/", "g"])
        #expect(try await place.names(delimited: true, "b/") == ["b/1", "b/2"])
        for delimited in [true, false] {
            var request = ListRequest(prefix: Array(place.prefix.utf8), delimited: delimited, maxKeys: 2)
            var found: [String] = []
            for _ in 0..<10 {
                let page = try await place.store.list(request, .metadata)
                #expect(page.objects.count + page.commonPrefixes.count <= 2)
                let all = page.objects.map(\.version.key.bytes) + page.commonPrefixes
                found += all.map { String(decoding: $0.dropFirst(place.prefix.utf8.count), as: UTF8.self) }
                request.continuation = page.continuation
                if page.continuation == nil { break }
            }
            #expect(request.continuation == nil)
            #expect(found.sorted() == (delimited ? ["a", "b-x", "b/", "c", "d/", "g"] : names.sorted()))
        }
        var after = ListRequest(prefix: Array(place.prefix.utf8), delimited: false)
        after.startAfter = try place.key("b/1")
        let rest = try await place.store.list(after, .metadata).objects.map(\.version.key)
        #expect(rest == (try ["b/2", "c", "d/e/f", "g"].map { try place.key($0) }))
    }

    @Test("A copy keeps or replaces attributes, and is bound to both versions", arguments: StoreUnderTest.allCases)
    func copies(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let source = ObjectVersion(
            key: try place.key("a b+é"), eTag: try await place.put("a b+é", "one", plain(["mtime": "1"])))
        let target = try place.key("t")
        let tag = try await place.store.copy(source, size: 3, to: target, nil, .absent, .metadata)
        var there = try await place.store.head(target, .metadata)
        #expect(there.attributes == plain(["mtime": "1"]) && there.summary.version.eTag == tag)
        try await place.put("t", "other")
        #expect(
            await code { _ = try await place.store.copy(source, size: 3, to: target, nil, .absent, .metadata) }
                == .preconditionFailed)
        #expect(
            await code { _ = try await place.store.copy(source, size: 3, to: target, nil, .matches(tag), .metadata) }
                == .preconditionFailed)
        _ = try await place.store.copy(source, size: 3, to: target, plain(["mtime": "2"]), .none, .metadata)
        there = try await place.store.head(target, .metadata)
        #expect(there.attributes == plain(["mtime": "2"]))
        _ = try await place.store.copy(source, size: 3, to: source.key, plain(["mode": "33188"]), .none, .metadata)
        #expect(try await place.store.head(source.key, .metadata).attributes == plain(["mode": "33188"]))
        try await place.put("a b+é", "two")
        #expect(
            await code { _ = try await place.store.copy(source, size: 3, to: target, nil, .none, .metadata) }
                == .sourceChanged)
        try await place.store.delete(source.key, .none, .metadata)
        #expect(
            await code { _ = try await place.store.copy(source, size: 3, to: target, nil, .none, .metadata) }
                == .notFound)
    }

    @Test("An upload in parts becomes one object, once, under its precondition", arguments: StoreUnderTest.allCases)
    func uploads(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let name = try place.key("big")
        let first = [UInt8](repeating: 7, count: 5 << 20)
        let base = ObjectVersion(key: try place.key("base"), eTag: try await place.put("base", "0123456789"))
        let (one, two, three) = (try #require(PartNumber(1)), try #require(PartNumber(2)), try #require(PartNumber(3)))
        let upload = try await place.store.createUpload(name, plain(["mtime": "9"]), .upload)
        #expect(try await place.names() == ["base"])
        let part1 = try await place.store.uploadPart(upload, one, ByteSlice(first), .upload)
        _ = try await place.store.uploadPart(upload, two, ByteSlice(Array("wrong".utf8)), .upload)
        let part2 = try await place.store.uploadPart(upload, two, ByteSlice(first), .upload)
        let part3 = try await place.store.copyPart(upload, three, from: base, range: 2..<6, .upload)
        let parts = [part1, part2, part3]
        #expect(parts.map(\.size) == [5 << 20, 5 << 20, 4])
        #expect(
            await code { _ = try await place.store.completeUpload(upload, parts, .matches(ETag("no")), .upload) }
                == .preconditionFailed)
        let tag = try await place.store.completeUpload(upload, parts, .absent, .upload)
        let there = try await place.store.head(name, .metadata)
        #expect(there.summary.version.eTag == tag && there.attributes == plain(["mtime": "9"]))
        let tail = try await place.read(there.summary.version, (10 << 20) - 1..<(10 << 20) + 100)
        #expect(tail == "\u{7}2345")
        #expect(try await place.store.completeUpload(upload, parts, .absent, .upload) == tag)
    }

    @Test("An upload that was given up is gone", arguments: StoreUnderTest.allCases)
    func aborted(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let one = try #require(PartNumber(1))
        let upload = try await place.store.createUpload(try place.key("a"), plain(), .upload)
        let part = try await place.store.uploadPart(upload, one, ByteSlice([1, 2]), .upload)
        await place.store.abortUpload(upload, .metadata)
        await place.store.abortUpload(upload, .metadata)
        #expect(
            await code { _ = try await place.store.uploadPart(upload, one, ByteSlice([1]), .upload) } == .noSuchUpload)
        #expect(
            await code { _ = try await place.store.completeUpload(upload, [part], .none, .upload) } == .noSuchUpload)
        #expect(try await place.names() == [])
    }

    @Test("Of many writers who want to be first, one is", arguments: StoreUnderTest.allCases)
    func race(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let winners = await withTaskGroup(of: Int.self) { tasks in
            for writer in 0..<8 {
                tasks.addTask { await code { try await place.put("a", "\(writer)", plain(), .absent) } == nil ? 1 : 0 }
            }
            return await tasks.reduce(0, +)
        }
        #expect(winners == 1)
    }

    @Test("A cancelled call throws cancelled", arguments: StoreUnderTest.allCases)
    func cancelled(_ kind: StoreUnderTest) async throws {
        let place = try Place(kind)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await code { try await place.put("a", "x") }
        }
        #expect(await task.value == .cancelled)
        #expect(try await place.names() == [])
    }
}
