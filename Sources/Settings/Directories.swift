import Glibc

/// Where this user's configuration, state and cache are by the rules of the XDG base directories, and where root's are.
public struct Directories: Sendable, Equatable {
    /// In the order of asking.
    public let configurationFiles: [String]
    public let stateRoot: String
    public let cacheRoot: String
    /// For `~/`; nil if the user has none.
    public let home: String?

    /// `environment` is the process's; relative values in it count as unset, as the XDG rules say.
    public init(environment: [String: String], userID: uid_t = geteuid()) {
        let home = Self.absolute(environment["HOME"]) ?? Self.passwordHome(userID)
        func directory(_ name: String, _ fallback: String) -> String? {
            Self.absolute(environment[name]) ?? home.map { $0 + fallback }
        }
        let configuration = directory("XDG_CONFIG_HOME", "/.config").map { $0 + "/cognitofs/mount.conf" }
        configurationFiles = [configuration, "/etc/cognitofs/mount.conf"].compactMap(\.self)
        let isRoot = userID == 0
        stateRoot = isRoot ? "/var/lib/cognitofs" : (directory("XDG_STATE_HOME", "/.local/state") ?? "") + "/cognitofs"
        cacheRoot = isRoot ? "/var/cache/cognitofs" : (directory("XDG_CACHE_HOME", "/.cache") ?? "") + "/cognitofs"
        self.home = home
    }

    /// `path` from the root: `~/` is the home directory, anything else relative lies below `base`.
    public func absolute(_ path: String, below base: String) -> String {
        if path.hasPrefix("~/"), let home { return home + path.dropFirst(1) }
        if path.isEmpty || path.hasPrefix("/") { return path }
        return base.hasSuffix("/") ? base + path : base + "/" + path
    }

    private static func absolute(_ path: String?) -> String? {
        guard let path, path.hasPrefix("/") else { return nil }
        return path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    }

    private static func passwordHome(_ userID: uid_t) -> String? {
        var entry = passwd()
        var result: UnsafeMutablePointer<passwd>?
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16_384) { buffer in
            guard let memory = buffer.baseAddress,
                getpwuid_r(userID, &entry, memory, buffer.count, &result) == 0, result != nil,
                let directory = entry.pw_dir
            else { return String?.none }
            return absolute(String(cString: directory))
        }
    }
}
