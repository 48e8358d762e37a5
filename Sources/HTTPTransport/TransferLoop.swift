import CCurl
import Glibc
import Logging

/// The transport's thread: owns all transfers and all handles. Nothing of it is seen by another thread.
final class TransferLoop {
    /// The longest sleep; anything that happens ends it early.
    private static let longestSleep = Duration.seconds(60)

    private struct Running {
        let transfer: Transfer
        let handle: EasyHandle
    }

    private let mailbox: Mailbox
    private let configuration: CurlTransport.Configuration
    private let trust: TrustAnchors
    private let logger: Logger
    private var queue: RequestQueue
    /// Submitted and not started.
    private var waiting: [UInt64: Transfer] = [:]
    /// On a connection or making one, by easy handle.
    private var running: [UnsafeMutableRawPointer: Running] = [:]
    /// Handles to use again; no more than ran at one time.
    private var idle: [EasyHandle] = []
    /// No transfer expires before; nil when there is none.
    private var earliestExpiry: ContinuousClock.Instant?

    init(_ mailbox: Mailbox, _ configuration: CurlTransport.Configuration, _ logger: Logger) {
        self.mailbox = mailbox
        self.configuration = configuration
        self.trust = TrustAnchors(caFile: configuration.caFile)
        self.logger = logger
        self.queue = RequestQueue(connectionsPerHost: configuration.connectionsPerHost)
        cognitofs_multi_set_long(mailbox.multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING)
        // Kept connections of several hosts: storage, user pool, identity pool.
        cognitofs_multi_set_long(mailbox.multi, CURLMOPT_MAXCONNECTS, 4 * configuration.connectionsPerHost)
    }

    /// Returns after `Mailbox.close`, when every request has its answer.
    func run() {
        while true {
            let mail = mailbox.take()
            mail.submissions.forEach(admit)
            Set(mail.submissions.map(\.origin)).forEach(startNext)
            mail.cancellations.forEach(cancel)
            if mail.isClosed { return endAll() }
            var runningCount: Int32 = 0
            check(curl_multi_perform(mailbox.multi, &runningCount))
            for entry in running.values {
                entry.transfer.announce()
                if entry.transfer.wasSent { noteReach(.connected) }
                // Of one whose connection has just come to stand: a stall may end it before connecting would have.
                noteExpiry(entry.transfer)
            }
            endFinished()
            endExpired()
            check(curl_multi_poll(mailbox.multi, nil, 0, sleepMilliseconds, nil))
        }
    }

    // MARK: - Beginning

    private func admit(_ submission: Submission) {
        let transfer = Transfer(submission)
        waiting[submission.id] = transfer
        queue.add(submission.id, to: submission.origin, priority: submission.request.priority)
        noteExpiry(transfer)
    }

    private func startNext(at origin: Origin) {
        while let id = queue.startNext(at: origin) {
            guard let transfer = waiting.removeValue(forKey: id) else { preconditionFailure("queued but not waiting") }
            start(transfer)
        }
    }

    private func start(_ transfer: Transfer) {
        transfer.begin(at: .now)
        guard let handle = idle.popLast() ?? EasyHandle() else { return refuse(transfer, CURLE_OUT_OF_MEMORY) }
        let objection = handle.prepare(transfer, configuration, trust)
        guard objection == CURLE_OK else {
            handle.reset()
            return refuse(transfer, objection)
        }
        guard curl_multi_add_handle(mailbox.multi, handle.raw) == CURLM_OK else {
            handle.reset()
            return refuse(transfer, CURLE_OUT_OF_MEMORY)
        }
        running[handle.raw] = Running(transfer: transfer, handle: handle)
        noteExpiry(transfer)
    }

    /// Ends a transfer that has a place in the queue but could not be given to libcurl.
    private func refuse(_ transfer: Transfer, _ result: CURLcode) {
        let origin = transfer.submission.origin
        queue.end(at: origin)
        answer(transfer, HTTPError(result, detail: "", origin: origin, wasSent: false))
    }

    // MARK: - Ending

