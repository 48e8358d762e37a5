import Bytes
import HTTPTransport
import Logging
import ObjectStore
import Sealing
import Synchronization

/// A bucket on S3 or on a server that speaks its language.
///
/// Knows how a call is said (signature, headers, XML), how often it is repeated, and what an unclear answer means.
/// It keeps nothing but what it learned about the server: the region, the clock, what is supported.
public final class S3ObjectStore: ObjectStore {
    let endpoint: S3Endpoint
    public let bucket: String
    let options: S3Options
    let surroundings: S3Surroundings
    let logger: Logger
    private let source: any CredentialsSource
    private let transport: any HTTPTransport

    /// What was learned. The lock is held for plain reads and writes of these fields only; nothing is called under it.
    private struct Learned {
        var region: String
        /// Added to this machine's clock to get the server's.
        var clockOffset: Int64 = 0
        /// For the last secret, day and region used; one is enough since they change together for everybody.
        var signingKey: SignatureV4.Key?
        var lacksPreconditions = false
    }
    private let learned: Mutex<Learned>

    public init(
        endpoint: S3Endpoint, bucket: String, region: String, credentials: any CredentialsSource,
        transport: any HTTPTransport, logger: Logger, options: S3Options = S3Options(),
        surroundings: S3Surroundings = .system
    ) {
        self.endpoint = endpoint
        self.bucket = bucket
        self.source = credentials
        self.transport = transport
        self.logger = logger
        self.options = options
        self.surroundings = surroundings
        learned = Mutex(Learned(region: region))
    }

    /// Where the bucket lives: what the caller said, or what the server corrected it to.
    public var region: String { learned.withLock { $0.region } }

    /// False once the server answered that it knows no conditional writes. Each write is then preceded by a look, and
    /// two devices that write at the same moment can miss each other.
    public var supportsPreconditions: Bool { learned.withLock { !$0.lacksPreconditions } }

    /// Seconds by which the server's clock is ahead of this machine's, as far as a refused request told.
    public var clockOffset: Int64 { learned.withLock { $0.clockOffset } }

    func noteMissingPreconditions() { learned.withLock { $0.lacksPreconditions = true } }
}

// MARK: - Attempts

extension S3ObjectStore {
    /// Sends `call` until it is answered, refused for good, or the budget is used up.
    func perform(_ call: S3Call, _ context: RequestContext) async throws(ObjectStoreError) -> Reply {
        var plan = RetryPlan(
            now: surroundings.elapsed(), patience: context.patience, followsProgress: call.isTransfer)
        let payloadHash = payloadHash(call.body)
        var moved = 0
        while true {
            if Task.isCancelled { throw call.error(HTTPError(.cancelled, ""), bucket: bucket) }
            let credentials = try await source.credentials()
            let region = region
            let (ending, step) = await attempt(
                call, context, credentials: credentials, region: region, payloadHash: payloadHash, moved: &moved,
                plan: &plan)
            guard let step, call.transfer?.isComplete() != true else {
                return Reply(ending: ending, answerWasLost: plan.answerWasLost)
            }
            log(call, ending, step)
            switch step {
            case .giveUp: return Reply(ending: ending, answerWasLost: plan.answerWasLost)
            case .repeatAfter(let wait): try await pause(wait, call)
            case .renewCredentials: _ = try await source.renew(after: credentials)
            case .correctClock(let serverTime):
                let offset = serverTime - surroundings.wallClock()
                learned.withLock { $0.clockOffset = offset }
            case .changeRegion(let home): learned.withLock { $0.region = home }
            }
        }
    }

