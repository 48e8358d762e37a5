import HTTPTransport

/// Decides, after an attempt that did not succeed, what the call does next. No I/O and no clock: the caller says what
/// happened and when.
///
/// Bounds: `maximumAttempts` without progress; no wait begins or ends after the deadline; credentials are renewed at most twice,
/// the clock is corrected once and the region changed once.
struct RetryPlan {
    enum Step: Equatable {
        case repeatAfter(Duration)
        case renewCredentials
        /// The difference between the server's clock and ours was wrong.
        case correctClock(serverTime: Int64)
        case changeRegion(String)
        case giveUp
    }

    static let maximumAttempts = 16
    private static let firstWait = Duration.milliseconds(50)
    private static let firstWaitWhenThrottled = Duration.milliseconds(400)
    private static let longestWait = Duration.seconds(5)

    /// When patience ends, on the caller's steady clock.
    private(set) var deadline: Duration
    /// An attempt so far may have had its effect though its answer was not seen.
    private(set) var answerWasLost = false
    private(set) var attempts = 0
    private let patience: Duration
    /// For transfers of data the deadline moves once they move.
    private let followsProgress: Bool
    /// Attempts since bytes last moved.
    private var idleAttempts = 0
    private var failures = 0
    private var renewals = 0
    private var clockCorrected = false
    private var regionChanged = false

    init(now: Duration, patience: Duration, followsProgress: Bool) {
        self.patience = patience
        self.followsProgress = followsProgress
        deadline = now + patience
    }

    /// Bytes of a transfer moved: patience begins anew, and so does the count of what went wrong.
    mutating func progressed(now: Duration) {
        guard followsProgress else { return }
        deadline = now + patience
        failures = 0
        idleAttempts = 0
    }

    mutating func step(after refusal: Refusal, now: Duration, random: Double) -> Step {
        attempts += 1
        idleAttempts += 1
        if refusal.mayHaveHappened { answerWasLost = true }
        if attempts == 1 { progressed(now: now) }
        guard idleAttempts < Self.maximumAttempts else { return .giveUp }
        switch refusal.kind {
        case .throttled:
            return wait(Self.firstWaitWhenThrottled, atLeast: refusal.retryAfter ?? .zero, now: now, random: random)
        case .serverFault, .garbled, .digestMismatch, .conflict:
            return wait(Self.firstWait, atLeast: refusal.retryAfter ?? .zero, now: now, random: random)
        case .credentialsExpired, .credentialsUnknown:
            renewals += 1
            return renewals <= 2 ? .renewCredentials : .giveUp
        case .clockSkewed:
            guard !clockCorrected, let serverTime = refusal.serverTime else { return .giveUp }
            clockCorrected = true
            return .correctClock(serverTime: serverTime)
        case .wrongRegion(let region):
            guard !regionChanged else { return .giveUp }
            regionChanged = true
            return .changeRegion(region)
        case .notImplemented, .accessDenied, .notFound, .noSuchBucket, .noSuchUpload, .preconditionFailed,
            .rangeNotSatisfiable, .tooLarge, .archived, .other:
            return .giveUp
        }
    }

    mutating func step(after error: HTTPError, now: Duration, random: Double) -> Step {
        attempts += 1
        idleAttempts += 1
        switch error.code {
        case .timedOut, .connectionLost, .badAnswer, .cancelled: answerWasLost = true
        case .notConnected, .tlsFailed, .refused: break
        }
        if attempts == 1, error.code == .connectionLost { progressed(now: now) }
        guard idleAttempts < Self.maximumAttempts else { return .giveUp }
        switch error.code {
        case .badAnswer where idleAttempts >= 3: return .giveUp
        case .notConnected, .timedOut, .connectionLost, .badAnswer:
            return wait(Self.firstWait, atLeast: .zero, now: now, random: random)
        case .tlsFailed, .refused, .cancelled: return .giveUp
        }
    }

    /// Full jitter: anything between nothing and a limit that doubles, so that callers that failed together do not
    /// come back together.
    private mutating func wait(_ first: Duration, atLeast least: Duration, now: Duration, random: Double) -> Step {
        let limit = min(first * (1 << min(failures, 10)), Self.longestWait)
        failures += 1
        let wait = max(limit * random, least)
        return now + wait < deadline ? .repeatAfter(wait) : .giveUp
    }
}
