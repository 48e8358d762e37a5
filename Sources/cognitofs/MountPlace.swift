import Glibc
import Settings

/// What is mounted where, as the command line says.
struct MountPlace: Equatable {
    /// What the list of mounts shows.
    let source: String
    /// As given.
    let directory: String
    /// What an `s3://` source sets.
    let settings: [(name: String, value: String)]

    static func == (a: MountPlace, b: MountPlace) -> Bool {
        a.source == b.source && a.directory == b.directory
            && a.settings.map { $0.name + $0.value } == b.settings.map { $0.name + $0.value }
    }

    /// `places` are `[SOURCE] DIR`.
    init(_ places: [String]) throws(CommandFailure) {
        directory = places.last ?? ""
        guard !directory.isEmpty else { throw CommandFailure(.usage, "The directory to mount on is empty.") }
        guard places.count > 1, let first = places.first, !first.isEmpty else {
            source = "cognitofs"
            settings = []
            return
        }
        if first.hasPrefix("s3://") {
            source = first
            settings = try Self.space(first)
            return
        }
        // mount(8) makes a path of a name that is also a file's where it is run.
        source = first.hasPrefix("/") ? String(first.split(separator: "/").last ?? "") : first
        if !source.isEmpty, source.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) }) {
            settings = []
        } else {
            throw CommandFailure(
                .usage, "The source \(first) is neither s3://BUCKET/PREFIX nor a plain name such as cognitofs.")
        }
    }

    private static func space(_ source: String) throws(CommandFailure) -> [(name: String, value: String)] {
        let rest = source.dropFirst("s3://".count)
        let bucket = rest.prefix { $0 != "/" }
        guard !bucket.isEmpty else {
            throw CommandFailure(.usage, "The source \(source) names no bucket: write s3://BUCKET/PREFIX.")
        }
        return [("bucket", String(bucket)), ("prefix", String(rest.dropFirst(bucket.count + 1)))]
    }

    /// Says what is wrong with `path` before anything is started. Whether a mount on it lives or has died is for the mount
    /// itself to find out: the kernel may still have the attributes of a dead one.
    static func checkDirectory(_ path: String) throws(CommandFailure) {
        var facts = stat()
        guard stat(path, &facts) == 0 else {
            if errno == ENOTCONN || errno == EIO { return }
            throw CommandFailure(.mount, "The mount point \(path) can't be used: \(String(cString: strerror(errno))).")
        }
        guard facts.st_mode & S_IFMT == S_IFDIR else {
            throw CommandFailure(.mount, "The mount point \(path) is not a directory. Give a directory.")
        }
    }
}

/// Credentials from the usual AWS variables.
enum EnvironmentCredentials {
    /// Takes the region from the environment too if nothing sets it, and says which variable is missing.
    static func complete(
        _ settings: inout MountSettings, _ environment: [String: String]
    ) throws(CommandFailure) {
        guard settings.credentials == .environment else { return }
        if settings.region.isEmpty {
            settings.region = environment["AWS_REGION"] ?? environment["AWS_DEFAULT_REGION"] ?? ""
        }
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] where environment[name, default: ""].isEmpty {
            throw CommandFailure(
                .configuration,
                "Credentials come from the environment, and \(name) isn't set there. Set it, or use "
                    + "--credentials cognito.")
        }
    }
}
