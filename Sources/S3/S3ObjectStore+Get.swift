import Bytes
import HTTPTransport
import Logging
import ObjectStore
import Synchronization

extension S3ObjectStore {
    /// A body that did not fit its checksum is read again this often.
    private static let readsOfDamaged = 3

    public func get(
        _ version: ObjectVersion, range: Range<Int64>, into buffer: ByteBuffer, _ context: RequestContext,
        progress: @escaping @Sendable (Int) -> Void
    ) async throws(ObjectStoreError) -> Int {
        precondition(range.lowerBound >= 0 && buffer.capacity >= range.count, "the range does not fit the buffer")
        guard !range.isEmpty else {
            _ = try await headResponse(version.key, ifMatch: version.eTag, context)
            return 0
        }
        var damaged: ObjectStoreError?
        for _ in 0..<Self.readsOfDamaged {
            let reading = RangeRead(
                version, range, buffer, isWhole: range == 0..<max(context.objectSize ?? 0, 0), progress,
                noteAttributes: context.noteAttributes)
            let count = try await read(reading, context)
            switch reading.verify(count) {
            case .fits, .unknown: return count
            case .damaged:
                logger.warning("an object arrived damaged", metadata: ["key": "\(version.key)"])
                damaged = ObjectStoreError(
                    .corrupted, "Cannot read \(version.key): its bytes do not fit the checksum that S3 keeps.")
            }
        }
        throw damaged ?? ObjectStoreError(.corrupted, "Cannot read \(version.key).")
    }

    private func read(_ reading: RangeRead, _ context: RequestContext) async throws(ObjectStoreError) -> Int {
        var call = S3Call(.read, reading.version.key, .get)
        call.headers = [("If-Match", reading.version.eTag.quoted), ("x-amz-checksum-mode", "ENABLED")]
        call.transfer = S3Call.Transfer(
            moved: { reading.stored }, isComplete: { reading.isComplete }, rest: { reading.rest() })
        var cutShort = 0
        while true {
            let before = reading.stored
            let reply = try await perform(call, context)
            if let problem = reading.problem { throw problem.error(reading.version, reply) }
            if reading.isComplete { return reading.stored }
            switch reply.ending {
            case .answered:
                // The transport was content, but bytes that were announced are missing.
                cutShort = reading.stored > before ? 0 : cutShort + 1
                if cutShort == 3 {
                    throw call.error(HTTPError(.connectionLost, "the answer was cut short"), bucket: bucket)
                }
            case .refused(let refusal) where refusal.kind == .rangeNotSatisfiable:
                return try await endOfObject(reading, call, refusal, context)
            case .refused(let refusal) where refusal.status == 304:
                throw call.invalid("the server did not send it.", bucket: bucket)
            case .refused, .unanswered:
                _ = try call.answer(reply, bucket: bucket)
            }
        }
    }

    /// The range lies behind the end, if it is the version that was asked for.
    private func endOfObject(
        _ reading: RangeRead, _ call: S3Call, _ refusal: Refusal, _ context: RequestContext
    ) async throws(ObjectStoreError) -> Int {
        let version = reading.version
        let found = try details(try await headResponse(version.key, ifMatch: version.eTag, context), version.key)
        guard found.summary.version == version else {
            throw ObjectStoreError(
                .preconditionFailed, "Cannot read \(version.key): somebody else changed it.",
                requestID: refusal.requestID)
        }
        guard found.summary.size <= reading.range.lowerBound + Int64(reading.stored) else {
            throw call.error(refusal, bucket: bucket)
        }
        return reading.stored
    }
}

/// One read of a range, over as many answers as it takes. Bytes are stored in order and never twice.
final class RangeRead: Sendable {
    enum Problem: Sendable {
        case otherVersion
        case otherBytes
    }

    enum Verdict { case fits, damaged, unknown }