    /// Sends once. The step is nil when the call has its answer.
    private func attempt(
        _ call: S3Call, _ context: RequestContext, credentials: Credentials, region: String, payloadHash: String,
        moved: inout Int, plan: inout RetryPlan
    ) async -> (Reply.Ending, RetryPlan.Step?) {
        let time = call.time(
            patience: context.patience, remaining: plan.deadline - surroundings.elapsed(),
            isFirstAttempt: plan.attempts == 0)
        var request = signed(call, credentials: credentials, region: region, payloadHash: payloadHash)
        request.priority = context.priority.rawValue
        request.timeout = time.whole
        request.stallTimeout = time.stall
        do throws(HTTPError) {
            let response = try await transport.send(request)
            let isSuccess = (200..<300).contains(response.status)
            if isSuccess, !call.answersWithDocument { return (.answered(response, nil), nil) }
            let document = response.body.isEmpty ? nil : try? AnswerDocument(response.body)
            if isSuccess, document == nil { throw HTTPError(.connectionLost, "the answer was cut short") }
            if isSuccess, document?.root != "Error" { return (.answered(response, document), nil) }
            let refusal = Refusal(response, document: document, region: region)
            noteProgress(call, &moved, &plan)
            let step = plan.step(after: refusal, now: surroundings.elapsed(), random: surroundings.random())
            return (.refused(refusal), step)
        } catch {
            noteProgress(call, &moved, &plan)
            let step = plan.step(after: error, now: surroundings.elapsed(), random: surroundings.random())
            return (.unanswered(error), step)
        }
    }

    private func noteProgress(_ call: S3Call, _ moved: inout Int, _ plan: inout RetryPlan) {
        guard let now = call.transfer?.moved(), now > moved else { return }
        moved = now
        plan.progressed(now: surroundings.elapsed())
    }

    private func pause(_ wait: Duration, _ call: S3Call) async throws(ObjectStoreError) {
        do { try await surroundings.sleep(wait) } catch { throw call.error(HTTPError(.cancelled, ""), bucket: bucket) }
    }

    /// Over TLS the body is protected already, and its CRC goes along: hashing it again would only cost time.
    private func payloadHash(_ body: ByteSlice) -> String {
        if body.count == 0 { return SignatureV4.emptyPayload }
        return endpoint.isEncrypted ? SignatureV4.unsignedPayload : body.withBytes { Hex.encode(SHA256.hash($0)) }
    }

    private func signed(
        _ call: S3Call, credentials: Credentials, region: String, payloadHash: String
    ) -> HTTPRequest {
        let address = endpoint.address(bucket: bucket, key: call.key, region: region)
        let query = SignatureV4.canonicalQuery(call.query)
        let rest = call.transfer?.rest()
        let headers = call.headers + (rest?.headers ?? [])
        let offset = learned.withLock { $0.clockOffset }
        let time = SigningTime(secondsSince1970: surroundings.wallClock() + offset)
        let signature = SignatureV4.headers(
            for: SignatureV4.Request(
                method: call.method.rawValue, host: address.host, path: address.path, query: query, headers: headers,
                payloadHash: payloadHash, time: time),
            credentials: credentials, key: signingKey(credentials.secretAccessKey, day: time.day, region: region))
        return HTTPRequest(
            method: call.method,
            url: "\(address.scheme)://\(address.host)\(address.path)\(query.isEmpty ? "" : "?\(query)")",
            headers: headers + signature, body: call.body, sink: rest?.sink ?? .collect(limit: call.answerLimit),
            timeout: .zero, stallTimeout: .zero)
    }

    private func signingKey(_ secret: RedactedText, day: String, region: String) -> SignatureV4.Key {
        let known = learned.withLock { $0.signingKey }
        if let known, known.day == day, known.region == region, known.secret == secret { return known }
        let key = SignatureV4.Key(secret: secret, day: day, region: region)
        learned.withLock { $0.signingKey = key }
        return key
    }

    private func log(_ call: S3Call, _ ending: Reply.Ending, _ step: RetryPlan.Step) {
        var facts: Logger.Metadata = [
            "operation": "\(call.operation)", "key": "\(call.key?.description ?? "")", "next": "\(step)",
        ]
        switch ending {
        case .answered: return
        case .refused(let refusal):
            facts["status"] = "\(refusal.status)"
            facts["code"] = "\(refusal.code)"
            facts["request"] = "\(refusal.requestID ?? "")"
        case .unanswered(let failure): facts["failure"] = "\(failure.code)"
        }
        if case .correctClock = step {
            logger.warning(
                "this machine's clock is wrong by more than 15 minutes; corrected for requests", metadata: facts)
        } else {
            logger.debug("S3 request did not succeed", metadata: facts)
        }
    }
}
