import Bytes

/// What a caller hands to the transport's thread.
struct Submission: Sendable {
    /// Grows with each submission.
    var id: UInt64
    var request: HTTPRequest
    var origin: Origin
    /// When the whole exchange must be over.
    var deadline: ContinuousClock.Instant
    var continuation: CheckedContinuation<Result<HTTPResponse, HTTPError>, Never>
}

/// One request and what is known of its answer: takes bytes from libcurl's callbacks, gives bytes to them, keeps time.
///
/// Lives on the transport's thread alone. After `finish` nothing may touch it, nor the caller's buffer through it.
final class Transfer {
    /// The longest a connection may take to be made, TLS included.
    static let connectTimeout = Duration.seconds(10)
    /// The largest body that is collected of an answer that is no success.
    static let errorBodyLimit = 1 << 20
    /// Progress is announced at the latest after so many bytes: libcurl hands out 16 KiB at a time, and telling the
    /// caller costs more than storing them.
    private static let announcementStep = 128 << 10

    private enum Phase {
        case waiting
        case connecting(since: ContinuousClock.Instant)
        /// The request is on a connection, so that the server may have it.
        case exchanging
    }

    private enum Destination {
        /// The head is not complete.
        case undecided
        case collect(limit: Int)
        case store(ByteBuffer, offset: Int, progress: @Sendable (Int) -> Void)
    }

    let submission: Submission
    private var phase = Phase.waiting
    private var lastMoved: ContinuousClock.Instant
    private var sendings = 0
    private var head = ResponseHead()
    private var destination = Destination.undecided
    private var body: [UInt8] = []
    private var storedByteCount = 0
    private var announcedByteCount = 0
    private var sentByteCount = 0
    private var lastUploadCount: Int64 = 0
    /// Why a callback broke the transfer off: goes before whatever libcurl says then.
    private var failure: HTTPError?

    init(_ submission: Submission) {
        self.submission = submission
        self.lastMoved = .now
    }

    var request: HTTPRequest { submission.request }

    // MARK: - Time

    func begin(at now: ContinuousClock.Instant) { phase = .connecting(since: now) }

    /// When this transfer fails if nothing happens until then.
    var expiry: ContinuousClock.Instant {
        switch phase {
        case .waiting: submission.deadline
        case .connecting(let since): min(submission.deadline, since + Self.connectTimeout)
        case .exchanging: min(submission.deadline, lastMoved + request.stallTimeout)
        }
    }

    /// What it fails with when `expiry` has passed.
    var expiryError: HTTPError {
        switch phase {
        case .waiting:
            HTTPError(
                .timedOut, "No connection to \(submission.origin) became free in time. Try again when less is going on."
            )
        case .connecting:
            HTTPError(
                .notConnected,
                "\(submission.origin) did not accept a connection in time. Check the network and address.")
        case .exchanging:
            HTTPError(.timedOut, "\(submission.origin) stopped answering. Check the network and try again.")
        }
    }

    // MARK: - Called by libcurl

    /// The connection stands, the request goes out now.
    func connectionStands() {
        phase = .exchanging
        sendings += 1
        lastMoved = .now
    }

