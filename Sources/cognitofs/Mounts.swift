import Glibc
import MountRuntime
import Settings

/// The mounts of cognitofs on this machine, as the kernel and their daemons tell.
enum Mounts {
    /// What the kernel says of one mount.
    struct Entry: Equatable {
        let mountPoint: String
        let type: String
        let source: String

        var isOurs: Bool { type == "fuse.cognitofs" || type == "fuse" && source.hasPrefix("cognitofs") }
    }

    /// All live mounts of this user.
    static func all(stateRoot: String) -> [MountStatus] { ControlClient.all(in: directories(stateRoot)) }

    static func client(_ mountPoint: String, stateRoot: String) -> ControlClient? {
        ControlClient(mountPoint: mountPoint, in: directories(stateRoot))
    }

    static func directories(_ stateRoot: String) -> [ControlSocketDirectory] {
        ControlSocketDirectory.candidates(environment: Surroundings.environment, stateRoot: stateRoot)
    }

    /// The state directory of `--state-dir`, or the usual one.
    static func stateRoot(_ given: String?) -> String {
        let directories = Directories(environment: Surroundings.environment)
        return given.map { directories.absolute($0, below: Surroundings.workingDirectory) } ?? directories.stateRoot
    }

    /// The state directory of `--state-dir`; otherwise the usual one and that of the usual configuration, if it names one.
    static func stateRoots(_ given: String?) -> [String] {
        let usual = stateRoot(given)
        let sources = SettingsSources(
            environment: Surroundings.environment, workingDirectory: Surroundings.workingDirectory)
        guard given == nil, let configured = try? sources.load().settings.stateDirectory, !configured.isEmpty,
            configured != usual
        else { return [usual] }
        return [usual, configured]
    }

    /// Changes that no process brings to S3, and files that none would.
    static func abandoned(_ given: String?) -> [LeftQueue] {
        let directories = Directories(environment: Surroundings.environment)
        return stateRoots(given).flatMap { LeftQueue.abandoned(below: $0, directories) }
    }

    /// A mount of ours that `path` lies in and that nobody answers for; `path` may be one that nothing can look at.
    static func dead(above path: String, stateRoot: String) -> String? {
        let directories = Directories(environment: Surroundings.environment)
        let absolute = directories.absolute(path, below: Surroundings.workingDirectory)
        let entry = entries().last { $0.isOurs && MountedPath.below($0.mountPoint, absolute) != nil }
        return entry.flatMap { client($0.mountPoint, stateRoot: stateRoot) == nil ? $0.mountPoint : nil }
    }

    /// The topmost mount on each mount point, from /proc/self/mountinfo.
    static func entries() -> [Entry] {
        guard let file = fopen("/proc/self/mountinfo", "re") else { return [] }
        defer { fclose(file) }
        var found: [Entry] = []
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, file) > 0, let line {
            if let entry = Entry(mountInfo: String(cString: line)) { found.append(entry) }
        }
        return found
    }

    /// `path` from the root without links, dots and doubled slashes. Works for a mount point whose daemon has died, which
    /// nobody can look at.
    static func absolute(_ path: String) -> String? {
        if let resolved = resolve(path) { return resolved }
        guard errno == ENOTCONN || errno == EIO else { return nil }
        var parts = (path.hasPrefix("/") ? path : Surroundings.workingDirectory + "/" + path).split(separator: "/")
        guard let last = parts.popLast(), let parent = resolve("/" + parts.joined(separator: "/")) else { return nil }
        return (parent == "/" ? "" : parent) + "/" + last
    }

    private static func resolve(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}

extension Mounts.Entry {
    /// A line of mountinfo: 36 35 98:0 /root /mountpoint options optional… - type source superoptions (proc(5)).
    init?(mountInfo line: String) {
        let fields = line.split(whereSeparator: { $0 == " " || $0 == "\n" })
        guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 2 else { return nil }
        mountPoint = Self.unescaped(fields[4])
        type = Self.unescaped(fields[dash + 1])
        source = Self.unescaped(fields[dash + 2])
    }

    /// Blanks, tabs, line ends and backslashes are written as three octal digits.
    private static func unescaped(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = field.utf8[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == UInt8(ascii: "\\"), digits.count == 3,
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
