import Bytes
import Synchronization

extension InMemoryObjectStore {
    public func createUpload(
        _ key: ObjectKey, _ attributes: ObjectAttributes, _ context: RequestContext
    ) async throws(ObjectStoreError) -> Upload {
        try begin(StoreCall(.createUpload, "\(key)"))
        try Self.checkMetadata(attributes, key)
        return state.withLock { state in
            state.uploadCount += 1
            let id = "upload-\(state.uploadCount)"
            state.uploads[id] = PartialUpload(key: key, attributes: attributes)
            return Upload(key: key, id: id)
        }
    }

    public func uploadPart(
        _ upload: Upload, _ number: PartNumber, _ body: ByteSlice, _ context: RequestContext
    ) async throws(ObjectStoreError) -> UploadedPart {
        try begin(StoreCall(.uploadPart, "\(upload.key)", byteCount: body.count))
        return try keep(body.array(), upload, number)
    }

    public func copyPart(
        _ upload: Upload, _ number: PartNumber, from source: ObjectVersion, range: Range<Int64>,
        _ context: RequestContext
    ) async throws(ObjectStoreError) -> UploadedPart {
        try begin(StoreCall(.copyPart, "\(upload.key)", byteCount: range.count))
        guard let original = object(source.key) else { throw Self.missing(source.key) }
        guard original.eTag == source.eTag else {
            throw ObjectStoreError(.sourceChanged, "Cannot copy \(source.key): somebody else changed it.")
        }
        guard range.lowerBound >= 0, range.upperBound <= Int64(original.bytes.count) else {
            throw ObjectStoreError(.invalidAnswer, "Cannot copy \(source.key): the range lies outside the object.")
        }
        return try keep(Array(original.bytes[Int(range.lowerBound)..<Int(range.upperBound)]), upload, number)
    }

    private func keep(
        _ bytes: [UInt8], _ upload: Upload, _ number: PartNumber
    ) throws(ObjectStoreError) -> UploadedPart {
        let eTag = Self.eTag(of: bytes)
        try state.withLock { state throws(ObjectStoreError) in
            guard state.uploads[upload.id]?.key == upload.key else { throw Self.unknown(upload) }
            state.uploads[upload.id]?.parts[number] = (bytes, eTag)
        }
        return UploadedPart(
            number: number, eTag: eTag, size: Int64(bytes.count), crc32c: CRC32C(ByteSlice(bytes)).value)
    }

    public func completeUpload(
        _ upload: Upload, _ parts: [UploadedPart], _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        try begin(StoreCall(.completeUpload, "\(upload.key)"))
        return try state.withLock { state throws(ObjectStoreError) in
            if let eTag = state.completed[upload.id], state.objects[upload.key]?.eTag == eTag { return eTag }
            guard let partial = state.uploads[upload.id], partial.key == upload.key else { throw Self.unknown(upload) }
            let bytes = try assemble(parts, of: partial)
            let eTag = ETag("\(Self.eTag(of: bytes).text)-\(parts.count)")
            if state.objects[upload.key]?.eTag != eTag {
                _ = try state.echo(of: bytes, [:], at: upload.key, precondition)
            }
            state.store(newObject(bytes, partial.attributes, eTag: eTag), at: upload.key)
            state.uploads[upload.id] = nil
            state.completed[upload.id] = eTag
            return eTag
        }
    }

    private func assemble(
        _ parts: [UploadedPart], of partial: PartialUpload
    ) throws(ObjectStoreError) -> [UInt8] {
        func wrong(_ what: String) -> ObjectStoreError {
            ObjectStoreError(.invalidAnswer, "Cannot write \(partial.key): \(what).")
        }
        guard !parts.isEmpty else { throw wrong("an upload needs a part") }
        var bytes: [UInt8] = []
        for (index, part) in parts.enumerated() {
            if index > 0, parts[index - 1].number >= part.number { throw wrong("the parts are not in order") }
            guard let kept = partial.parts[part.number], kept.eTag == part.eTag else {
                throw wrong("part \(part.number.value) is not the one that was sent")
            }
            if index < parts.count - 1, kept.bytes.count < minimumPartSize {
                throw wrong("part \(part.number.value) is smaller than \(minimumPartSize) bytes")
            }
            bytes += kept.bytes
        }
        return bytes
    }

    public func abortUpload(_ upload: Upload, _ context: RequestContext) async {
        guard (try? begin(StoreCall(.abortUpload, "\(upload.key)"))) != nil else { return }
        state.withLock { $0.uploads[upload.id] = nil }
    }

    private static func unknown(_ upload: Upload) -> ObjectStoreError {
        ObjectStoreError(.noSuchUpload, "Cannot write \(upload.key): the parts sent so far are gone.")
    }
}