    /// Copies the next bytes of the request's body to `target`; 0 at the end.
    func provideBody(to target: UnsafeMutableRawBufferPointer) -> Int {
        lastMoved = .now
        return request.body.withBytes { source in
            let count = min(target.count, source.count - sentByteCount)
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[sentByteCount..<sentByteCount + count]))
            sentByteCount += count
            return count
        }
    }

    /// The body is wanted again from `offset`. False outside it.
    func rewindBody(to offset: Int64) -> Bool {
        guard (0...Int64(request.body.count)).contains(offset) else { return false }
        sentByteCount = Int(offset)
        return true
    }

    /// `count` bytes of the request's body have gone to the system so far.
    func noteUpload(_ count: Int64) {
        guard count != lastUploadCount else { return }
        lastUploadCount = count
        lastMoved = .now
    }

    /// One line of a head. False breaks the transfer off.
    func takeHeadLine(_ line: UnsafeRawBufferPointer) -> Bool {
        lastMoved = .now
        switch head.take(line) {
        case .incomplete, .ignored: return true
        case .complete: return decideDestination()
        case .malformed: return fail(.badAnswer, "sent an answer that is not HTTP. Check the address.")
        case .tooLarge: return fail(.badAnswer, "sent more than 64 KiB of headers. Check the address.")
        }
    }

    /// Some bytes of the answer's body. False breaks the transfer off.
    func takeBody(_ bytes: UnsafeRawBufferPointer) -> Bool {
        lastMoved = .now
        switch destination {
        case .undecided:
            return fail(.badAnswer, "sent a body without a head. Check the address.")
        case .collect(let limit):
            guard bytes.count <= limit - body.count else { return failTooLarge() }
            body.append(contentsOf: bytes)
        case .store(let buffer, let offset, _):
            let place = offset + storedByteCount
            guard bytes.count <= buffer.capacity - place else { return failTooLarge() }
            UnsafeMutableRawBufferPointer(rebasing: buffer.writable[place...]).copyMemory(from: bytes)
            storedByteCount += bytes.count
            if storedByteCount - announcedByteCount >= Self.announcementStep { announce() }
        }
        return true
    }

    /// Tells the caller what has been stored since it was last told.
    func announce() {
        guard storedByteCount > announcedByteCount, case .store(_, _, let progress) = destination else { return }
        announcedByteCount = storedByteCount
        progress(storedByteCount)
    }

    // MARK: - The end

    /// Gives the caller its answer. `error` is libcurl's or the owner's; nil when the exchange ended well.
    func finish(_ error: HTTPError?) {
        let result = result(error)
        switch result {
        case .success(let response): outcome = "\(response.status)"
        case .failure(let error): outcome = "\(error.code)"
        }
        submission.continuation.resume(returning: result)
    }

    /// One word for the log: the status, or why there is none.
    private(set) var outcome = "unfinished"

    /// True once the server may have received the request.
    var wasSent: Bool { sendings > 0 }

    // MARK: -

    private func result(_ error: HTTPError?) -> Result<HTTPResponse, HTTPError> {
        if let error = failure ?? error { return .failure(error) }
        guard head.isComplete else {
            return .failure(
                HTTPError(.connectionLost, "\(submission.origin) closed the connection without an answer. Try again."))
        }
        announce()
        return .success(response)
    }

    private var response: HTTPResponse {
        var response = HTTPResponse(status: head.status, headers: head.headers, body: body)
        response.wasResent = sendings > 1
        return response
    }

    private func decideDestination() -> Bool {
        let isSuccess = (200...299).contains(head.status)
        switch request.sink {
        case .store(let buffer, let offset, let accept, let progress) where isSuccess:
            precondition((0...buffer.capacity).contains(offset), "offset outside the buffer")
            guard accept(response) else { return fail(.refused, "sent another answer than was asked for.") }
            destination = .store(buffer, offset: offset, progress: progress)
            return hasRoom(buffer.capacity - offset)
        case .collect(let limit) where isSuccess:
            destination = .collect(limit: limit)
            return hasRoom(limit)
        case .store, .collect:
            destination = .collect(limit: Self.errorBodyLimit)
            return hasRoom(Self.errorBodyLimit)
        }
    }

    /// Checks the announced length before the first byte, so that a hopeless transfer ends at once.
    private func hasRoom(_ room: Int) -> Bool {
        guard request.method != .head, let announced = response["Content-Length"].flatMap({ Int($0) }) else {
            return true
        }
        guard announced <= room else { return failTooLarge() }
        if case .collect = destination { body.reserveCapacity(announced) }
        return true
    }

    private func failTooLarge() -> Bool { fail(.badAnswer, "sent more bytes than were asked for. Try again.") }

    /// `reason` follows the host's name. Always false.
    private func fail(_ code: HTTPError.Code, _ reason: String) -> Bool {
        failure = HTTPError(code, "\(submission.origin) \(reason)")
        return false
    }
}
