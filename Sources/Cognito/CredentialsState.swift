/// What a credentials provider knows, and what that means for a caller: no I/O, no clock.
struct CredentialsState: Sendable {
    /// What to do for somebody who wants credentials now.
    enum Step: Sendable, Equatable {
        /// These are good; begin a renewal in the background if `thenRenew`.
        case give(AWSCredentials, thenRenew: Bool)
        /// Wait for the renewal, which must be begun if none runs.
        case wait
        /// Nothing to be had now.
        case fail(CognitoError)
        /// Look whether the session file was replaced since `PrivateDirectory.Stamp`, report with `looked`, ask again.
        case lookAtFile(PrivateDirectory.Stamp?)
    }

    struct Failure: Sendable {
        var error: CognitoError
        /// Seconds since 1970 of the local clock, which may jump: a time in the future counts as long ago.
        var at: Double
        /// No new try before this many seconds have passed.
        var pause: Double
        /// The session file when it failed.
        var stamp: PrivateDirectory.Stamp?
        /// The failures in a row, this one included.
        var count: Int
    }

    /// A person who has just signed in waits no longer than this for the mount to notice.
    static let lookIntervalSeconds = 1.0
    /// Fresh credentials that S3 refuses within this time are not replaced again: something else is wrong.
    static let freshSeconds = 2.0

    private(set) var session: AuthSession
    /// True while `session` holds tokens that could not be written to disk: memory is newer than the file.
    private(set) var isUnsaved = false
    private(set) var failure: Failure?
    private(set) var isRenewing = false
    /// S3 refused these: not handed out again.
    private(set) var refusedAccessKeyID: String?

    init(session: AuthSession) { self.session = session }

    /// `now` is the service's time, `local` this machine's.
    mutating func step(now: Double, local: Double) -> Step {
        if let good = session.credentials, good.accessKeyID != refusedAccessKeyID, !good.lifetime.isOver(at: now) {
            guard good.lifetime.isDue(at: now), !isRenewing else { return .give(good, thenRenew: false) }
            switch renewal(local: local) {
            case .wait: return .give(good, thenRenew: true)
            case .lookAtFile(let stamp): return .lookAtFile(stamp)
            case .give, .fail: return .give(good, thenRenew: false)
            }
        }
        return isRenewing ? .wait : renewal(local: local)
    }

    /// Whether a renewal may begin now.
    private mutating func renewal(local: Double) -> Step {
        guard var failure else { return .wait }
        let passed = local - failure.at
        if passed >= failure.pause { return .wait }
        guard failure.error.needsLogin, passed < 0 || passed >= Self.lookIntervalSeconds else {
            return passed < 0 && !failure.error.needsLogin ? .wait : .fail(failure.error)
        }
        // Counted from now, so that the file is looked at once a second however many ask.
        if failure.pause.isFinite { failure.pause -= max(0, passed) }
        failure.at = local
        self.failure = failure
        return .lookAtFile(failure.stamp)
    }

    /// The file was replaced since the failure: what was known of it is void.
    mutating func fileChanged() { failure = nil }

    /// False when one runs already.
    mutating func beginRenewal() -> Bool {
        if isRenewing { return false }
        isRenewing = true
        return true
    }

    mutating func renewed(_ session: AuthSession, isUnsaved: Bool) {
        self.session = session
        self.isUnsaved = isUnsaved
        isRenewing = false
        failure = nil
    }

    /// New tokens that belong to memory even if the rest of the renewal fails.
    mutating func keepUnsaved(_ session: AuthSession) {
        self.session = session
        isUnsaved = true
    }

    /// `jitter` is from 0 to 1.
    mutating func failed(_ error: CognitoError, local: Double, stamp: PrivateDirectory.Stamp?, jitter: Double) {
        isRenewing = false
        let count = (failure?.count ?? 0) + 1
        failure = Failure(
            error: error, at: local, pause: Self.pause(after: error, count: count, jitter: jitter), stamp: stamp,
            count: count)
    }

    /// S3 said that these are no good. False when they were fresh, so that new ones would be refused too.
    mutating func refused(_ credentials: AWSCredentials, now: Double) -> Bool {
        guard session.credentials?.accessKeyID == credentials.accessKeyID else { return true }
        let age = now - credentials.lifetime.begins
        guard age < 0 || age >= Self.freshSeconds else { return false }
        refusedAccessKeyID = credentials.accessKeyID
        return true
    }

    /// Doubling from one second with jitter; short where only the network is missing, since it may be back any moment.
    /// The end of a session is final until somebody signs in; a store that was refused may be mended in place.
    private static func pause(after error: CognitoError, count: Int, jitter: Double) -> Double {
        if error.code == .storeRefused { return 5 }
        if error.needsLogin { return .infinity }
        let limit = error.code == .unreachable ? 10.0 : 60.0
        return min(limit, Double(1 << min(count - 1, 6))) * (0.5 + jitter / 2)
    }
}
