import Bytes

/// Sends requests, keeps connections, bounds time. Knows no service.
///
/// Cancelling the calling task ends the transfer and throws `.cancelled`.
public protocol HTTPTransport: Sendable {
    /// Sends `request` and returns when the whole answer is there. An HTTP status of any kind is an answer, not an error.
    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse
}

public struct HTTPRequest: Sendable {
    public enum Method: String, Sendable {
        case get = "GET"
        case head = "HEAD"
        case put = "PUT"
        case post = "POST"
        case delete = "DELETE"
    }

    /// What happens to the bytes of an answer with a 2xx status. Other answers are always collected, up to 1 MiB.
    public enum Sink: Sendable {
        /// Into `HTTPResponse.body`; an answer over `limit` bytes is an error.
        case collect(limit: Int)
        /// Into `buffer` from `offset` on; `progress` gets the number of bytes stored by this request so far, in order, on
        /// the transport's thread: it must return at once. `accept` is asked once, when the head of a 2xx answer is
        /// there and before a byte of it is stored; false ends the transfer with `.refused`.
        case store(
            ByteBuffer, offset: Int, accept: @Sendable (HTTPResponse) -> Bool, progress: @Sendable (Int) -> Void)
    }

    public var method: Method
    /// Absolute, already encoded; sent as it is.
    public var url: String
    /// Sent as given, in this order. `Host` and `Content-Length` are the transport's.
    public var headers: [(name: String, value: String)]
    public var body: ByteSlice
    public var sink: Sink
    /// Smaller goes first when connections are scarce.
    public var priority: Int
    /// The longest the whole exchange may take, waiting for a connection included.
    public var timeout: Duration
    /// The longest without a byte moving in either direction, once the request is on a connection.
    public var stallTimeout: Duration

    public init(
        method: Method, url: String, headers: [(name: String, value: String)] = [], body: ByteSlice = .empty,
        sink: Sink = .collect(limit: 16 << 20), priority: Int = 1, timeout: Duration, stallTimeout: Duration
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.sink = sink
        self.priority = priority
        self.timeout = timeout
        self.stallTimeout = stallTimeout
    }
}

public struct HTTPResponse: Sendable {
    public var status: Int
    /// In the order received; compare names without case.
    public var headers: [(name: String, value: String)]
    public var body: [UInt8]
    /// True when the request went out a second time of itself, because a kept connection turned out to be closed before
    /// a byte of an answer came. The first sending may have been carried out: a precondition that fails then may have
    /// been broken by this very request.
    public var wasResent = false

    public init(status: Int, headers: [(name: String, value: String)], body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// The first header of that name, whatever its case.
    public subscript(name: String) -> String? {
        headers.first { $0.name.isEqualIgnoringCase(to: name) }?.value
    }
}

extension String {
    /// Compares as HTTP compares field names: ASCII letters without case, all else byte by byte.
    func isEqualIgnoringCase(to other: String) -> Bool {
        utf8.count == other.utf8.count && zip(utf8, other.utf8).allSatisfy { $0.inLowerCase == $1.inLowerCase }
    }
}

extension UInt8 {
    fileprivate var inLowerCase: UInt8 { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) ? self | 0x20 : self }
}

/// Why there is no answer.
public struct HTTPError: Error, Sendable, CustomStringConvertible {
    public enum Code: Sendable, Hashable {
        /// Name not resolved, no route, connection refused: the request was certainly not received.
        case notConnected
        /// The certificate or the handshake failed: not received.
        case tlsFailed
        /// The time was up, or nothing moved: may have been received.
        case timedOut
        /// The connection broke in the middle: may have been received.
        case connectionLost
        /// The answer broke HTTP, or was larger than allowed.
        case badAnswer
        /// The caller's `accept` said no.
        case refused
        case cancelled
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
