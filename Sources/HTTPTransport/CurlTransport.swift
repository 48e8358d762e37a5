import CCurl
import Glibc
import Logging
import Synchronization

/// libcurl's multi interface on one thread of its own: HTTP/1.1, connections kept, a bounded number of them per host.
///
/// Redirects are never followed and nothing is decoded. TLS 1.2 or newer, always verified. Proxies are taken from the
/// environment as curl does. Make it after the process has become a daemon: threads do not survive a fork.
public final class CurlTransport: HTTPTransport {
    public struct Configuration: Sendable {
        /// Requests in flight to one host; more wait. Background work (priority 2 and larger) leaves two of them free.
        public var connectionsPerHost: Int
        /// A PEM file with the only authorities to trust; nil for those of the system.
        public var caFile: String?
        /// Names the program to servers.
        public var userAgent: String

        public init(connectionsPerHost: Int = 16, caFile: String? = nil, userAgent: String = "cognitofs") {
            precondition(connectionsPerHost > 0, "a host needs a connection")
            self.connectionsPerHost = connectionsPerHost
            self.caFile = caFile
            self.userAgent = userAgent
        }
    }

    private static let isLibraryReady = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    private let mailbox: Mailbox

    /// Starts the thread. Fails only when the system gives no memory or no thread.
    public init(_ configuration: Configuration = Configuration(), logger: Logger) throws(HTTPError) {
        guard Self.isLibraryReady, let mailbox = Mailbox() else {
            throw HTTPError(.notConnected, "libcurl cannot be started. Free some memory.")
        }
        self.mailbox = mailbox
        let start = ThreadStart(mailbox: mailbox, configuration: configuration, logger: logger)
        guard start.begin() else {
            throw HTTPError(.notConnected, "The system gives no thread for the network. Raise its limit of tasks.")
        }
    }

    deinit { shutdown() }

    /// Ends the thread; what is in flight fails with `.cancelled`, and so does everything sent later. Returns at once.
    public func shutdown() { mailbox.close() }

    /// Requests sent and not yet answered, waiting ones included.
    public var pendingCount: Int { mailbox.pendingCount }

    /// What the network has shown of itself.
    public enum Reach: UInt8, AtomicRepresentable, Sendable {
        /// No attempt to connect has ended yet.
        case unknown
        /// No server was connected to so far, and one could not be: its name is not known, or nobody takes the connection.
        case refused
        /// A connection stood once, TLS included.
        case connected
    }

    /// Of all that was sent since the transport was made.
    public var reach: Reach { mailbox.reach }

    public func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        guard let origin = Origin(url: request.url) else {
            throw HTTPError(.notConnected, "The address of the server is not a usable http or https URL. Check it.")
        }
        guard request.headers.allSatisfy({ Self.isSendable($0.name) && Self.isSendable($0.value) }) else {
            throw HTTPError(.notConnected, "A header for \(origin) holds a control character and cannot be sent.")
        }
        let deadline = ContinuousClock.now + request.timeout
        let id = mailbox.nextID()
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                mailbox.post(
                    Submission(
                        id: id, request: request, origin: origin, deadline: deadline, continuation: continuation))
            }
        } onCancel: {
            mailbox.cancel(id)
        }
        return try outcome.get()
    }

    /// A line end in a header would begin another header.
    private static func isSendable(_ text: String) -> Bool { text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F } }
}

/// What a new thread is given.
private final class ThreadStart: Sendable {
    let mailbox: Mailbox
    let configuration: CurlTransport.Configuration
    let logger: Logger

    init(mailbox: Mailbox, configuration: CurlTransport.Configuration, logger: Logger) {
        self.mailbox = mailbox
        self.configuration = configuration
        self.logger = logger
    }

    /// False when the system gives no thread.
    func begin() -> Bool {
        var all = sigset_t()
        var former = sigset_t()
        // Signals are for the threads that wait for them: the new thread inherits that it takes none.
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &former)
        defer { pthread_sigmask(SIG_SETMASK, &former, nil) }
        var thread = pthread_t()
        let start = Unmanaged.passRetained(self)
        guard pthread_create(&thread, nil, runTransferLoop, start.toOpaque()) == 0 else {
            start.release()
            return false
        }
        pthread_detach(thread)
        return true
    }
}

private func runTransferLoop(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let pointer else { return nil }
    let start = Unmanaged<ThreadStart>.fromOpaque(pointer).takeRetainedValue()
    TransferLoop(start.mailbox, start.configuration, start.logger).run()
    return nil
}
