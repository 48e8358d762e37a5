import Glibc
import Settings

/// Where the control sockets of this user's mounts are: one for each mount, named by its mount point.
public struct ControlSocketDirectory: Sendable, Equatable {
    public let path: String

    public init(path: String) { self.path = path }

    /// The variable that names the one directory to use, for tests and containers.
    public static let variable = "COGNITOFS_RUN_DIR"

    /// Where sockets may be, the preferred place first: `/run/cognitofs` for root, `cognitofs` in $XDG_RUNTIME_DIR or
    /// `/run/user/UID` for others, and `run` below the state directory.
    public static func candidates(
        environment: [String: String], stateRoot: String, userID: uid_t = geteuid()
    ) -> [ControlSocketDirectory] {
        if let only = environment[variable], only.hasPrefix("/") { return [.init(path: only)] }
        var paths: [String] = []
        if userID == 0 {
            paths.append("/run/cognitofs")
        } else {
            if let runtime = environment["XDG_RUNTIME_DIR"], runtime.hasPrefix("/") {
                paths.append(runtime + "/cognitofs")
            }
            paths.append("/run/user/\(userID)/cognitofs")
        }
        if stateRoot.hasPrefix("/") { paths.append(stateRoot + "/run") }
        return paths.reduce(into: []) { list, path in
            if !list.contains(.init(path: path)) { list.append(.init(path: path)) }
        }
    }

    /// The first of `candidates` that exists or can be made, is this user's own and closed to others.
    public static func usable(_ candidates: [ControlSocketDirectory]) throws(MountFailure) -> ControlSocketDirectory {
        var reason = "there is no place for it"
        for candidate in candidates {
            if let problem = candidate.prepare() { reason = problem } else { return candidate }
        }
        throw MountFailure(.disk, "No directory for control sockets can be used: \(reason).")
    }

    /// The file name of the socket of the mount on `mountPoint`.
    public static func socketName(for mountPoint: String) -> String { StableHash.hex(mountPoint) + ".sock" }

    /// The file name of the socket of a process that was unmounted and still sends the changes in `journal`.
    static func socketName(draining journal: String) -> String { StableHash.hex("draining\n" + journal) + ".sock" }

    /// The names of all sockets, dead ones too.
    func socketNames() -> [String] {
        guard let stream = opendir(path) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(".sock") && name.utf8.count == 21 { names.append(name) }
        }
        return names.sorted()
    }

    /// Makes the directory if needed; returns what is wrong with it.
    private func prepare() -> String? {
        Self.makeParents(of: path)
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { return "\(path): \(String(cString: strerror(errno)))" }
        var facts = stat()
        guard lstat(path, &facts) == 0 else { return "\(path): \(String(cString: strerror(errno)))" }
        guard facts.st_mode & S_IFMT == S_IFDIR else { return "\(path) is not a directory" }
        guard facts.st_uid == geteuid() else { return "\(path) belongs to somebody else" }
        guard facts.st_mode & 0o077 == 0 || chmod(path, 0o700) == 0 else { return "\(path) is open to others" }
        return access(path, W_OK) == 0 ? nil : "\(path) can't be written"
    }

    private static func makeParents(of path: String) {
        let parts = path.split(separator: "/").dropLast()
        // /run and /run/user/UID are made by the system or not at all.
        guard !path.hasPrefix("/run/") else { return }
        var parent = ""
        for part in parts {
            parent += "/" + part
            _ = mkdir(parent, 0o700)
        }
    }
}

/// Addresses a socket in a directory through a descriptor of the directory, so that the path always fits.
enum ControlSocketAddress {
    /// Calls `body` with the address of `name` in `directory`; returns -1 with errno set if the directory can't be opened.
    static func with(
        _ directory: ControlSocketDirectory, _ name: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        let folder = open(directory.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { return -1 }
        defer {
            let saved = errno
            close(folder)
            errno = saved
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array("/proc/self/fd/\(folder)/\(name)".utf8)
        guard path.count < MemoryLayout.size(ofValue: address.sun_path) else {
            errno = ENAMETOOLONG
            return -1
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }
}
