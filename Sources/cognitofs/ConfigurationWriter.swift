import Glibc
import Settings

/// Writes a configuration file whole or not at all.
enum ConfigurationWriter {
    /// Makes the directory if it isn't there. With `isPrivate` nobody but the owner can read the file, at no moment.
    static func write(
        _ text: String, to path: String, isPrivate: Bool, replacing: Bool
    ) throws(SettingsError) {
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        makeDirectories(parent)
        let temporary = "\(path).\(getpid()).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, isPrivate ? 0o600 : 0o644)
        guard descriptor >= 0 else { throw failure(path) }
        var problem: SettingsError?
        if !writeAll(text, descriptor) || fsync(descriptor) != 0 { problem = failure(path) }
        close(descriptor)
        // link refuses what is there already, rename replaces it; both show the file only when it is whole.
        if problem == nil, (replacing ? rename(temporary, path) : link(temporary, path)) != 0 {
            problem =
                errno == EEXIST
                ? SettingsError(
                    .exists, "\(path) is there already. Give --force to replace it, or --output another file.")
                : failure(path)
        }
        unlink(temporary)
        if let problem { throw problem }
    }

    private static func failure(_ path: String) -> SettingsError {
        SettingsError(.exists, "\(path) can't be written: \(String(cString: strerror(errno))).")
    }

    private static func writeAll(_ text: String, _ descriptor: Int32) -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    private static func makeDirectories(_ path: String) {
        var parent = ""
        for part in path.split(separator: "/") {
            parent += "/" + part
            _ = mkdir(parent, 0o755)
        }
    }
}
