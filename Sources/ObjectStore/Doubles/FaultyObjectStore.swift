import Bytes
import Synchronization

/// What goes wrong with one call.
public enum StoreFault: Sendable {
    /// The call has no effect.
    case failBefore(ObjectStoreError)
    /// The call takes effect, but its answer is lost.
    case failAfter(ObjectStoreError)
    /// The call waits before it has its effect.
    case holdBefore(Gate)
    /// The call has its effect, and its answer waits.
    case holdAfter(Gate)
    /// A read stores and announces so many bytes, then fails. Like `failBefore` for every other call.
    case cutShort(Int, ObjectStoreError)

    public static let throttled = StoreFault.failBefore(
        ObjectStoreError(.unavailable, "The server asks to slow down (SlowDown)."))
    public static let unreachable = StoreFault.failBefore(
        ObjectStoreError(.unreachable, "There is no route to the server."))
    public static let lostAnswer = StoreFault.failAfter(ObjectStoreError(.unreachable, "The connection was lost."))
}

/// Another store with faults: a script decides for each call.
public final class FaultyObjectStore: ObjectStore {
    /// Gets the call and its number, counted from 0; nil lets the call through. Called by many threads.
    public typealias Script = @Sendable (StoreCall, Int) -> StoreFault?

    private let store: any ObjectStore
    private let script: Mutex<Script>
    private let count = Mutex(0)

    public init(_ store: any ObjectStore, script: @escaping Script = { _, _ in nil }) {
        self.store = store
        self.script = Mutex(script)
    }

    /// Replaces the script; calls that are under way keep the fault that they got.
    public func setScript(_ script: @escaping Script) { self.script.withLock { $0 = script } }

    private func run<R>(
        _ call: StoreCall, cutShort: ((Int) async throws(ObjectStoreError) -> Void)? = nil,
        body: () async throws(ObjectStoreError) -> R
    ) async throws(ObjectStoreError) -> R {
        let number = count.withLock { count in
            defer { count += 1 }
            return count
        }
        let script = script.withLock { $0 }
        switch script(call, number) {
        case nil: return try await body()
        case .failBefore(let error): throw error
        case .failAfter(let error):
            _ = try await body()
            throw error
        case .holdBefore(let gate):
            await gate.pass()
            return try await body()
        case .holdAfter(let gate):
            let result = try await body()
            await gate.pass()
            return result
        case .cutShort(let bytes, let error):
            try await cutShort?(bytes)
            throw error
        }
    }

    public func list(
        _ request: ListRequest, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ListPage {
        try await run(StoreCall(.list, String(decoding: request.prefix, as: UTF8.self))) {
            () async throws(ObjectStoreError) in try await store.list(request, context)
        }
    }

    public func head(_ key: ObjectKey, _ context: RequestContext) async throws(ObjectStoreError) -> ObjectDetails {
        try await run(StoreCall(.head, "\(key)")) { () async throws(ObjectStoreError) in
            try await store.head(key, context)
        }
    }

    public func get(
        _ version: ObjectVersion, range: Range<Int64>, into buffer: ByteBuffer, _ context: RequestContext,
        progress: @escaping @Sendable (Int) -> Void
    ) async throws(ObjectStoreError) -> Int {
        try await run(
            StoreCall(.get, "\(version.key)", byteCount: range.count),
            cutShort: { (count: Int) async throws(ObjectStoreError) in
                let end = min(range.upperBound, range.lowerBound + Int64(count))
                _ = try await self.store.get(
                    version, range: range.lowerBound..<end, into: buffer, context, progress: progress)
            },
            body: { () async throws(ObjectStoreError) in
                try await self.store.get(version, range: range, into: buffer, context, progress: progress)
            })
    }

    public func put(
        _ key: ObjectKey, _ body: ByteSlice, _ attributes: ObjectAttributes, _ precondition: Precondition,
        _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        try await run(StoreCall(.put, "\(key)", byteCount: body.count)) { () async throws(ObjectStoreError) in
            try await store.put(key, body, attributes, precondition, context)
        }
    }

    public func copy(
        _ source: ObjectVersion, size: Int64, to key: ObjectKey, _ attributes: ObjectAttributes?,
        _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        try await run(StoreCall(.copy, "\(key)")) { () async throws(ObjectStoreError) in
            try await store.copy(source, size: size, to: key, attributes, precondition, context)
        }
    }

    public func delete(
        _ key: ObjectKey, _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) {
        try await run(StoreCall(.delete, "\(key)")) { () async throws(ObjectStoreError) in
            try await store.delete(key, precondition, context)
        }
    }

    public func createUpload(
        _ key: ObjectKey, _ attributes: ObjectAttributes, _ context: RequestContext
    ) async throws(ObjectStoreError) -> Upload {
        try await run(StoreCall(.createUpload, "\(key)")) { () async throws(ObjectStoreError) in
            try await store.createUpload(key, attributes, context)
        }
    }

    public func uploadPart(
        _ upload: Upload, _ number: PartNumber, _ body: ByteSlice, _ context: RequestContext
    ) async throws(ObjectStoreError) -> UploadedPart {
        try await run(StoreCall(.uploadPart, "\(upload.key)", byteCount: body.count)) {
            () async throws(ObjectStoreError) in try await store.uploadPart(upload, number, body, context)
        }
    }

    public func copyPart(
        _ upload: Upload, _ number: PartNumber, from source: ObjectVersion, range: Range<Int64>,
        _ context: RequestContext
    ) async throws(ObjectStoreError) -> UploadedPart {
        try await run(StoreCall(.copyPart, "\(upload.key)", byteCount: range.count)) {
            () async throws(ObjectStoreError) in
            try await store.copyPart(upload, number, from: source, range: range, context)
        }
    }

    public func completeUpload(
        _ upload: Upload, _ parts: [UploadedPart], _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        try await run(StoreCall(.completeUpload, "\(upload.key)")) { () async throws(ObjectStoreError) in
            try await store.completeUpload(upload, parts, precondition, context)
        }
    }

    public func abortUpload(_ upload: Upload, _ context: RequestContext) async {
        do throws(ObjectStoreError) {
            try await run(StoreCall(.abortUpload, "\(upload.key)")) { () async throws(ObjectStoreError) in
                await store.abortUpload(upload, context)
            }
        } catch {
            // Giving up an upload is best effort, so its failure is nobody's business.
        }
    }
}
