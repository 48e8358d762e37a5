import CFuse
import Glibc
import Logging
import SystemPackage

/// A directory that something can be mounted on.
struct MountPoint {
    static let type = "fuse." + FuseOptions.subtype

    /// Absolute, without symbolic links.
    let path: FilePath

    private var bytes: [UInt8] { path.withPlatformString { FuseBinding.bytes($0) } }

    /// Checks that `path` can be mounted on, and takes away what a session of ours that has died left there.
    init(_ path: String, log: Logger) throws(FuseError) {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw FuseError(.mountPointMissing, "no mount point is given")
        }
        self.path = try Self.resolve(FilePath(path))
        try clearDeadMount(log)
        try checkDirectory()
    }

    /// What is mounted there now, if it is one of ours.
    var mounted: MountTableEntry? {
        guard let entry = MountTable.entry(at: bytes), entry.type == Self.type else { return nil }
        return entry
    }

    /// The mount point of a dead file system has no attributes any more, so only its directory can be resolved then.
    private static func resolve(_ path: FilePath) throws(FuseError) -> FilePath {
        switch realPath(path) {
        case .success(let real): return real
        case .failure(.socketNotConnected):
            if let name = path.lastComponent, case .success(let parent) = realPath(path.removingLastComponent()) {
                return parent.appending(name)
            }
            throw FuseError(
                .deadForeignMount, "\(path) lies in a file system whose server is gone", .socketNotConnected)
        case .failure(.noSuchFileOrDirectory):
            throw FuseError(.mountPointMissing, "mount point \(path) does not exist; make it with mkdir")
        case .failure(.notDirectory):
            throw FuseError(.mountPointNotDirectory, "mount point \(path) does not lie in a directory")
        case .failure(let errno):
            throw FuseError(.mountPointNotReachable, "mount point \(path) cannot be reached", errno)
        }
    }

    private static func realPath(_ path: FilePath) -> Result<FilePath, Errno> {
        let path = path.isEmpty ? "." : path
        guard let real = path.withPlatformString({ realpath($0, nil) }) else { return .failure(Errno(rawValue: errno)) }
        defer { free(real) }
        return .success(FilePath(platformString: real))
    }

    private func clearDeadMount(_ log: Logger) throws(FuseError) {
        // A mount can lie on a mount; the bound is for a table that changes under our hands.
        for _ in 0..<16 {
            guard isDead else {
                guard mounted == nil else {
                    throw FuseError(.alreadyMounted, "\(path) is already mounted; unmount it first, or use it")
                }
                return
            }
            guard mounted != nil else {
                throw FuseError(
                    .deadForeignMount,
                    "on \(path) another file system is mounted, whose server is gone; remove it with: umount -l \(path)",
                    .socketNotConnected)
            }
            log.notice("a mount whose server is gone is removed", metadata: ["path": "\(path)"])
            if let errno = detach() {
                throw FuseError(.mountNotPermitted, "the dead mount on \(path) cannot be removed", errno)
            }
        }
        throw FuseError(.mountFailed, "dead mounts come back on \(path)")
    }

    /// statvfs(3) always asks the server, while attributes may still be cached.
    private var isDead: Bool {
        var status = statvfs()
        return path.withPlatformString { statvfs($0, &status) } != 0 && errno == ENOTCONN
    }

    /// Takes the uppermost mount away, at once for the name and when the last file is closed for the rest. Nil: done.
    func detach() -> Errno? {
        if path.withPlatformString({ umount2($0, Int32(MNT_DETACH)) }) == 0 { return nil }
        let errno = Errno(rawValue: errno)
        guard errno == .notPermitted else { return errno }
        return Fusermount.detach(path) ? nil : errno
    }

    private func checkDirectory() throws(FuseError) {
        var status = stat()
        guard path.withPlatformString({ stat($0, &status) }) == 0 else {
            throw FuseError(.mountPointNotReachable, "mount point \(path) cannot be reached", Errno(rawValue: errno))
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw FuseError(.mountPointNotDirectory, "mount point \(path) is not a directory")
        }
        // What fusermount3 asks of an ordinary user.
        guard geteuid() != 0 else { return }
        let isSticky = status.st_mode & S_ISVTX != 0
        guard path.withPlatformString({ access($0, W_OK) }) == 0, !isSticky || status.st_uid == getuid() else {
            throw FuseError(
                .mountPointNotOwned, "mount point \(path) belongs to somebody else; use a directory of your own")
        }
    }
}
