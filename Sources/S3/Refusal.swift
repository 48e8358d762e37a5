import HTTPTransport
import ObjectStore

/// An answer that is not what was asked for, read once into what can be done about it.
struct Refusal: Sendable {
    /// What an attempt may do next, or why there is no point.
    enum Kind: Hashable, Sendable {
        /// Slow down and come again.
        case throttled
        /// The server's own trouble; it may or may not have done the work.
        case serverFault
        /// The request did not arrive as it was sent; it was not carried out.
        case garbled
        /// The body did not fit its checksum when it arrived.
        case digestMismatch
        case credentialsExpired
        case credentialsUnknown
        case clockSkewed
        case wrongRegion(String)
        /// Another write to the same key is under way (409).
        case conflict
        case notImplemented
        case accessDenied
        case notFound
        case noSuchBucket
        case noSuchUpload
        case preconditionFailed
        case rangeNotSatisfiable
        case tooLarge
        case archived
        case other
    }

    var kind: Kind
    var status: Int
    /// S3's word for it; empty when the answer had no body (HEAD, proxies).
    var code: String
    var message: String
    var requestID: String?
    /// How long the server asks to be left alone.
    var retryAfter: Duration?
    /// The server's time of day, seconds since 1970.
    var serverTime: Int64?

    /// `region` is the one that the request was signed for.
    init(_ response: HTTPResponse, document: AnswerDocument?, region: String) {
        status = response.status
        let error = document?.root == "Error" ? document : nil
        code = error?["Code"] ?? ""
        message = error?["Message"] ?? ""
        requestID = response["x-amz-request-id"] ?? error?["RequestId"]
        serverTime = response["date"].flatMap { HTTPDate.parse($0) }
        retryAfter = response["retry-after"].flatMap { Int64($0) }.map { .seconds(min(max($0, 0), 3600)) }
        let home = response["x-amz-bucket-region"] ?? error?["Region"]
        if let home, !home.isEmpty, home != region, Self.speaksOfRegion(status: status, code: code) {
            kind = .wrongRegion(home)
        } else {
            kind = Self.kind(ofCode: code) ?? Self.kind(ofStatus: status)
        }
    }

    /// One entry of a list of results.
    init(_ fields: [String: String], status: Int, requestID: String?) {
        self.status = status
        self.requestID = requestID
        code = fields["Code"] ?? ""
        message = fields["Message"] ?? ""
        kind = Self.kind(ofCode: code) ?? .other
    }

    private static func speaksOfRegion(status: Int, code: String) -> Bool {
        switch code {
        case "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed",
            "IllegalLocationConstraintException":
            true
        case "": [301, 307, 400].contains(status)
        default: false
        }
    }

    /// Sources: "Error responses" in the S3 API reference; botocore's lists of throttling and transient errors.
    private static func kind(ofCode code: String) -> Kind? {
        switch code {
        case "SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "ThrottledException",
            "RequestThrottled", "RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
            "BandwidthLimitExceeded", "LimitExceededException", "PriorRequestNotComplete", "TooManyRequests":
            .throttled
        case "InternalError", "InternalServerError": .serverFault
        case "RequestTimeout", "RequestTimeoutException", "IncompleteBody": .garbled
        case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidDigest": .digestMismatch
        case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired": .credentialsExpired
        case "InvalidToken", "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException":
            .credentialsUnknown
        case "RequestTimeTooSkewed": .clockSkewed
        case "ConditionalRequestConflict", "OperationAborted": .conflict
        case "NotImplemented": .notImplemented
        case "AccessDenied", "AllAccessDisabled", "AccountProblem": .accessDenied
        case "NoSuchKey", "NoSuchVersion": .notFound
        case "NoSuchBucket": .noSuchBucket
        case "NoSuchUpload": .noSuchUpload
        case "PreconditionFailed": .preconditionFailed
        case "InvalidRange": .rangeNotSatisfiable
        case "EntityTooLarge", "KeyTooLongError", "MetadataTooLarge", "MaxMessageLengthExceeded": .tooLarge
        case "InvalidObjectState": .archived
        default: nil
        }
    }

    private static func kind(ofStatus status: Int) -> Kind {
        switch status {
        case 401, 403: .accessDenied
        case 404: .notFound
        case 408: .garbled
        case 409: .conflict
        case 412: .preconditionFailed
        case 413: .tooLarge
        case 416: .rangeNotSatisfiable
        case 429, 503: .throttled
        case 501: .notImplemented
        case 500...: .serverFault
        default: .other
        }
    }

    /// True when the work may have been done in spite of this answer.
    var mayHaveHappened: Bool {
        switch kind {
        case .serverFault: true
        case .throttled: status >= 500
        default: false
        }
    }
}
