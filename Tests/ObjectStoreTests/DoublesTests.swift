import Bytes
import ObjectStore
import Synchronization
import Testing

private let type = ObjectAttributes(contentType: "text/plain")

private func name(_ text: String) throws -> ObjectKey { try #require(ObjectKey(text)) }

private func code(_ body: () async throws -> Void) async -> ObjectStoreError.Code? {
    do {
        try await body()
        return nil
    } catch { return (error as? ObjectStoreError)?.code }
}

@Suite("The store in memory")
struct InMemoryTests {
    @Test("Each call is logged with its name and size, a foreign hand is not")
    func log() async throws {
        let store = InMemoryObjectStore()
        let tag = store.foreignPut(try name("d/a"), Array("abc".utf8))
        _ = try await store.list(ListRequest(prefix: Array("d/".utf8), delimited: true), .metadata)
        let buffer = ByteBuffer(capacity: 2)
        _ = try await store.get(ObjectVersion(key: try name("d/a"), eTag: tag), range: 1..<3, into: buffer, .demandRead)
        { _ in }
        #expect(store.calls == [StoreCall(.list, "d/"), StoreCall(.get, "d/a", byteCount: 2)])
        store.forgetCalls()
        #expect(store.callCount(.list) == 0)
    }

    @Test("A page ends where it must even when its keys vanish before the next is asked for")
    func vanishing() async throws {
        let store = InMemoryObjectStore()
        for text in ["a", "b", "c", "d"] { store.foreignPut(try name(text), []) }
        var request = ListRequest(prefix: [], delimited: false, maxKeys: 2)
        request.continuation = try await store.list(request, .metadata).continuation
        store.foreignDelete(try name("c"))
        #expect(try await store.list(request, .metadata).objects.map(\.version.key.description) == ["d"])
        request.continuation = "nonsense"
        #expect(await code { _ = try await store.list(request, .metadata) } == .invalidAnswer)
    }

    @Test("An archived object is listed, and cannot be read or copied")
    func archive() async throws {
        let store = InMemoryObjectStore()
        let version = ObjectVersion(key: try name("a"), eTag: store.foreignPut(try name("a"), [1]))
        store.archive(version.key)
        #expect(try await store.head(version.key, .metadata).summary.isArchived)
        let buffer = ByteBuffer(capacity: 1)
        #expect(
            await code { _ = try await store.get(version, range: 0..<1, into: buffer, .demandRead) { _ in } }
                == .archived)
        #expect(
            await code { _ = try await store.copy(version, size: 1, to: try name("b"), nil, .none, .metadata) }
                == .archived)
    }

    @Test("Parts that are too small, missing, foreign or out of order do not become an object")
    func wrongParts() async throws {
        let store = InMemoryObjectStore(minimumPartSize: 4)
        let (one, two) = (try #require(PartNumber(1)), try #require(PartNumber(2)))
        let upload = try await store.createUpload(try name("a"), type, .upload)
        let small = try await store.uploadPart(upload, one, ByteSlice([1]), .upload)
        let last = try await store.uploadPart(upload, two, ByteSlice([2]), .upload)
        let replaced = try await store.uploadPart(upload, one, ByteSlice([1, 2, 3, 4]), .upload)
        for parts in [[], [small, last], [last, replaced], [small]] {
            #expect(await code { _ = try await store.completeUpload(upload, parts, .none, .upload) } == .invalidAnswer)
        }
        _ = try await store.completeUpload(upload, [replaced, last], .none, .upload)
        #expect(store.object(upload.key)?.bytes == [1, 2, 3, 4, 2])
        #expect(store.openUploads == 0)
        let next = try await store.createUpload(try name("b"), type, .upload)
        store.expireUploads()
        #expect(await code { _ = try await store.uploadPart(next, one, ByteSlice([1]), .upload) } == .noSuchUpload)
    }
}

@Suite("The store with faults")
struct FaultyTests {
    @Test("A lost answer leaves its effect, a failure before leaves none")
    func lostAnswers() async throws {
        let memory = InMemoryObjectStore()
        let store = FaultyObjectStore(memory) { call, number in number == 0 ? .unreachable : .lostAnswer }
        let put: @Sendable () async throws -> Void = {
            _ = try await store.put(try name("a"), ByteSlice([1]), type, .absent, .upload)
        }
        #expect(await code(put) == .unreachable)
        #expect(memory.keys.isEmpty)
        #expect(await code(put) == .unreachable)
        #expect(memory.keys == [try name("a")])
        store.setScript { _, _ in nil }
        #expect(await code(put) == .preconditionFailed)
    }

    @Test("A read that is cut short has announced what it stored")
    func cutShort() async throws {
        let memory = InMemoryObjectStore()
        let version = ObjectVersion(key: try name("a"), eTag: memory.foreignPut(try name("a"), Array("abcdef".utf8)))
        let store = FaultyObjectStore(memory) { _, _ in .cutShort(4, ObjectStoreError(.unreachable, "cut")) }
        let told = Mutex(0)
        let buffer = ByteBuffer(capacity: 6)
        #expect(
            await code {
                _ = try await store.get(version, range: 0..<6, into: buffer, .demandRead) { count in
                    told.withLock { $0 = count }
                }
            } == .unreachable)
        #expect(told.withLock { $0 } == 4)
        #expect(buffer.withBytes(0..<4) { Array($0) } == Array("abcd".utf8))
    }

    @Test("A held call waits before or after its effect until the gate opens")
    func held() async throws {
        for isAfter in [false, true] {
            let memory = InMemoryObjectStore()
            let gate = Gate()
            let store = FaultyObjectStore(memory) { _, _ in isAfter ? .holdAfter(gate) : .holdBefore(gate) }
            let task = Task { try await store.put(try name("a"), ByteSlice([1]), type, .none, .upload) }
            await gate.arrived()
            #expect(memory.keys.isEmpty == !isAfter)
            gate.open()
            _ = try await task.value
            #expect(memory.keys.count == 1)
        }
    }

    @Test("A call that is cancelled while it is held ends without effect")
    func cancelled() async throws {
        let memory = InMemoryObjectStore()
        let gate = Gate()
        let store = FaultyObjectStore(memory) { _, _ in .holdBefore(gate) }
        let task = Task { await code { _ = try await store.put(try name("a"), ByteSlice([1]), type, .none, .upload) } }
        await gate.arrived()
        task.cancel()
        #expect(await task.value == .cancelled)
        #expect(memory.keys.isEmpty)
    }
}
