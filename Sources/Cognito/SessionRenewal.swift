import Logging

/// One renewal of the credentials, under the lock that all processes of this user share: whoever comes second finds
/// the work done in the file.
struct SessionRenewal: Sendable {
    let client: CognitoClient
    let store: AuthSessionStore
    let logger: Logger
    let owner: AuthSession
    /// The newest known session; after a failure too.
    private(set) var session: AuthSession
    /// True while `session` has tokens that the file lacks.
    private(set) var isUnsaved: Bool
    let refusedAccessKeyID: String?
    /// A token that was refreshed in this run and is refused all the same is not refreshed again.
    private var hasRefreshed = false

    init(
        client: CognitoClient, store: AuthSessionStore, logger: Logger, owner: AuthSession, session: AuthSession,
        isUnsaved: Bool, refusedAccessKeyID: String?
    ) {
        self.client = client
        self.store = store
        self.logger = logger
        self.owner = owner
        self.session = session
        self.isUnsaved = isUnsaved
        self.refusedAccessKeyID = refusedAccessKeyID
    }

    mutating func run() async throws(CognitoError) -> AWSCredentials {
        let lock = try await store.lock(client.clock.local)
        try readFile()
        if let found = session.credentials, found.accessKeyID != refusedAccessKeyID,
            !found.lifetime.isDue(at: client.clock.now())
        {
            return found
        }
        if session.tokens.claims.lifetime.isDue(at: client.clock.now()) { try await refreshEarly(lock) }
        let credentials = try await fetchCredentials(lock)
        session.credentials = credentials
        save(lock, holdsNewTokens: isUnsaved)
        logger.debug(
            "Renewed credentials",
            metadata: [
                "key": "\(credentials.accessKeyID)", "life": "\(Int(credentials.lifetime.ends - client.clock.now())) s",
            ])
        return credentials
    }

    /// Takes the file's session over memory's, unless memory has tokens that the disk refused to take.
    private mutating func readFile() throws(CognitoError) {
        let stored: AuthSession
        do throws(CognitoError) {
            stored = try store.load()
        } catch {
            if isUnsaved, error.code == .storeFailed { return }
            throw error
        }
        guard stored.isSameUser(as: owner) else { throw .otherUser }
        // A later sign-in replaces what memory has; an older file does not.
        if isUnsaved, stored.signedInAt <= session.signedInAt { return }
        session = stored
        isUnsaved = false
    }

    /// Refreshes tokens that end soon; while they last, a fault on the way is no reason to stop.
    private mutating func refreshEarly(_ lock: borrowing StoreLock) async throws(CognitoError) {
        do throws(CognitoError) {
            try await refreshTokens(lock)
        } catch {
            guard error.isTransient, !session.tokens.claims.lifetime.isOver(at: client.clock.now()) else { throw error }
        }
    }

    private mutating func refreshTokens(_ lock: borrowing StoreLock) async throws(CognitoError) {
        let tokens = try await client.refresh(session.tokens)
        guard tokens.claims.subject == owner.tokens.claims.subject else { throw .otherUser }
        session.tokens = tokens
        hasRefreshed = true
        // On disk before anything is done with them: with rotation, the token on disk is dead now.
        save(lock, holdsNewTokens: true)
    }

    private mutating func fetchCredentials(_ lock: borrowing StoreLock) async throws(CognitoError) -> AWSCredentials {
        do throws(CognitoError) {
            return try await credentialsOnce()
        } catch {
            switch error.code {
            case .loginTokenExpired where !hasRefreshed, .loginTokenRefused where !hasRefreshed:
                // The pool's clock or its revocation list knows better than ours.
                try await refreshTokens(lock)
                return try await credentialsOnce()
            case .identityMismatch:
                guard try await client.identityID(for: session.tokens) == owner.identityID else { throw .otherUser }
                return try await credentialsOnce()
            default: throw error
            }
        }
    }

    private func credentialsOnce() async throws(CognitoError) -> AWSCredentials {
        let answer = try await client.credentials(for: session.identityID, session.tokens)
        guard answer.identity == owner.identityID else { throw .otherUser }
        return answer.credentials
    }

    /// A full or failing disk must not end a session: what could not be written is kept and tried again next time.
    private mutating func save(_ lock: borrowing StoreLock, holdsNewTokens: Bool) {
        do throws(CognitoError) {
            try store.save(session, holding: lock)
            isUnsaved = false
        } catch {
            isUnsaved = holdsNewTokens
            logger.warning("The session could not be written to disk", metadata: ["reason": "\(error)"])
        }
    }
}
