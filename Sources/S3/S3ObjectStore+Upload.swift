import Bytes
import HTTPTransport
import Logging
import ObjectStore

extension S3ObjectStore {
    public func createUpload(
        _ key: ObjectKey, _ attributes: ObjectAttributes, _ context: RequestContext
    ) async throws(ObjectStoreError) -> Upload {
        var call = S3Call(.createUpload, key, .post)
        call.query = [("uploads", "")]
        call.headers = try AttributeHeaders.headers(attributes, for: key)
        switch options.checksum {
        case .crc32c: call.headers.append(("x-amz-checksum-algorithm", "CRC32C"))
        case .crc64nvme:
            call.headers += [("x-amz-checksum-algorithm", "CRC64NVME"), ("x-amz-checksum-type", "FULL_OBJECT")]
        }
        call.answersWithDocument = true
        let (response, document) = try call.answer(await perform(call, context), bucket: bucket)
        guard let id = document?["UploadId"], !id.isEmpty else {
            throw call.invalid("the answer has no upload id.", bucket: bucket, requestID: response["x-amz-request-id"])
        }
        return Upload(key: key, id: id)
    }

    public func uploadPart(
        _ upload: Upload, _ number: PartNumber, _ body: ByteSlice, _ context: RequestContext
    ) async throws(ObjectStoreError) -> UploadedPart {
        var call = S3Call(.uploadPart, upload.key, .put)
        call.query = [("partNumber", String(number.value)), ("uploadId", upload.id)]
        let checksum = checksumHeader(body)
        call.headers = [checksum]
        call.body = body
        let (response, _) = try call.answer(uploadReply(await perform(call, context)), bucket: bucket)
        try confirm(response, checksum, call)
        guard let eTag = response["etag"], !eTag.isEmpty else {
            throw call.invalid("the answer has no ETag.", bucket: bucket, requestID: response["x-amz-request-id"])
        }
        let confirmed = response["x-amz-checksum-crc32c"].flatMap(Self.crc32c)
        return UploadedPart(number: number, eTag: ETag(eTag), size: Int64(body.count), crc32c: confirmed)
    }

    public func copyPart(
        _ upload: Upload, _ number: PartNumber, from source: ObjectVersion, range: Range<Int64>,
        _ context: RequestContext
    ) async throws(ObjectStoreError) -> UploadedPart {
        var call = S3Call(.copyPart, upload.key, .put)
        call.query = [("partNumber", String(number.value)), ("uploadId", upload.id)]
        call.headers =
            sourceHeaders(source) + [("x-amz-copy-source-range", "bytes=\(range.lowerBound)-\(range.upperBound - 1)")]
        call.answersWithDocument = true
        call.serverWork = max(Int64(range.count), 1)
        let reply = try await perform(call, context)
        if case .refused(let refusal) = reply.ending {
            if refusal.kind == .preconditionFailed { throw sourceChanged(source, refusal) }
            // A bare 404 may be about the upload or about the source.
            if refusal.kind == .notFound, refusal.code.isEmpty { throw try await missing(upload, source, refusal) }
        }
        let (response, document) = try call.answer(reply, bucket: bucket)
        guard let eTag = document?["ETag"], !eTag.isEmpty else {
            throw call.invalid("the answer has no ETag.", bucket: bucket, requestID: response["x-amz-request-id"])
        }
        return UploadedPart(
            number: number, eTag: ETag(eTag), size: Int64(range.count),
            crc32c: document?["ChecksumCRC32C"].flatMap(Self.crc32c))
    }

    public func completeUpload(
        _ upload: Upload, _ parts: [UploadedPart], _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        var call = S3Call(.completeUpload, upload.key, .post)
        call.query = [("uploadId", upload.id)]
        call.headers = [("Content-Type", "application/xml")]
        call.body = ByteSlice(Self.completion(parts))
        call.answersWithDocument = true
        let size = parts.reduce(0) { $0 + $1.size }
        call.serverWork = max(size, 1)
        let checksum = StoredChecksum.composite(ofParts: parts.map(\.crc32c))
        let expected = Expected(size: size, content: .parts(checksum), metadata: nil)
        return try await write(call, precondition, expected, context) { _, document in document?["ETag"] }
    }

    public func abortUpload(_ upload: Upload, _ context: RequestContext) async {
        var call = S3Call(.abortUpload, upload.key, .delete)
        call.query = [("uploadId", upload.id)]
        do throws(ObjectStoreError) {
            _ = try call.answer(await perform(call, context), bucket: bucket)
        } catch {
            logger.debug("an upload was not given up", metadata: ["key": "\(upload.key)", "reason": "\(error)"])
        }
    }

    /// A part has no object to miss: 404 can only be the upload.
    private func uploadReply(_ reply: Reply) -> Reply {
        guard case .refused(var refusal) = reply.ending, refusal.kind == .notFound else { return reply }
        refusal.kind = .noSuchUpload
        return Reply(ending: .refused(refusal), answerWasLost: reply.answerWasLost)
    }

    private func missing(
        _ upload: Upload, _ source: ObjectVersion, _ refusal: Refusal
    ) async throws(ObjectStoreError) -> ObjectStoreError {
        if try await currentVersion(source.key, .metadata) == nil {
            return ObjectStoreError(.notFound, "Cannot copy \(source.key): there is no such object.")
        }
        return ObjectStoreError(
            .noSuchUpload, "Cannot write \(upload.key): the parts sent so far are gone.", requestID: refusal.requestID)
    }

    /// The document that lists the parts. A part's checksum is listed where the server keeps one.
    private static func completion(_ parts: [UploadedPart]) -> [UInt8] {
        var text = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
        for part in parts {
            text += "<Part>"
            if let crc = part.crc32c {
                text +=
                    "<ChecksumCRC32C>\(Base64.encode(withUnsafeBytes(of: crc.bigEndian) { Array($0) }))</ChecksumCRC32C>"
            }
            text +=
                "<ETag>\(XMLText.escape(part.eTag.quoted))</ETag><PartNumber>\(part.number.value)</PartNumber></Part>"
        }
        return Array((text + "</CompleteMultipartUpload>").utf8)
    }

    private static func crc32c(_ base64: String) -> UInt32? {
        guard let bytes = Base64.decode(base64), bytes.count == 4 else { return nil }
        return bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }
}

/// Text as it may stand in a document.
enum XMLText {
    static func escape(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            // XML 1.0 turns a bare one into a line feed.
            case "\u{01}"..."\u{1F}", "\u{7F}": escaped += "&#\(scalar.value);"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
