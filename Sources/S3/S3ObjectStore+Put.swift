import Bytes
import HTTPTransport
import ObjectStore

extension S3ObjectStore {
    public func put(
        _ key: ObjectKey, _ body: ByteSlice, _ attributes: ObjectAttributes, _ precondition: Precondition,
        _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        var call = S3Call(.put, key, .put)
        let attributeHeaders = try AttributeHeaders.headers(attributes, for: key)
        let checksum = checksumHeader(body)
        call.headers = attributeHeaders + [checksum]
        call.body = body
        let expected = Expected(size: Int64(body.count), content: .bytes(body), metadata: attributes.metadata)
        return try await write(call, precondition, expected, context) { response, _ throws(ObjectStoreError) in
            try self.confirm(response, checksum, call)
            return response["etag"]
        }
    }

    public func delete(
        _ key: ObjectKey, _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) {
        var call = S3Call(.delete, key, .delete)
        switch precondition {
        case .none: break
        case .absent:
            if try await currentVersion(key, context) != nil { throw changed(key) }
            return
        case .matches(let eTag):
            if supportsPreconditions {
                call.headers = [("If-Match", eTag.quoted)]
            } else if try await !isStill(precondition, key, context) {
                return
            }
        }
        let reply = try await perform(call, context)
        guard case .refused(let refusal) = reply.ending else {
            _ = try call.answer(reply, bucket: bucket)
            return
        }
        switch refusal.kind {
        case .notFound: return
        case .preconditionFailed:
            // A missing object fits no If-Match on some servers, and an earlier attempt may have removed it.
            if try await currentVersion(key, .metadata) == nil { return }
            throw call.error(refusal, bucket: bucket)
        case .notImplemented where !call.headers.isEmpty && supportsPreconditions:
            noteMissingPreconditions()
            try await delete(key, precondition, context)
        default: throw call.error(refusal, bucket: bucket)
        }
    }

    /// The header that carries the checksum of a body.
    func checksumHeader(_ body: ByteSlice) -> (name: String, value: String) {
        switch options.checksum {
        case .crc32c: ("x-amz-checksum-crc32c", CRC32C(body).base64)
        case .crc64nvme: ("x-amz-checksum-crc64nvme", CRC64NVME(body).base64)
        }
    }

    /// The server says which checksum it took down; it must be the one that was sent.
    func confirm(
        _ response: HTTPResponse, _ checksum: (name: String, value: String), _ call: S3Call
    ) throws(ObjectStoreError) {
        guard let confirmed = response[checksum.name], !confirmed.isEmpty, confirmed != checksum.value else { return }
        throw ObjectStoreError(
            .corrupted,
            "Cannot write \(call.key?.description ?? bucket): the server confirmed other bytes than were sent.",
            requestID: response["x-amz-request-id"])
    }
}

// MARK: - Writes under a precondition

extension S3ObjectStore {
    /// Sends a write so that it happens only under `precondition`, and finds out what an unclear answer means.
    /// `eTag` takes the new version's tag from a good answer.
    func write(
        _ plain: S3Call, _ precondition: Precondition, _ expected: Expected, _ context: RequestContext,
        eTag: (HTTPResponse, AnswerDocument?) throws(ObjectStoreError) -> String?
    ) async throws(ObjectStoreError) -> ETag {
        var call = plain
        if supportsPreconditions {
            call.headers += Self.headers(for: precondition)
        }
        if !supportsPreconditions || (call.operation == .copy && !endpoint.isAWS) {
            // Servers exist that know conditions on a PUT and pass over them in silence on a copy.
            if let there = try await whatStands(against: precondition, call, expected, context) { return there }
        }
        let reply = try await perform(call, context)
        switch reply.ending {
        case .answered(let response, let document):
            guard let tag = try eTag(response, document), !tag.isEmpty else {
                throw call.invalid(
                    "the answer has no ETag.", bucket: bucket, requestID: response["x-amz-request-id"])
            }
            return ETag(tag)
        case .refused(let refusal)
        where refusal.kind == .notImplemented && supportsPreconditions && precondition != .none:
            noteMissingPreconditions()
            return try await write(plain, precondition, expected, context, eTag: eTag)
        case .refused(let refusal):
            return try await resolve(call, refusal, precondition, expected, answerWasLost: reply.answerWasLost)
        case .unanswered(let failure): throw call.error(failure, bucket: bucket)
        }
    }

    static func headers(for precondition: Precondition) -> [(name: String, value: String)] {
        switch precondition {
        case .none: []
        case .absent: [("If-None-Match", "*")]
        case .matches(let eTag): [("If-Match", eTag.quoted)]
        }
    }

    func changed(_ key: ObjectKey) -> ObjectStoreError {
        ObjectStoreError(.preconditionFailed, "Cannot write \(key): somebody else changed it.")
    }

    /// For servers that do not check by themselves. False when there is nothing to check it against any more.
    private func isStill(
        _ precondition: Precondition, _ key: ObjectKey, _ context: RequestContext
    ) async throws(ObjectStoreError) -> Bool {
        guard let there = try await currentVersion(key, context) else { return false }
        if case .matches(let eTag) = precondition, there.version.eTag != eTag { throw changed(key) }
        return true
    }

    /// Looks before a write, for a server that would not. Returns our own bytes' tag when they are there already.
    private func whatStands(
        against precondition: Precondition, _ call: S3Call, _ expected: Expected, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag? {
        guard precondition != .none, let key = call.key else { return nil }
        let there = try await currentVersion(key, context)?.version.eTag
        switch (precondition, there) {
        case (.none, _), (.absent, nil): return nil
        case (.matches(let wanted), .some(let there)) where wanted == there: return nil
        case (.absent, .some), (.matches, _):
            if there != nil, expected.isTelling, case .ours(let eTag) = await compare(key, expected) { return eTag }
            throw changed(key)
        }
    }
}
