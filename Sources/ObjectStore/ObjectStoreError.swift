/// Why a call to the store failed, by what the caller can do about it.
public struct ObjectStoreError: Error, Sendable, CustomStringConvertible {
    public enum Code: Sendable, Hashable, CaseIterable {
        /// The policy refuses this call (403 AccessDenied).
        case accessDenied
        /// No such object (NoSuchKey).
        case notFound
        case noSuchBucket
        /// The parts of an upload are gone (NoSuchUpload).
        case noSuchUpload
        /// The destination, or the version asked for, is not what the caller saw (412).
        case preconditionFailed
        /// The source of a copy is no longer the version named.
        case sourceChanged
        /// Signing in again is needed: the session is over, not merely unreachable.
        case signInNeeded
        /// No answer: no route, refused, name not resolved, TLS failed, timed out.
        case unreachable
        /// The server answered 5xx or asked to slow down until the budget was used up.
        case unavailable
        /// Bytes do not fit their checksum, after retries.
        case corrupted
        /// Over a limit of the store (object, part, metadata or key size).
        case tooLarge
        /// The object lies in an archive tier.
        case archived
        /// The server does not know this operation or header.
        case unsupported
        /// The answer makes no sense, or the request was wrong.
        case invalidAnswer
        case cancelled
    }

    public var code: Code
    /// One sentence for a person: names the object and, where there is one, the remedy.
    public var message: String
    /// S3's request id, for a bug report to the server's owner.
    public var requestID: String?

    public init(_ code: Code, _ message: String, requestID: String? = nil) {
        self.code = code
        self.message = message
        self.requestID = requestID
    }

    public var description: String { requestID.map { "\(message) [request \($0)]" } ?? message }

    /// True when the same call may succeed later without anybody doing anything.
    public var isTransient: Bool {
        switch code {
        case .unreachable, .unavailable, .corrupted: true
        case .accessDenied, .notFound, .noSuchBucket, .noSuchUpload, .preconditionFailed, .sourceChanged, .signInNeeded,
            .tooLarge, .archived, .unsupported, .invalidAnswer, .cancelled:
            false
        }
    }
}
