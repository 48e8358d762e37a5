import CCurl
import Synchronization

/// The way from the callers' tasks to the transport's thread.
final class Mailbox: Sendable {
    /// The most requests waiting and running together: beyond it a request fails at once, as if there were no network.
    static let maximumPendingCount = 16_384

    /// What has come in since the thread last looked.
    struct Mail {
        var submissions: [Submission] = []
        var cancellations: [UInt64] = []
        var isClosed = false

        /// With anything in it the thread has been woken already.
        var isEmpty: Bool { submissions.isEmpty && cancellations.isEmpty }
    }

    private struct Contents {
        var mail = Mail()
        /// Posted and not yet reported as answered.
        var pendingCount = 0
    }

    /// Guards `Contents`. Nothing is called while it is held but `Task.isCancelled`; it is the innermost lock.
    private let contents = Mutex(Contents())
    private let lastID = Atomic<UInt64>(0)
    private let reached = Atomic(CurlTransport.Reach.unknown)
    /// Proof: of all that is done with the pointer, other threads than the transport's only call `curl_multi_wakeup`,
    /// which libcurl allows, and it is freed when the last reference to this object has gone.
    nonisolated(unsafe) let multi: UnsafeMutableRawPointer

    /// Nil when memory is short.
    init?() {
        guard let multi = curl_multi_init() else { return nil }
        self.multi = multi
    }

    deinit { curl_multi_cleanup(multi) }

    var pendingCount: Int { contents.withLock { $0.pendingCount } }

    /// Larger than all given out before.
    func nextID() -> UInt64 { lastID.add(1, ordering: .relaxed).newValue }

    /// Hands `submission` over, or answers it at once where it cannot be.
    func post(_ submission: Submission) {
        var isFirst = false
        let refusal = contents.withLock { contents -> HTTPError? in
            // A cancellation that came before this was lost on `cancel`, but it shows here.
            guard !contents.mail.isClosed, !Task.isCancelled else { return .cancelled(submission.origin) }
            guard contents.pendingCount < Self.maximumPendingCount else {
                return HTTPError(
                    .notConnected, "Too many requests wait for \(submission.origin). Try again when less is going on.")
            }
            isFirst = contents.mail.isEmpty
            contents.pendingCount += 1
            contents.mail.submissions.append(submission)
            return nil
        }
        if let refusal { submission.continuation.resume(returning: .failure(refusal)) }
        if isFirst { wake() }
    }

    /// Asks for the end of a request; of no effect when it is over or was never posted.
    func cancel(_ id: UInt64) {
        let isFirst = contents.withLock { contents in
            guard !contents.mail.isClosed else { return false }
            defer { contents.mail.cancellations.append(id) }
            return contents.mail.isEmpty
        }
        if isFirst { wake() }
    }

    /// No mail is taken any more; the thread ends.
    func close() {
        contents.withLock { $0.mail.isClosed = true }
        wake()
    }

    /// Empties the box; that it is closed stays.
    func take() -> Mail {
        contents.withLock { contents in
            defer { contents.mail = Mail(isClosed: contents.mail.isClosed) }
            return contents.mail
        }
    }

    /// So many requests have been answered.
    func noteAnswered(_ count: Int) { contents.withLock { $0.pendingCount -= count } }

    var reach: CurlTransport.Reach { reached.load(ordering: .relaxed) }

    /// For the transport's thread alone.
    func note(_ reach: CurlTransport.Reach) { reached.store(reach, ordering: .relaxed) }

    private func wake() { curl_multi_wakeup(multi) }
}

extension HTTPError {
    static func cancelled(_ origin: Origin) -> HTTPError {
        HTTPError(.cancelled, "The request to \(origin) was cancelled.")
    }
}