    let version: ObjectVersion
    let range: Range<Int64>
    private let buffer: ByteBuffer
    /// Nothing but this range is in the object: it is asked for without a range, since S3 tells the checksum only then.
    private let isWhole: Bool
    private let announce: @Sendable (Int) -> Void
    private let noteAttributes: (@Sendable (ObjectAttributes) -> Void)?

    /// Written on the transport's thread while an attempt runs, by the caller between attempts; never held while
    /// `announce` runs.
    private struct State {
        var stored = 0
        /// Known from the first answer: fewer than asked where the object ends.
        var expected: Int?
        var checksum: StoredChecksum?
        var coversObject = false
        var problem: Problem?
    }
    private let state = Mutex(State())

    init(
        _ version: ObjectVersion, _ range: Range<Int64>, _ buffer: ByteBuffer, isWhole: Bool,
        _ announce: @escaping @Sendable (Int) -> Void,
        noteAttributes: (@Sendable (ObjectAttributes) -> Void)? = nil
    ) {
        self.version = version
        self.range = range
        self.buffer = buffer
        self.isWhole = isWhole
        self.announce = announce
        self.noteAttributes = noteAttributes
    }

    var stored: Int { state.withLock { $0.stored } }
    var problem: Problem? { state.withLock { $0.problem } }
    var isComplete: Bool { state.withLock { $0.expected == $0.stored } }

    /// The header and the destination of what is still missing.
    func rest() -> (headers: [(name: String, value: String)], sink: HTTPRequest.Sink) {
        let offset = stored
        let first = range.lowerBound + Int64(offset)
        return (
            headers: isWhole && offset == 0
                ? [] : [(name: "Range", value: "bytes=\(first)-\(range.upperBound - 1)")],
            sink: .store(
                buffer, offset: offset, accept: { self.accept($0, from: offset) },
                progress: { self.advance(to: offset + $0) })
        )
    }

    /// Looks at the head of an answer before a byte of it is stored.
    private func accept(_ response: HTTPResponse, from offset: Int) -> Bool {
        let first = range.lowerBound + Int64(offset)
        let isAccepted = state.withLock { state in
            if let eTag = response["etag"], ETag(eTag) != version.eTag {
                state.problem = .otherVersion
                return false
            }
            guard let content = ContentRange(response), content.bytes.lowerBound == first || content.bytes.isEmpty,
                content.bytes.upperBound <= range.upperBound
            else {
                state.problem = .otherBytes
                return false
            }
            if let size = content.objectSize {
                state.expected = Int(max(min(size, range.upperBound) - range.lowerBound, 0))
                if offset == 0 {
                    state.coversObject = range.lowerBound == 0 && size <= range.upperBound
                    state.checksum = StoredChecksum(response)
                }
            } else if state.expected == nil {
                state.expected = Int(content.bytes.upperBound - range.lowerBound)
            }
            return true
        }
        if isAccepted, offset == 0 { noteAttributes?(AttributeHeaders.attributes(response)) }
        return isAccepted
    }

    /// Bytes that a checksum will decide on are not announced before it has: announced bytes are never rewritten.
    private func advance(to count: Int) {
        let isFinal = state.withLock { state in
            state.stored = max(state.stored, count)
            return !(state.coversObject && state.checksum?.isComputable == true)
        }
        if isFinal { announce(count) }
    }

    func verify(_ count: Int) -> Verdict {
        let (checksum, coversObject) = state.withLock { ($0.checksum, $0.coversObject) }
        guard coversObject, let fits = checksum?.fits(ByteSlice(buffer, 0..<count)) else { return .unknown }
        if fits { announce(count) }
        return fits ? .fits : .damaged
    }
}

extension RangeRead.Problem {
    func error(_ version: ObjectVersion, _ reply: Reply) -> ObjectStoreError {
        switch self {
        case .otherVersion:
            ObjectStoreError(.preconditionFailed, "Cannot read \(version.key): somebody else changed it.")
        case .otherBytes:
            ObjectStoreError(.invalidAnswer, "Cannot read \(version.key): the server sent other bytes than asked for.")
        }
    }
}
