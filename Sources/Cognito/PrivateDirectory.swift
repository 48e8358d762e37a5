import Glibc
import SystemPackage

/// A directory for secrets: this user's, 0700, and in it files of this user's with 0600. Anything else is refused with
/// the remedy; nothing is deleted or mended behind a person's back.
struct PrivateDirectory: Sendable {
    let path: FilePath

    /// Larger files are refused unread.
    static let maximumFileBytes = 512 << 10

    /// Which file is there: two equal stamps mean that nobody replaced it, or changed its owner or mode, in between.
    struct Stamp: Hashable, Sendable {
        var inode: UInt64
        var seconds: Int
        var nanoseconds: Int
        var size: Int64
    }

    /// Makes the directory, and those above it, when missing.
    func create() throws(CognitoError) {
        var above: [FilePath] = []
        var current = path
        while !current.isEmpty, access(current.string, F_OK) != 0 {
            above.append(current)
            guard current.removeLastComponent() else { break }
        }
        for missing in above.reversed() where mkdir(missing.string, 0o700) != 0 && errno != EEXIST {
            throw failed("make", missing, Errno(rawValue: errno))
        }
        _ = try open()
    }

    /// Nil when there is no such directory.
    func openIfThere() throws(CognitoError) -> Descriptor? {
        do {
            let directory = try Descriptor(path.string, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            try check(try directory.status(), path, mode: 0o700)
            return directory
        } catch let error as Errno {
            if error == .noSuchFileOrDirectory { return nil }
            throw error == .notDirectory || error == .tooManySymbolicLinkLevels
                ? notOurs(path) : failed("open", path, error)
        } catch let error as CognitoError {
            throw error
        } catch {
            throw failed("open", path, .ioError)
        }
    }

    func open() throws(CognitoError) -> Descriptor {
        guard let directory = try openIfThere() else { throw failed("open", path, .noSuchFileOrDirectory) }
        return directory
    }

    /// The file's bytes; nil when there is none.
    func read(_ name: String) throws(CognitoError) -> [UInt8]? {
        guard let directory = try openIfThere() else { return nil }
        let file = path.appending(name)
        do {
            // Not blocking: a fifo put in the file's place must not hang us.
            let descriptor = try Descriptor(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, in: directory.raw)
            try check(try descriptor.status(), file, mode: 0o600)
            guard let bytes = try descriptor.read(limit: Self.maximumFileBytes) else {
                throw CognitoError(.storeRefused, "\(file) is far too large.", remedy: Self.startOver)
            }
            return bytes
        } catch let error as Errno {
            if error == .noSuchFileOrDirectory { return nil }
            throw error == .tooManySymbolicLinkLevels ? notOurs(file) : failed("read", file, error)
        } catch let error as CognitoError {
            throw error
        } catch {
            throw failed("read", file, .ioError)
        }
    }

    /// Replaces the file so that after any crash either the old or the new one is there, whole. The caller holds the
    /// store's lock: the temporary name is always the same, so that crashes leave no litter.
    func replace(_ name: String, with bytes: [UInt8]) throws(CognitoError) {
        let file = path.appending(name)
        let temporary = name + ".new"
        let directory = try open()
        do throws(Errno) {
            if unlinkat(directory.raw, temporary, 0) != 0, errno != ENOENT { throw Errno(rawValue: errno) }
            let descriptor = try Descriptor(
                temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600, in: directory.raw)
            try descriptor.write(bytes)
            try descriptor.sync()
            guard renameat(directory.raw, temporary, directory.raw, name) == 0 else { throw Errno(rawValue: errno) }
            try directory.sync()
        } catch {
            throw failed("write", file, error)
        }
    }

    /// Overwrites the file's bytes, then removes it. Nothing happens when there is none. A link or another user's file is
    /// refused.
    func destroy(_ name: String) throws(CognitoError) {
        guard let directory = try openIfThere() else { return }
        let file = path.appending(name)
        do {
            let descriptor = try Descriptor(name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK, in: directory.raw)
            let status = try descriptor.status()
            guard status.st_uid == geteuid(), status.st_mode & S_IFMT == S_IFREG else { throw notOurs(file) }
            try descriptor.write([UInt8](repeating: 0, count: min(Int(status.st_size), Self.maximumFileBytes)))
            try descriptor.sync()
            guard unlinkat(directory.raw, name, 0) == 0 else { throw Errno(rawValue: errno) }
            _ = unlinkat(directory.raw, name + ".new", 0)
            try directory.sync()
        } catch let error as Errno {
            if error == .noSuchFileOrDirectory { return }
            throw error == .tooManySymbolicLinkLevels ? notOurs(file) : failed("remove", file, error)
        } catch let error as CognitoError {
            throw error
        } catch {
            throw failed("remove", file, .ioError)
        }
    }

    /// One system call, no check: for noticing that the file was replaced.
    func stamp(_ name: String) -> Stamp? {
        var status = stat()
        guard lstat(path.appending(name).string, &status) == 0 else { return nil }
        return Stamp(
            inode: UInt64(status.st_ino), seconds: status.st_ctim.tv_sec, nanoseconds: status.st_ctim.tv_nsec,
            size: Int64(status.st_size))
    }

    private func check(_ status: stat, _ path: FilePath, mode: mode_t) throws(CognitoError) {
        let kind = mode == 0o700 ? S_IFDIR : S_IFREG
        guard status.st_mode & S_IFMT == kind else { throw notOurs(path) }
        guard status.st_uid == geteuid() else {
            throw CognitoError(
                .storeRefused, "\(path) belongs to user \(status.st_uid), not to you (\(geteuid())).",
                remedy: "Run the command as its owner, or choose another state_dir.")
        }
        guard status.st_mode & 0o077 == 0 else {
            let found = String(status.st_mode & 0o777, radix: 8)
            throw CognitoError(
                .storeRefused, "\(path) may be used by others (mode 0\(found)): its secrets may be known.",
                remedy: "If nobody else uses this machine, run `chmod 0\(String(mode, radix: 8)) '\(path)'`; "
                    + "otherwise `cognitofs logout` and sign in again.")
        }
    }

    private func notOurs(_ path: FilePath) -> CognitoError {
        CognitoError(
            .storeRefused, "\(path) is a link or another kind of file than cognitofs makes.",
            remedy: "Look who put it there, and move it away.")
    }

    private func failed(_ what: String, _ path: FilePath, _ error: Errno) -> CognitoError {
        CognitoError(.storeFailed, "Can't \(what) \(path): \(error).", remedy: "Check the disk and its permissions.")
    }

    static let startOver = "Run `cognitofs logout`, then `cognitofs login`."
}
