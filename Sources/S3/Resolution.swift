import Bytes
import HTTPTransport
import Logging
import ObjectStore

/// What an object must look like to be the one that a write made.
struct Expected: Sendable {
    enum Content: Sendable {
        case bytes(ByteSlice)
        /// The checksum of the parts' checksums, where all were confirmed.
        case parts(StoredChecksum?)
        case copy(of: ObjectVersion)
    }

    var size: Int64
    var content: Content
    /// Nil when it is not known, or is the source's.
    var metadata: [String: String]?

    /// Equal objects are equal for a reason: the metadata holds a modification time, or many parts' checksums agree.
    /// Two empty objects without metadata are not: whoever wanted to be the first to make one has to be told.
    var isTelling: Bool {
        if let metadata { return !metadata.isEmpty }
        return switch content {
        case .bytes, .parts(nil): false
        case .parts(.some), .copy: true
        }
    }
}

/// What is under a key, compared with what a write would have put there.
enum Comparison: Sendable {
    case ours(ETag)
    case other
    case absent
    case unknown(ObjectStoreError)
}

extension S3ObjectStore {
    private static let largestReread = 16 << 20

    /// A write was refused. When an earlier attempt's answer was lost, or an earlier call's, the refusal may be the echo
    /// of our own success: then the object under the key is the one that was to be written.
    func resolve(
        _ call: S3Call, _ refusal: Refusal, _ precondition: Precondition, _ expected: Expected, answerWasLost: Bool
    ) async throws(ObjectStoreError) -> ETag {
        let mayBeEcho: Bool =
            switch refusal.kind {
            case .preconditionFailed, .noSuchUpload: answerWasLost || expected.isTelling
            case .notFound: false
            default: answerWasLost
            }
        guard mayBeEcho, let key = call.key else {
            throw refused(call, refusal, precondition)
        }
        switch await compare(key, expected) {
        case .ours(let eTag):
            logger.debug("a lost answer was a success", metadata: ["key": "\(key)", "operation": "\(call.operation)"])
            return eTag
        case .other, .absent: throw refused(call, refusal, precondition)
        case .unknown(let why):
            guard answerWasLost else { throw refused(call, refusal, precondition) }
            throw ObjectStoreError(
                .unreachable,
                "Cannot tell whether \(key) was written: an answer was lost, and the object can't be looked at "
                    + "(\(why.message))", requestID: refusal.requestID)
        }
    }

    /// If-Match on a key that is gone is 404 on S3 and 412 elsewhere; it means the same.
    private func refused(_ call: S3Call, _ refusal: Refusal, _ precondition: Precondition) -> ObjectStoreError {
        var refusal = refusal
        if refusal.kind == .notFound, case .matches = precondition, call.operation != .copy {
            refusal.kind = .preconditionFailed
        }
        return call.error(refusal, bucket: bucket)
    }

    func compare(_ key: ObjectKey, _ expected: Expected) async -> Comparison {
        do throws(ObjectStoreError) {
            let response = try await headResponse(key, .metadata)
            let found = try details(response, key)
            let eTag = found.summary.version.eTag
            guard found.summary.size == expected.size else { return .other }
            if let metadata = expected.metadata, metadata != found.attributes.metadata { return .other }
            let stored = StoredChecksum(response)
            switch expected.content {
            case .parts(let checksum): return checksum != nil && checksum == stored ? .ours(eTag) : .other
            case .copy(let source):
                let isCopy = try await isCopy(found, stored, of: source, metadata: expected.metadata)
                return isCopy ? .ours(eTag) : .other
            case .bytes(let slice):
                if let fits = stored?.fits(slice) { return fits ? .ours(eTag) : .other }
                return try await reread(found.summary.version, slice)
            }
        } catch {
            return error.code == .notFound ? .absent : .unknown(error)
        }
    }

    /// Checksums of one kind decide; where there are none, equal tags do, which S3 gives to equal bytes.
    private func isCopy(
        _ found: ObjectDetails, _ stored: StoredChecksum?, of source: ObjectVersion, metadata: [String: String]?
    ) async throws(ObjectStoreError) -> Bool {
        let response = try await headResponse(source.key, ifMatch: source.eTag, .metadata)
        let original = try details(response, source.key)
        guard metadata ?? original.attributes.metadata == found.attributes.metadata else { return false }
        if let stored, let other = StoredChecksum(response), stored.isSameKind(as: other) { return stored == other }
        return found.summary.version.eTag == source.eTag
    }

    /// The server keeps no checksum: the bytes themselves decide.
    private func reread(_ version: ObjectVersion, _ slice: ByteSlice) async throws(ObjectStoreError) -> Comparison {
        guard slice.count <= Self.largestReread else { return .other }
        let buffer = ByteBuffer(capacity: slice.count)
        let count = try await get(version, range: 0..<Int64(slice.count), into: buffer, .upload) { _ in }
        let isSame = buffer.withBytes(0..<count) { there in slice.withBytes { there.elementsEqual($0) } }
        return isSame ? .ours(version.eTag) : .other
    }
}

extension StoredChecksum {
    func isSameKind(as other: StoredChecksum) -> Bool {
        switch (self, other) {
        case (.crc32c, .crc32c), (.crc64nvme, .crc64nvme), (.crc32, .crc32), (.composite, .composite): true
        default: false
        }
    }
}
