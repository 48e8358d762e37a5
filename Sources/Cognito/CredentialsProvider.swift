import Logging
import Synchronization

/// Keys for S3, always good ones: renewed early in the background, once for all callers and all processes of this user.
///
/// Only the service's word ends a session. Then `credentials()` throws an error that `needsLogin`, looks at the session
/// file once a second when asked, and goes on by itself after `cognitofs login` as the same user.
public final class CredentialsProvider: Sendable {
    typealias Outcome = Result<AWSCredentials, CognitoError>

    /// How long a caller waits for a renewal that others may go on waiting for.
    public static let patience = Duration.seconds(10)

    let client: CognitoClient
    let store: AuthSessionStore
    let logger: Logger
    /// Whose space this is; nobody else's session is ever used.
    let owner: AuthSession

    private struct Shared {
        var credentials: CredentialsState
        /// Callers that wait for the running renewal; all are resumed when it ends, so there are none without one.
        var waiters: [UInt64: CheckedContinuation<Outcome?, Never>] = [:]
        var nextWaiter: UInt64 = 0
    }
    /// Guards all of `Shared`; held for memory operations only, never across disk, network or a resumption.
    private let shared: Mutex<Shared>

    /// `session` comes from `AuthSessionStore.load()`. No network is needed, now or later, while its credentials live.
    public init(client: CognitoClient, store: AuthSessionStore, session: AuthSession, logger: Logger)
        throws(CognitoError)
    {
        try session.check(against: client.configuration)
        self.client = client
        self.store = store
        self.logger = logger
        owner = session
        shared = Mutex(Shared(credentials: CredentialsState(session: session)))
    }

    /// The session as last seen, for `status` and `whoami`.
    public var session: AuthSession { shared.withLock { $0.credentials.session } }

    /// Why the last renewal failed; nil when it did not.
    public var lastError: CognitoError? { shared.withLock { $0.credentials.failure?.error } }

    /// Credentials that are good now. Returns at once while there are some. Cancelling a caller ends its wait and
    /// nobody else's.
    public func credentials(patience: Duration = CredentialsProvider.patience) async throws(CognitoError)
        -> AWSCredentials
    {
        while true {
            switch nextStep() {
            case .give(let credentials, let thenRenew):
                if thenRenew { beginRenewal() }
                return credentials
            case .fail(let error): throw error
            case .lookAtFile(let before): look(before)
            case .wait:
                if let outcome = await wait(patience) { return try outcome.get() }
            }
        }
    }

    /// Replaces credentials that S3 called expired or invalid; callers with the same ones share one renewal.
    public func renew(after refused: AWSCredentials) async throws(CognitoError) -> AWSCredentials {
        let isOld = shared.withLock { $0.credentials.refused(refused, now: client.clock.now()) }
        guard isOld else {
            throw CognitoError(
                .unavailable, "The store refuses credentials that were issued a moment ago.",
                remedy: "Check that the bucket and the identity pool belong to the same AWS account.")
        }
        return try await credentials()
    }

    private func nextStep() -> CredentialsState.Step {
        let now = client.clock.now()
        let local = client.clock.local.now()
        return shared.withLock { $0.credentials.step(now: now, local: local) }
    }

    private func look(_ before: PrivateDirectory.Stamp?) {
        guard store.stamp() != before else { return }
        shared.withLock { $0.credentials.fileChanged() }
    }

    // MARK: Waiting

    /// Nil when the state has changed in between and is worth another look.
    private func wait(_ patience: Duration) async -> Outcome? {
        let id = shared.withLock { shared in
            shared.nextWaiter += 1
            return shared.nextWaiter
        }
        let alarm = Task { [weak self, clock = client.clock.local] in
            await clock.sleep(patience)
            if !Task.isCancelled { self?.resume(id, .failure(Self.tooSlow)) }
        }
        defer { alarm.cancel() }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { enqueue($0, id) }
        } onCancel: {
            resume(id, .failure(.cancelled))
        }
    }

    private func enqueue(_ continuation: CheckedContinuation<Outcome?, Never>, _ id: UInt64) {
        let now = client.clock.now()
        let local = client.clock.local.now()
        let (immediate, begins): (Outcome??, Bool) = shared.withLock { shared in
            // Cancellation that is set later finds the waiter in the list.
            if Task.isCancelled { return (.some(.failure(.cancelled)), false) }
            guard shared.credentials.step(now: now, local: local) == .wait else { return (.some(nil), false) }
            shared.waiters[id] = continuation
            return (nil, shared.credentials.beginRenewal())
        }
        if let immediate { continuation.resume(returning: immediate) }
        if begins { startRenewal() }
    }

    private func resume(_ id: UInt64, _ outcome: Outcome) {
        shared.withLock { $0.waiters.removeValue(forKey: id) }?.resume(returning: outcome)
    }

    private static let tooSlow = CognitoError(
        .unreachable, "The sign-in service takes too long to answer.", remedy: "Check the network.")

    // MARK: Renewing

    private func beginRenewal() {
        if shared.withLock({ $0.credentials.beginRenewal() }) { startRenewal() }
    }

    /// The task is nobody's child: a cancelled caller does not end it.
    private func startRenewal() {
        let (session, isUnsaved, refused, hadFailed) = shared.withLock {
            (
                $0.credentials.session, $0.credentials.isUnsaved, $0.credentials.refusedAccessKeyID,
                $0.credentials.failure != nil
            )
        }
        Task {
            let stamp = store.stamp()
            var renewal = SessionRenewal(
                client: client, store: store, logger: logger, owner: owner, session: session, isUnsaved: isUnsaved,
                refusedAccessKeyID: refused)
            let outcome: Outcome
            do throws(CognitoError) {
                outcome = .success(try await renewal.run())
                if hadFailed { logger.notice("Credentials are renewed again") }
            } catch {
                outcome = .failure(error)
            }
            finish(renewal, outcome, stamp)
        }
    }

    private func finish(_ renewal: SessionRenewal, _ outcome: Outcome, _ stamp: PrivateDirectory.Stamp?) {
        let local = client.clock.local.now()
        let jitter = fraction(client.random)
        let (waiters, previous) = shared.withLock { shared in
            let previous = shared.credentials.failure?.error
            switch outcome {
            case .success:
                shared.credentials.renewed(renewal.session, isUnsaved: renewal.isUnsaved)
            case .failure(let error):
                if renewal.isUnsaved { shared.credentials.keepUnsaved(renewal.session) }
                shared.credentials.failed(error, local: local, stamp: stamp, jitter: jitter)
            }
            let waiters = shared.waiters
            shared.waiters = [:]
            return (waiters, previous)
        }
        if case .failure(let error) = outcome, error.code != previous?.code { report(error) }
        for waiter in waiters.values { waiter.resume(returning: outcome) }
    }

    /// Once for each kind of trouble, not for each try.
    private func report(_ error: CognitoError) {
        let level: Logger.Level = error.isTransient ? .notice : .warning
        logger.log(
            level: level, "Credentials could not be renewed", metadata: ["code": "\(error.code)", "reason": "\(error)"])
    }
}