    private func endFinished() {
        var left: Int32 = 0
        while let message = curl_multi_info_read(mailbox.multi, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let raw = message.pointee.easy_handle,
                let entry = running[raw]
            else { continue }
            let result = message.pointee.data.result
            end(
                entry,
                result == CURLE_OK
                    ? nil
                    : HTTPError(
                        result, detail: entry.handle.errorDetail, origin: entry.transfer.submission.origin,
                        wasSent: entry.transfer.wasSent))
        }
    }

    /// Takes the transfer from libcurl, and only then answers the caller, who may free or reuse the buffer at once.
    private func end(_ entry: Running, _ error: HTTPError?) {
        let origin = entry.transfer.submission.origin
        curl_multi_remove_handle(mailbox.multi, entry.handle.raw)
        running[entry.handle.raw] = nil
        entry.handle.reset()
        idle.append(entry.handle)
        queue.end(at: origin)
        answer(entry.transfer, error)
        startNext(at: origin)
    }

    private func withdraw(_ transfer: Transfer, _ error: HTTPError) {
        waiting[transfer.submission.id] = nil
        queue.withdraw(transfer.submission.id, from: transfer.submission.origin)
        answer(transfer, error)
    }

    private func answer(_ transfer: Transfer, _ error: HTTPError?) {
        mailbox.noteAnswered(1)
        if error?.code == .notConnected { noteReach(.refused) }
        transfer.finish(error)
        logger.trace(
            "request ended",
            metadata: [
                "request": "\(transfer.submission.id)", "method": "\(transfer.request.method.rawValue)",
                "host": "\(transfer.submission.origin)", "outcome": "\(transfer.outcome)",
            ])
    }

    private func noteReach(_ reach: CurlTransport.Reach) {
        if mailbox.reach != .connected { mailbox.note(reach) }
    }

    private func cancel(_ id: UInt64) {
        if let transfer = waiting[id] {
            withdraw(transfer, .cancelled(transfer.submission.origin))
        } else if let entry = running.values.first(where: { $0.transfer.submission.id == id }) {
            end(entry, .cancelled(entry.transfer.submission.origin))
        }
    }

    private func endAll() {
        for transfer in Array(waiting.values) { withdraw(transfer, .cancelled(transfer.submission.origin)) }
        for entry in Array(running.values) { end(entry, .cancelled(entry.transfer.submission.origin)) }
        idle.removeAll()
    }

    /// libcurl itself failed, which is a lack of memory: everything on the wire is lost, and a pause keeps a lasting
    /// failure from taking a whole processor.
    private func check(_ result: CURLMcode) {
        guard result != CURLM_OK else { return }
        logger.error("libcurl failed", metadata: ["reason": "\(String(cString: curl_multi_strerror(result)))"])
        for entry in Array(running.values) {
            end(entry, HTTPError(.connectionLost, "The network library ran out of memory. Free some."))
        }
        usleep(100_000)
    }

    // MARK: - Time

    private func noteExpiry(_ transfer: Transfer) {
        earliestExpiry = min(earliestExpiry ?? transfer.expiry, transfer.expiry)
    }

    /// Looks at all transfers only when the earliest known expiry has passed. Moving bytes only make expiries later, and
    /// what makes one earlier is noted at once, so looking then is early enough, and it happens seldom: at most once in
    /// the shortest time-out in use.
    private func endExpired() {
        let now = ContinuousClock.now
        guard let earliest = earliestExpiry, earliest <= now else { return }
        for transfer in waiting.values.filter({ $0.expiry <= now }) { withdraw(transfer, transfer.expiryError) }
        for entry in running.values.filter({ $0.transfer.expiry <= now }) { end(entry, entry.transfer.expiryError) }
        earliestExpiry = nil
        for transfer in waiting.values { noteExpiry(transfer) }
        for entry in running.values { noteExpiry(entry.transfer) }
    }

    /// Until something expires; libcurl shortens it where it has to act itself.
    private var sleepMilliseconds: Int32 {
        guard let earliestExpiry else { return Int32(Self.longestSleep.wholeMilliseconds) }
        let rest = max(.zero, min(earliestExpiry - ContinuousClock.now, Self.longestSleep))
        return Int32(clamping: rest.wholeMilliseconds)
    }
}

extension Duration {
    /// Rounded up.
    var wholeMilliseconds: Int {
        let (seconds, attoseconds) = components
        return Int(seconds) * 1000 + Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
