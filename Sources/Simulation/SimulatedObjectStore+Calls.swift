import Bytes
import ObjectStore

extension SimulatedObjectStore {
    public func list(
        _ request: ListRequest, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ListPage {
        let call = StoreCall(.list, String(decoding: request.prefix, as: UTF8.self))
        return try await self.request(call, touching: [request.prefix], context) {
            [bucket] () async throws(ObjectStoreError) in try await bucket.list(request, context)
        }
    }

    public func head(_ key: ObjectKey, _ context: RequestContext) async throws(ObjectStoreError) -> ObjectDetails {
        try await request(StoreCall(.head, "\(key)"), touching: [key.bytes], context) {
            [bucket] () async throws(ObjectStoreError) in try await bucket.head(key, context)
        }
    }

    /// The bytes of a version never change, so they are read when the answer arrives: the caller's buffer is touched
    /// only while the caller waits.
    public func get(
        _ version: ObjectVersion, range: Range<Int64>, into buffer: ByteBuffer, _ context: RequestContext,
        progress: @escaping @Sendable (Int) -> Void
    ) async throws(ObjectStoreError) -> Int {
        let call = StoreCall(.get, "\(version.key)", byteCount: range.count)
        try await request(call, touching: [version.key.bytes], context) { () async throws(ObjectStoreError) in }
        if let share = drawCut() {
            let end = range.lowerBound + Int64(Double(range.count) * share)
            _ = try await bucket.get(
                version, range: range.lowerBound..<end, into: buffer, context, progress: progress)
            throw ObjectStoreError(.unreachable, "\(call): the connection was lost.")
        }
        return try await bucket.get(version, range: range, into: buffer, context, progress: progress)
    }

    public func put(
        _ key: ObjectKey, _ body: ByteSlice, _ attributes: ObjectAttributes, _ precondition: Precondition,
        _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        try await request(StoreCall(.put, "\(key)", byteCount: body.count), touching: [key.bytes], context) {
            [bucket] () async throws(ObjectStoreError) in
            try await bucket.put(key, body, attributes, precondition, context)
        }
    }

    public func copy(
        _ source: ObjectVersion, size: Int64, to key: ObjectKey, _ attributes: ObjectAttributes?,
        _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        try await request(StoreCall(.copy, "\(key)"), touching: [source.key.bytes, key.bytes], context) {
            [bucket] () async throws(ObjectStoreError) in
            try await bucket.copy(source, size: size, to: key, attributes, precondition, context)
        }
    }

    public func delete(
        _ key: ObjectKey, _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) {
        try await request(StoreCall(.delete, "\(key)"), touching: [key.bytes], context) {
            [bucket] () async throws(ObjectStoreError) in try await bucket.delete(key, precondition, context)
        }
    }

    public func createUpload(
        _ key: ObjectKey, _ attributes: ObjectAttributes, _ context: RequestContext
    ) async throws(ObjectStoreError) -> Upload {
        try await request(StoreCall(.createUpload, "\(key)"), touching: [key.bytes], context) {
            [bucket] () async throws(ObjectStoreError) in try await bucket.createUpload(key, attributes, context)
        }
    }

    public func uploadPart(
        _ upload: Upload, _ number: PartNumber, _ body: ByteSlice, _ context: RequestContext
    ) async throws(ObjectStoreError) -> UploadedPart {
        let call = StoreCall(.uploadPart, "\(upload.key)", byteCount: body.count)
        return try await request(call, touching: [upload.key.bytes], context) {
            [bucket] () async throws(ObjectStoreError) in
            try await bucket.uploadPart(upload, number, body, context)
        }
    }

    public func copyPart(
        _ upload: Upload, _ number: PartNumber, from source: ObjectVersion, range: Range<Int64>,
        _ context: RequestContext
    ) async throws(ObjectStoreError) -> UploadedPart {
        let call = StoreCall(.copyPart, "\(upload.key)", byteCount: range.count)
        return try await request(call, touching: [source.key.bytes, upload.key.bytes], context) {
            [bucket] () async throws(ObjectStoreError) in
            try await bucket.copyPart(upload, number, from: source, range: range, context)
        }
    }

    public func completeUpload(
        _ upload: Upload, _ parts: [UploadedPart], _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        try await request(StoreCall(.completeUpload, "\(upload.key)"), touching: [upload.key.bytes], context) {
            [bucket] () async throws(ObjectStoreError) in
            try await bucket.completeUpload(upload, parts, precondition, context)
        }
    }

    public func abortUpload(_ upload: Upload, _ context: RequestContext) async {
        do throws(ObjectStoreError) {
            try await request(StoreCall(.abortUpload, "\(upload.key)"), touching: [upload.key.bytes], context) {
                [bucket] () async throws(ObjectStoreError) in await bucket.abortUpload(upload, context)
            }
        } catch {
            // Giving up an upload is best effort, so its failure is nobody's business.
        }
    }
}
