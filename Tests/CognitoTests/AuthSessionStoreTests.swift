import Glibc
import HTTPTransport
import Sealing
import SystemPackage
import Testing

@testable import Cognito

/// A store in a directory of its own, removed afterwards.
final class StoreFixture: Sendable {
    let root: FilePath
    let store: AuthSessionStore

    init() throws {
        var template = Array("/tmp/cognitofs-store-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
        root = FilePath(String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
        store = AuthSessionStore(
            keyDirectory: root.appending("state/keys"), sessionDirectory: root.appending("state/session"))
    }

    deinit { Self.remove(root) }

    var keyFile: FilePath { root.appending("state/keys/key") }
    var sessionFile: FilePath { root.appending("state/session/session") }

    func bytes(_ path: FilePath) throws -> [UInt8] {
        Fixture.known(try Descriptor(path.string, O_RDONLY).read(limit: 1 << 20))
    }

    func write(_ bytes: [UInt8], _ path: FilePath) throws {
        let file = try Descriptor(path.string, O_WRONLY | O_TRUNC)
        try file.write(bytes)
    }

    func mode(_ path: FilePath) throws -> mode_t { try Descriptor(path.string, O_RDONLY).status().st_mode & 0o777 }

    func load() -> Result<AuthSession, CognitoError> {
        do throws(CognitoError) { return .success(try store.load()) } catch { return .failure(error) }
    }

    static func names(_ directory: FilePath) -> [String] {
        guard let stream = opendir(directory.string) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    private static func remove(_ path: FilePath) {
        var status = stat()
        guard lstat(path.string, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in names(path) { remove(path.appending(name)) }
            rmdir(path.string)
        } else {
            unlink(path.string)
        }
    }
}

@Suite("The session on disk") struct AuthSessionStoreTests {
    private func code(_ result: Result<AuthSession, CognitoError>) -> CognitoError.Code? {
        if case .failure(let error) = result { return error.code }
        return nil
    }

    /// Refused, with a remedy, and both files are still there.
    private func expectRefusal(_ fixture: StoreFixture, _ what: String = "", line: Int = #line) throws {
        let at = SourceLocation(fileID: #fileID, filePath: #filePath, line: line, column: 1)
        guard case .failure(let error) = fixture.load() else {
            Issue.record("not refused: \(what)", sourceLocation: at)
            return
        }
        #expect(error.code == .storeRefused, "\(what): \(error)", sourceLocation: at)
        #expect(!error.remedy.isEmpty, sourceLocation: at)
        var status = stat()
        #expect(lstat(fixture.sessionFile.string, &status) == 0, "the session was deleted", sourceLocation: at)
        #expect(lstat(fixture.keyFile.string, &status) == 0, "the key was deleted", sourceLocation: at)
    }

    @Test("A session comes back as it was stored, from files that only its owner may use") func roundTrip() async throws
    {
        let fixture = try StoreFixture()
        var session = Fixture.session()
        session.tokens.deviceKey = "us-east-1_device"
        try await fixture.store.begin(session)
        #expect(try fixture.store.load() == session)
        #expect(try fixture.mode(fixture.keyFile) == 0o600)
        #expect(try fixture.mode(fixture.sessionFile) == 0o600)
        #expect(try fixture.mode(fixture.keyFile.removingLastComponent()) == 0o700)
        #expect(try fixture.mode(fixture.sessionFile.removingLastComponent()) == 0o700)
        #expect(StoreFixture.names(fixture.sessionFile.removingLastComponent()) == ["lock", "session"])
    }

    @Test("Nobody signed in is not an error of the store") func nobody() throws {
        let fixture = try StoreFixture()
        #expect(code(fixture.load()) == .notSignedIn)
        #expect(throws: CognitoError.notSignedIn) {
            try fixture.store.dataKey(for: Fixture.known(IdentityID(Fixture.identity)))
        }
    }

    @Test("No secret stands readable in the file") func sealed() async throws {
        let fixture = try StoreFixture()
        try await fixture.store.begin(Fixture.session(refreshToken: "refresh-in-the-clear"))
        let text = String(decoding: try fixture.bytes(fixture.sessionFile), as: UTF8.self)
        #expect(!text.contains("refresh-in-the-clear"))
        #expect(!text.contains("alice"))
    }

    @Test("Any changed byte of the session or its key is noticed") func changedByte() async throws {
        let fixture = try StoreFixture()
        try await fixture.store.begin(Fixture.session())
        for file in [fixture.sessionFile, fixture.keyFile] {
            let good = try fixture.bytes(file)
            for index in good.indices {
                var bad = good
                bad[index] ^= 1
                try fixture.write(bad, file)
                try expectRefusal(fixture, "byte \(index) of \(file)")
            }
            try fixture.write(good, file)
        }
        #expect(code(fixture.load()) == nil)
    }

    @Test("A file cut short at any length, empty or far too large is refused") func truncated() async throws {
        let fixture = try StoreFixture()
        try await fixture.store.begin(Fixture.session())
        for file in [fixture.sessionFile, fixture.keyFile] {
            let good = try fixture.bytes(file)
            for length in 0..<good.count {
                try fixture.write(Array(good.prefix(length)), file)
                try expectRefusal(fixture, "\(length) bytes of \(file)")
            }
            try fixture.write(good + [0], file)
            try expectRefusal(fixture, "one byte more")
            try fixture.write([UInt8](repeating: 0, count: PrivateDirectory.maximumFileBytes + 1), file)
            try expectRefusal(fixture, "far too large")
            try fixture.write(good, file)
        }
    }

    @Test("Another version's file is called that") func otherVersion() async throws {
        let fixture = try StoreFixture()
        try await fixture.store.begin(Fixture.session())
        var bytes = try fixture.bytes(fixture.sessionFile)
        bytes[6] = UInt8(ascii: "2")
        try fixture.write(bytes, fixture.sessionFile)
        guard case .failure(let error) = fixture.load() else {
            Issue.record("not refused")
            return
        }
        #expect(error.message.contains("another version"))
    }

    @Test("A wider mode of a file or directory is refused, and mended by the chmod it names") func widerMode()
        async throws
    {
        let fixture = try StoreFixture()
        try await fixture.store.begin(Fixture.session())
        for (path, good) in [
            (fixture.keyFile, mode_t(0o600)), (fixture.sessionFile, 0o600),
            (fixture.keyFile.removingLastComponent(), 0o700), (fixture.sessionFile.removingLastComponent(), 0o700),
        ] {
            for extra in [mode_t(0o040), 0o004, 0o020, 0o002, 0o010, 0o001] {
                chmod(path.string, good | extra)
                try expectRefusal(fixture, "\(path) with \(String(extra, radix: 8))")
            }
            chmod(path.string, good)
            #expect(code(fixture.load()) == nil)
        }
    }

    @Test("A link in the place of a file or directory is refused, also for writing and removing") func links()
        async throws
    {
        let fixture = try StoreFixture()
        try await fixture.store.begin(Fixture.session())
        for path in [fixture.keyFile, fixture.sessionFile] {
            let aside = path.string + ".aside"
            #expect(rename(path.string, aside) == 0)
            #expect(symlink(aside, path.string) == 0)
            try expectRefusal(fixture, "\(path)")
            let lock = try await fixture.store.lock(.system)
            do throws(CognitoError) {
                try fixture.store.destroy(holding: lock)
                if path == fixture.keyFile { Issue.record("a link was followed") }
            } catch {
                #expect(error.code == .storeRefused)
            }
            #expect(access(aside, F_OK) == 0)
            unlink(path.string)
            #expect(rename(aside, path.string) == 0)
            if path == fixture.keyFile { #expect(code(fixture.load()) == nil) }
        }
        let other = try StoreFixture()
        try await other.store.begin(Fixture.session())
        let directory = other.sessionFile.removingLastComponent()
        #expect(rename(directory.string, directory.string + ".aside") == 0)
        #expect(symlink(directory.string + ".aside", directory.string) == 0)
        try expectRefusal(other, "a linked directory")
    }

    @Test("A file that is no file (directory, fifo) is refused at once") func otherKinds() async throws {
        let fixture = try StoreFixture()
        try await fixture.store.begin(Fixture.session())
        unlink(fixture.sessionFile.string)
        #expect(mkfifo(fixture.sessionFile.string, 0o600) == 0)
        try expectRefusal(fixture, "a fifo")
        unlink(fixture.sessionFile.string)
        #expect(mkdir(fixture.sessionFile.string, 0o700) == 0)
        try expectRefusal(fixture, "a directory")
        rmdir(fixture.sessionFile.string)
        #expect(code(fixture.load()) == .notSignedIn)
    }

    @Test("Another user's file or directory is refused") func wrongOwner() async throws {
        // As root the file is given away; otherwise a directory of root's stands for another user's.
        guard geteuid() == 0 else {
            let store = AuthSessionStore(keyDirectory: "/usr", sessionDirectory: "/usr")
            #expect(throws: CognitoError.self) { try store.load() }
            return
        }
        let fixture = try StoreFixture()
        try await fixture.store.begin(Fixture.session())
        for path in [
            fixture.keyFile, fixture.sessionFile, fixture.keyFile.removingLastComponent(),
            fixture.sessionFile.removingLastComponent(),
        ] {
            chown(path.string, 4242, 4242)
            try expectRefusal(fixture, "\(path)")
            chown(path.string, 0, 0)
        }
        #expect(code(fixture.load()) == nil)
    }

    @Test("Without its key the session says so, and does not pretend that nobody is signed in") func keyMissing()
        async throws
    {
        let fixture = try StoreFixture()
        try await fixture.store.begin(Fixture.session())
        rename(fixture.keyFile.string, fixture.root.appending("elsewhere").string)
        #expect(code(fixture.load()) == .storeRefused)
        rename(fixture.root.appending("elsewhere").string, fixture.keyFile.string)
        #expect(code(fixture.load()) == nil)
    }

    @Test("A crash between writing and renaming leaves the old session and no litter") func crashBeforeRename()
        async throws
    {
        let fixture = try StoreFixture()
        let old = Fixture.session(refreshToken: "old")
        try await fixture.store.begin(old)
        let litter = fixture.sessionFile.string + ".new"
        let file = try Descriptor(litter, O_WRONLY | O_CREAT, mode: 0o600)
        try file.write([1, 2, 3])
        #expect(try fixture.store.load() == old)
        let new = Fixture.session(refreshToken: "new")
        try await fixture.store.begin(new)
        #expect(try fixture.store.load() == new)
        #expect(StoreFixture.names(fixture.sessionFile.removingLastComponent()) == ["lock", "session"])
    }

    @Test("Each user's data has a key of its own; the same after signing in again, lost after destroy")
    func dataKeys() async throws {
        let fixture = try StoreFixture()
        let alice = Fixture.known(IdentityID(Fixture.identity))
        let bob = Fixture.known(IdentityID(Fixture.otherIdentity))
        try await fixture.store.begin(Fixture.session())
        let sealed = Sealer(key: try fixture.store.dataKey(for: alice)).seal([1, 2, 3], additionalData: [])
        #expect(Sealer(key: try fixture.store.dataKey(for: bob)).open(sealed, additionalData: []) == nil)
        try await fixture.store.begin(Fixture.session(refreshToken: "again"))
        #expect(Sealer(key: try fixture.store.dataKey(for: alice)).open(sealed, additionalData: []) == [1, 2, 3])
        let lock = try await fixture.store.lock(.system)
        try fixture.store.destroy(holding: lock)
        #expect(StoreFixture.names(fixture.keyFile.removingLastComponent()).isEmpty)
        #expect(code(fixture.load()) == .notSignedIn)
        #expect(throws: CognitoError.self) { try fixture.store.dataKey(for: alice) }
        _ = consume lock
        try await fixture.store.begin(Fixture.session())
        #expect(Sealer(key: try fixture.store.dataKey(for: alice)).open(sealed, additionalData: []) == nil)
    }

    @Test("Signing out revokes the refresh token, then destroys; a network that is gone is reported and stops nothing")
    func signOut() async throws {
        let fixture = try StoreFixture()
        let service = FakeService()
        let client = try Fixture.client(service)
        try await fixture.store.begin(Fixture.session(refreshToken: "refresh-1"))
        service.on(.revokeToken) { body in
            body.contains(#""Token":"refresh-1""#) ? .json("{}") : .fault("InvalidParameterException", "")
        }
        #expect(try await client.signOut(fixture.store) == nil)
        #expect(code(fixture.load()) == .notSignedIn)
        #expect(try await client.signOut(fixture.store) == nil)
        try await fixture.store.begin(Fixture.session())
        service.on(.revokeToken) { _ in .lost(.notConnected) }
        #expect(try await client.signOut(fixture.store)?.code == .unreachable)
        #expect(code(fixture.load()) == .notSignedIn)
        #expect(StoreFixture.names(fixture.keyFile.removingLastComponent()).isEmpty)
    }

    @Test("Signing out clears a damaged store") func signOutOfDamage() async throws {
        let fixture = try StoreFixture()
        try await fixture.store.begin(Fixture.session())
        try fixture.write([1, 2, 3], fixture.keyFile)
        let client = try Fixture.client(FakeService())
        #expect(try await client.signOut(fixture.store)?.code == .storeRefused)
        #expect(code(fixture.load()) == .notSignedIn)
        try await fixture.store.begin(Fixture.session())
        #expect(code(fixture.load()) == nil)
    }
}
