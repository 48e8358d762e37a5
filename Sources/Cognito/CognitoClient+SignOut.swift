import Logging

extension CognitoClient {
    /// Ends a sign-in that was not stored. Where that fails it ends by itself, some time.
    public func giveBack(_ session: AuthSession) async { try? await revoke(session.tokens.refreshToken) }

    /// Revokes the refresh token and destroys the session with its key, after which cache and queue of this machine can
    /// never be read again. The caller has made sure that nothing is queued.
    ///
    /// The local part happens whatever the network does. Returns why the token could not be revoked, or nil when it was
    /// (or nothing was stored that could be).
    public func signOut(_ store: AuthSessionStore) async throws(CognitoError) -> CognitoError? {
        let lock = try await store.lock(clock.local)
        var reason: CognitoError?
        do throws(CognitoError) {
            try await revoke(try store.load().tokens.refreshToken)
        } catch {
            // Ended already, or nobody was signed in: there is nothing left to revoke.
            reason = error.code == .sessionEnded || error.code == .notSignedIn ? nil : error
        }
        try store.destroy(holding: lock)
        logger.info("Signed out", metadata: ["revoked": "\(reason == nil)"])
        return reason
    }
}
