import Sealing
import SystemPackage

/// The session on disk, sealed, and the key it is sealed under in another directory.
///
/// `keys/key` holds 32 random bytes; `session/session` is sealed with a key derived from them. Each user's cache and
/// journal are sealed under a further key, derived from the same bytes and the identity id: `destroy` makes all of it
/// unreadable, and no user's data opens for another.
///
/// Any thread may read. Writing needs the lock, which processes share.
public struct AuthSessionStore: Sendable {
    private let keys: PrivateDirectory
    private let sessions: PrivateDirectory

    static let keyFile = "key"
    static let sessionFile = "session"
    /// The last digit is the version of the form.
    private static let keyMagic = Array("CFSKEY1\n".utf8)
    private static let sessionMagic = Array("CFSSES1\n".utf8)

    /// Two directories, made when first needed; they should not be the same.
    public init(keyDirectory: FilePath, sessionDirectory: FilePath) {
        keys = PrivateDirectory(path: keyDirectory)
        sessions = PrivateDirectory(path: sessionDirectory)
    }

    // MARK: Reading

    /// The session; throws `.notSignedIn` when there is none, `.storeRefused` when it is not fit to be used.
    public func load() throws(CognitoError) -> AuthSession {
        guard let sealed = try sessions.read(Self.sessionFile) else { throw .notSignedIn }
        let content = try Self.content(of: sealed, Self.sessionMagic, sessions.path.appending(Self.sessionFile))
        guard let key = try key() else {
            throw CognitoError(
                .storeRefused, "The key of the stored session, \(keys.path.appending(Self.keyFile)), is missing.",
                remedy: "Bring it back, or run `cognitofs logout` and `cognitofs login`.")
        }
        guard var plain = Self.sealer(key).open(content, additionalData: Self.sessionMagic) else {
            throw damaged(sessions.path.appending(Self.sessionFile))
        }
        defer { wipe(&plain) }
        guard let session = AuthSession(encoded: plain) else {
            throw damaged(sessions.path.appending(Self.sessionFile))
        }
        return session
    }

    /// The key that seals the cache and the journal of `identity` on this machine. Works as long as the key exists,
    /// whether or not the session has ended; throws `.notSignedIn` after `logout`.
    public func dataKey(for identity: IdentityID) throws(CognitoError) -> SealingKey {
        guard let key = try key() else { throw .notSignedIn }
        return key.derived(Array("cognitofs data of ".utf8) + Array(identity.text.utf8))
    }

    /// Changes whenever a session is stored or removed.
    func stamp() -> PrivateDirectory.Stamp? { sessions.stamp(Self.sessionFile) }

    // MARK: Writing

    func lock(_ clock: WallClock) async throws(CognitoError) -> StoreLock {
        try await StoreLock(in: sessions, clock: clock)
    }

    /// Stores a new sign-in: for `cognitofs login`.
    public func begin(_ session: AuthSession, clock: WallClock = .system) async throws(CognitoError) {
        let lock = try await lock(clock)
        try keys.create()
        if try key() == nil {
            let key = SealingKey()
            var bytes = Self.keyMagic + key.withBytes { Array($0) }
            defer { wipe(&bytes) }
            try keys.replace(Self.keyFile, with: bytes)
        }
        try save(session, holding: lock)
    }

    /// Durable when it returns.
    func save(_ session: AuthSession, holding lock: borrowing StoreLock) throws(CognitoError) {
        guard let key = try key() else { throw .notSignedIn }
        var plain = try session.encoded()
        defer { wipe(&plain) }
        let sealed = Self.sealer(key).seal(plain, additionalData: Self.sessionMagic)
        try sessions.replace(Self.sessionFile, with: Self.sessionMagic + sealed)
    }

    /// Makes the session and everything sealed under its key unreadable, for good. Works on damaged files too.
    func destroy(holding lock: borrowing StoreLock) throws(CognitoError) {
        try keys.destroy(Self.keyFile)
        try sessions.destroy(Self.sessionFile)
    }

    // MARK: Forms

    private func key() throws(CognitoError) -> SealingKey? {
        guard var file = try keys.read(Self.keyFile) else { return nil }
        defer { wipe(&file) }
        let path = keys.path.appending(Self.keyFile)
        guard let key = SealingKey(try Self.content(of: file, Self.keyMagic, path)) else { throw damaged(path) }
        return key
    }

    private static func sealer(_ key: SealingKey) -> Sealer {
        Sealer(key: key.derived(Array("cognitofs session".utf8)))
    }

    /// What follows the magic; tells another version from damage.
    private static func content(of file: [UInt8], _ magic: [UInt8], _ path: FilePath) throws(CognitoError) -> [UInt8] {
        guard file.count >= magic.count, file.prefix(magic.count - 2) == magic.dropLast(2) else {
            throw CognitoError(.storeRefused, "\(path) is damaged.", remedy: PrivateDirectory.startOver)
        }
        guard file.prefix(magic.count) == magic[...] else {
            throw CognitoError(
                .storeRefused, "\(path) was written by another version of cognitofs.",
                remedy: "Use that version, or run `cognitofs logout` and `cognitofs login`.")
        }
        return Array(file.dropFirst(magic.count))
    }

    private func damaged(_ path: FilePath) -> CognitoError {
        CognitoError(
            .storeRefused, "\(path) is damaged, or its key is another one.", remedy: PrivateDirectory.startOver)
    }
}
