import Bytes
import HTTPTransport
import ObjectStore

/// One request to S3 before it is signed: what stays the same over all attempts.
struct S3Call: Sendable {
    var operation: Operation
    /// Nil for the bucket itself.
    var key: ObjectKey?
    var method: HTTPRequest.Method
    var query: [(name: String, value: String)] = []
    var headers: [(name: String, value: String)] = []
    var body: ByteSlice = .empty
    /// The largest answer that makes sense.
    var answerLimit = 1 << 20
    /// The answer is a document, so `<Error>` may hide in a 200.
    var answersWithDocument = false
    /// Bytes that the server has to move on its own before it answers (copies, completing an upload).
    var serverWork: Int64 = 0
    /// For a read that goes on where it stopped: asked before each attempt.
    var transfer: Transfer?

    init(_ operation: Operation, _ key: ObjectKey?, _ method: HTTPRequest.Method) {
        self.operation = operation
        self.key = key
        self.method = method
    }

    /// What differs from attempt to attempt of a read.
    struct Transfer: Sendable {
        /// Bytes stored so far, over all attempts.
        var moved: @Sendable () -> Int
        /// Nothing is left to ask for, however the last answer ended.
        var isComplete: @Sendable () -> Bool
        /// The headers and the destination of what is left.
        var rest: @Sendable () -> (headers: [(name: String, value: String)], sink: HTTPRequest.Sink)
    }

    /// Data moves, so time is bounded by standstill and not in all.
    var isTransfer: Bool { transfer != nil || body.count > 0 || serverWork > 0 }

    enum Operation: Sendable {
        case list, head, read, put, copy, delete, deleteMany, createUpload, uploadPart, copyPart, completeUpload
        case abortUpload

        /// What goes between "Cannot" and the object's name.
        var phrase: String {
            switch self {
            case .list: "list"
            case .head: "look at"
            case .read: "read"
            case .put, .createUpload, .uploadPart, .completeUpload: "write"
            case .copy, .copyPart: "copy to"
            case .delete, .deleteMany: "delete"
            case .abortUpload: "give up the upload of"
            }
        }

        /// What a policy must allow for it.
        var permission: String {
            switch self {
            case .list: "s3:ListBucket (for this prefix)"
            case .head, .read: "s3:GetObject"
            case .put, .createUpload, .uploadPart, .completeUpload: "s3:PutObject"
            case .copy, .copyPart:
                "s3:PutObject, s3:GetObject on the source and, for tagged objects, s3:GetObjectTagging"
            case .delete, .deleteMany: "s3:DeleteObject"
            case .abortUpload: "s3:AbortMultipartUpload"
            }
        }
    }

    func time(patience: Duration, remaining: Duration, isFirstAttempt: Bool) -> (whole: Duration, stall: Duration) {
        let least = Duration.milliseconds(1)
        guard isTransfer else {
            // A first attempt that hangs leaves time for a second one.
            let stall = isFirstAttempt ? min(remaining, patience / 2) : remaining
            return (max(remaining, least), max(stall, least))
        }
        // 32 KiB/s is the slowest line on which a transfer still makes sense; a server copies 16 MiB/s at least.
        let line = Duration.seconds(Double(body.count) / Double(32 << 10))
        let server = Duration.seconds(Double(serverWork) / Double(16 << 20))
        let reading: Duration = transfer == nil ? .zero : .seconds(3600)
        return (patience + line + server + reading, patience + server)
    }
}

/// How a call ended when it did not throw.
struct Reply: Sendable {
    enum Ending: Sendable {
        case answered(HTTPResponse, AnswerDocument?)
        case refused(Refusal)
        case unanswered(HTTPError)
    }

    var ending: Ending
    /// An attempt may have had its effect though its answer was not seen.
    var answerWasLost: Bool
}

extension S3Call {
    /// The answer, or the error that a refusal means when the operation has no rule of its own for it.
    func answer(
        _ reply: Reply, bucket: String
    ) throws(ObjectStoreError) -> (response: HTTPResponse, document: AnswerDocument?) {
        switch reply.ending {
        case .answered(let response, let document): return (response, document)
        case .refused(let refusal): throw error(refusal, bucket: bucket)
        case .unanswered(let failure): throw error(failure, bucket: bucket)
        }
    }

    func error(_ failure: HTTPError, bucket: String) -> ObjectStoreError {
        switch failure.code {
        case .cancelled: ObjectStoreError(.cancelled, "\(subject(bucket)): cancelled.")
        case .badAnswer: ObjectStoreError(.invalidAnswer, "\(subject(bucket)): \(failure.message)")
        case .refused:
            ObjectStoreError(.invalidAnswer, "\(subject(bucket)): the server sent other bytes than asked for.")
        case .notConnected, .tlsFailed, .timedOut, .connectionLost:
            ObjectStoreError(.unreachable, "\(subject(bucket)): \(failure.message)")
        }
    }

    func error(_ refusal: Refusal, bucket: String) -> ObjectStoreError {
        let word = refusal.code.isEmpty ? "HTTP \(refusal.status)" : refusal.code
        let (code, reason): (ObjectStoreError.Code, String) =
            switch refusal.kind {
            case .accessDenied:
                switch refusal.code {
                case "SignatureDoesNotMatch":
                    (
                        .invalidAnswer,
                        "the signature did not arrive as it was made; look for a proxy that changes requests"
                    )
                default: (.accessDenied, "the policy does not allow it; it needs \(operation.permission)")
                }
            case .notFound:
                key == nil ? (.noSuchBucket, "there is no such bucket") : (.notFound, "there is no such object")
            case .noSuchBucket: (.noSuchBucket, "there is no bucket \(bucket); check the setting")
            case .noSuchUpload: (.noSuchUpload, "the parts sent so far are gone; the upload begins anew")
            case .preconditionFailed: (.preconditionFailed, "somebody else changed it")
            case .rangeNotSatisfiable: (.invalidAnswer, "the range lies outside the object")
            case .tooLarge: (.tooLarge, "it is over a limit of the server: \(refusal.message)")
            case .archived: (.archived, "it lies in an archive tier; restore it first")
            case .throttled: (.unavailable, "the server asks to slow down")
            case .serverFault, .garbled, .conflict: (.unavailable, "the server failed")
            case .digestMismatch: (.corrupted, "the bytes were damaged on their way to the server")
            case .credentialsExpired, .credentialsUnknown:
                (.signInNeeded, "the server does not accept the credentials; run cognitofs login")
            case .clockSkewed: (.invalidAnswer, "this machine's clock is wrong; set it")
            case .wrongRegion(let region): (.invalidAnswer, "the bucket lives in \(region); set that region")
            case .notImplemented: (.unsupported, "the server cannot do that")
            case .other: (.invalidAnswer, "the server refused the request: \(refusal.message)")
            }
        return ObjectStoreError(
            code, "\(subject(bucket)): \(reason) (\(word)).", requestID: refusal.requestID)
    }

    func invalid(_ what: String, bucket: String, requestID: String? = nil) -> ObjectStoreError {
        ObjectStoreError(.invalidAnswer, "\(subject(bucket)): \(what)", requestID: requestID)
    }

    private func subject(_ bucket: String) -> String {
        let prefix = query.first { $0.name == "prefix" }?.value
        let name = key?.description ?? prefix ?? ""
        return "Cannot \(operation.phrase) \(name.isEmpty ? "bucket \(bucket)" : name)"
    }
}
