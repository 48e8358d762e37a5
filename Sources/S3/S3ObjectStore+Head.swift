import HTTPTransport
import ObjectStore

extension S3ObjectStore {
    public func head(
        _ key: ObjectKey, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ObjectDetails {
        try details(try await headResponse(key, context), key)
    }

    /// What HEAD answers, the stored checksums among it.
    func headResponse(
        _ key: ObjectKey, ifMatch: ETag? = nil, _ context: RequestContext
    ) async throws(ObjectStoreError) -> HTTPResponse {
        var call = S3Call(.head, key, .head)
        call.headers = [("x-amz-checksum-mode", "ENABLED")]
        if let ifMatch { call.headers.append(("If-Match", ifMatch.quoted)) }
        let reply = try await perform(call, context)
        if case .refused(let refusal) = reply.ending, refusal.code.isEmpty, [400, 403].contains(refusal.status) {
            // An answer to HEAD has no body, so it can't say why: expired, skewed and denied look alike. One byte of
            // the object needs the same permission and is refused in words; what can be mended is mended on the way.
            var probe = S3Call(.read, key, .get)
            probe.headers = [("Range", "bytes=0-0")]
            let spoken = try await perform(probe, context)
            if case .refused(let refusal) = spoken.ending, refusal.kind != .rangeNotSatisfiable {
                throw call.error(refusal, bucket: bucket)
            }
            return try call.answer(await perform(call, context), bucket: bucket).response
        }
        return try call.answer(reply, bucket: bucket).response
    }

    func details(_ response: HTTPResponse, _ key: ObjectKey) throws(ObjectStoreError) -> ObjectDetails {
        guard let eTag = response["etag"], let size = response["content-length"].flatMap({ Int64($0) }), size >= 0
        else {
            throw ObjectStoreError(
                .invalidAnswer, "Cannot look at \(key): the answer has no ETag or no length.",
                requestID: response["x-amz-request-id"])
        }
        let isRestored = response["x-amz-restore"]?.contains("ongoing-request=\"false\"") ?? false
        let isCold = ["GLACIER", "DEEP_ARCHIVE"].contains(response["x-amz-storage-class"] ?? "")
        return ObjectDetails(
            summary: ObjectSummary(
                version: ObjectVersion(key: key, eTag: ETag(eTag)), size: size,
                lastModified: response["last-modified"].flatMap { HTTPDate.parse($0) } ?? 0,
                isArchived: isCold && !isRestored),
            attributes: AttributeHeaders.attributes(response))
    }
}
