import Bytes
import HTTPTransport
import ObjectStore

extension S3ObjectStore {
    public func copy(
        _ source: ObjectVersion, size: Int64, to key: ObjectKey, _ attributes: ObjectAttributes?,
        _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        if size > options.largestCopy {
            return try await copyInParts(source, size: size, to: key, attributes, precondition, context)
        }
        var call = S3Call(.copy, key, .put)
        call.headers = sourceHeaders(source)
        if let attributes {
            call.headers += try AttributeHeaders.headers(attributes, for: key)
            call.headers.append(("x-amz-metadata-directive", "REPLACE"))
        } else {
            call.headers.append(("x-amz-metadata-directive", "COPY"))
        }
        call.answersWithDocument = true
        call.serverWork = max(size, 1)
        let expected = Expected(size: size, content: .copy(of: source), metadata: attributes?.metadata)
        do {
            return try await write(call, precondition, expected, context) { _, document in document?["ETag"] }
        } catch {
            throw try await blame(error, source, key, precondition)
        }
    }

    func sourceHeaders(_ source: ObjectVersion) -> [(name: String, value: String)] {
        [
            (
                name: "x-amz-copy-source",
                value:
                    "/\(URLText.percentEncode(bucket))/\(URLText.percentEncode(source.key.bytes, keepingSlashes: true))"
            ),
            (name: "x-amz-copy-source-if-match", value: source.eTag.quoted),
        ]
    }

    func sourceChanged(_ source: ObjectVersion, _ refusal: Refusal? = nil) -> ObjectStoreError {
        ObjectStoreError(
            .sourceChanged, "Cannot copy \(source.key): somebody else changed it.", requestID: refusal?.requestID)
    }

    /// 412 and 404 do not say whether they speak of the source or of the destination.
    private func blame(
        _ error: ObjectStoreError, _ source: ObjectVersion, _ key: ObjectKey, _ precondition: Precondition
    ) async throws(ObjectStoreError) -> ObjectStoreError {
        guard error.code == .preconditionFailed || error.code == .notFound else { return error }
        let there = try await currentVersion(source.key, .metadata)
        if there == nil {
            return ObjectStoreError(
                .notFound, "Cannot copy \(source.key): there is no such object.", requestID: error.requestID)
        }
        if there?.version != source { return sourceChanged(source) }
        if case .matches = precondition {
            return ObjectStoreError(
                .preconditionFailed, "Cannot copy to \(key): somebody else changed it.", requestID: error.requestID)
        }
        return error
    }

    /// Large objects: 5 GiB a part at most, and 10,000 parts.
    private func copyInParts(
        _ source: ObjectVersion, size: Int64, to key: ObjectKey, _ attributes: ObjectAttributes?,
        _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        var kept = attributes
        if kept == nil { kept = try await head(source.key, context).attributes }
        let upload = try await createUpload(key, kept ?? ObjectAttributes(contentType: ""), context)
        do {
            let parts = try await copyParts(upload, source, size: size, context)
            return try await completeUpload(upload, parts, precondition, context)
        } catch {
            if error.code != .unreachable { await abortUpload(upload, .metadata) }
            throw error
        }
    }

    private func copyParts(
        _ upload: Upload, _ source: ObjectVersion, size: Int64, _ context: RequestContext
    ) async throws(ObjectStoreError) -> [UploadedPart] {
        let partSize = max(min(512 << 20, options.largestCopy), (size + 9_999) / 10_000)
        let starts = Array(stride(from: Int64(0), to: size, by: Int64.Stride(partSize)))
        var parts: [UploadedPart] = []
        // Four at a time: the server does the work, and it is spread over its disks.
        for group in stride(from: 0, to: starts.count, by: 4) {
            let numbers = group..<min(group + 4, starts.count)
            let copied = await withTaskGroup(of: Result<UploadedPart, ObjectStoreError>.self) { tasks in
                for index in numbers {
                    let range = starts[index]..<min(starts[index] + partSize, size)
                    guard let number = PartNumber(index + 1) else { continue }
                    tasks.addTask {
                        do throws(ObjectStoreError) {
                            return .success(
                                try await self.copyPart(upload, number, from: source, range: range, context))
                        } catch { return .failure(error) }
                    }
                }
                return await tasks.reduce(into: [Result<UploadedPart, ObjectStoreError>]()) { $0.append($1) }
            }
            for part in copied { parts.append(try part.get()) }
        }
        return parts.sorted { $0.number < $1.number }
    }
}
