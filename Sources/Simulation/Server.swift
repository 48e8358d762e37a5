import Bytes
import ObjectStore
import Synchronization

/// The bucket of a run: it notes what is published, and has the bug of the run.
final class Server: ObjectStore {
    private struct State {
        var allowed: Set<Contents> = []
        /// What was stored without leave.
        var violations: [String] = []
        var isTracing = false
        var trace: [String] = []
    }

    let bucket: InMemoryObjectStore
    private let bug: DeliberateBug?
    /// Held for a moment only.
    private let state = Mutex(State())

    init(_ bucket: InMemoryObjectStore, _ bug: DeliberateBug?) {
        self.bucket = bucket
        self.bug = bug
        allow([])
    }

    /// Somebody has closed a file with these contents, or another device has written them.
    func allow(_ contents: [UInt8]) { state.withLock { _ = $0.allowed.insert(Contents(contents)) } }

    func takeViolations() -> [String] {
        state.withLock { state in
            defer { state.violations = [] }
            return state.violations
        }
    }

    /// From now on each change that is asked for is told.
    func beginTrace() { state.withLock { $0.isTracing = true } }

    /// What was asked for since, and what came of it.
    func takeTrace() -> [String] {
        state.withLock { state in
            defer { state.trace = [] }
            return state.trace
        }
    }

    private func told<Value>(
        _ what: @autoclosure () -> String, _ body: () async throws(ObjectStoreError) -> Value
    ) async throws(ObjectStoreError) -> Value {
        let line = state.withLock { $0.isTracing } ? what() : nil
        func tell(_ outcome: String) { if let line { state.withLock { $0.trace.append("\(line): \(outcome)") } } }
        do throws(ObjectStoreError) {
            let value = try await body()
            tell("\(value)")
            return value
        } catch {
            tell("\(error)")
            throw error
        }
    }

    func bytes(_ version: ObjectVersion) -> [UInt8]? {
        bucket.object(version.key).flatMap { $0.eTag == version.eTag ? $0.bytes : nil }
    }

    func list(_ request: ListRequest, _ context: RequestContext) async throws(ObjectStoreError) -> ListPage {
        var page = try await bucket.list(request, context)
        if bug == .listingEndsEarly, page.objects.count > 1 { page.objects.removeLast() }
        return page
    }

    func head(_ key: ObjectKey, _ context: RequestContext) async throws(ObjectStoreError) -> ObjectDetails {
        var details = try await bucket.head(key, context)
        // The two need not agree to the second.
        details.summary.lastModified += 1
        return details
    }

    func get(
        _ version: ObjectVersion, range: Range<Int64>, into buffer: ByteBuffer, _ context: RequestContext,
        progress: @escaping @Sendable (Int) -> Void
    ) async throws(ObjectStoreError) -> Int {
        var version = version
        if bug == .anyVersionRead, let there = bucket.object(version.key), there.bytes.count >= range.upperBound {
            version = ObjectVersion(key: version.key, eTag: there.eTag)
        }
        return try await bucket.get(version, range: range, into: buffer, context, progress: progress)
    }

    func put(
        _ key: ObjectKey, _ body: ByteSlice, _ attributes: ObjectAttributes, _ precondition: Precondition,
        _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        let bytes = body.withBytes { Array($0) }
        state.withLock { state in
            if !state.allowed.contains(Contents(bytes)), state.violations.count < 10 {
                state.violations.append("published at \(key) what nobody has closed: \(Contents.name(bytes))")
            }
        }
        do throws(ObjectStoreError) {
            let wanted = bug == .putUnconditionally ? Precondition.none : precondition
            return try await told("put \(key) \(Contents.name(bytes)) if \(wanted)") {
                () async throws(ObjectStoreError) in
                try await bucket.put(key, body, attributes, wanted, context)
            }
        } catch {
            guard bug == .conflictTakenForSuccess, error.code == .preconditionFailed,
                let there = bucket.object(key)
            else { throw error }
            return there.eTag
        }
    }

    func copy(
        _ source: ObjectVersion, size: Int64, to key: ObjectKey, _ attributes: ObjectAttributes?,
        _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        if bug == .deleteBeforeCopy, source.key != key { bucket.foreignDelete(source.key) }
        let wanted = bug == .copyUnconditionally ? Precondition.none : precondition
        return try await told("copy \(source) to \(key) if \(wanted)") { () async throws(ObjectStoreError) in
            try await bucket.copy(source, size: size, to: key, attributes, wanted, context)
        }
    }

    func delete(
        _ key: ObjectKey, _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) {
        let wanted = bug == .deleteUnconditionally ? Precondition.none : precondition
        try await told("delete \(key) if \(wanted)") { () async throws(ObjectStoreError) in
            try await bucket.delete(key, wanted, context)
        }
    }

    func createUpload(
        _ key: ObjectKey, _ attributes: ObjectAttributes, _ context: RequestContext
    ) async throws(ObjectStoreError) -> Upload { try await bucket.createUpload(key, attributes, context) }

    func uploadPart(
        _ upload: Upload, _ number: PartNumber, _ body: ByteSlice, _ context: RequestContext
    ) async throws(ObjectStoreError) -> UploadedPart {
        try await bucket.uploadPart(upload, number, body, context)
    }

    func copyPart(
        _ upload: Upload, _ number: PartNumber, from source: ObjectVersion, range: Range<Int64>,
        _ context: RequestContext
    ) async throws(ObjectStoreError) -> UploadedPart {
        try await bucket.copyPart(upload, number, from: source, range: range, context)
    }

    func completeUpload(
        _ upload: Upload, _ parts: [UploadedPart], _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        try await bucket.completeUpload(upload, parts, precondition, context)
    }

    func abortUpload(_ upload: Upload, _ context: RequestContext) async { await bucket.abortUpload(upload, context) }
}
