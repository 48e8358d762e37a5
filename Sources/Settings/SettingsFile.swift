import Glibc

/// The bytes of a configuration file, and who may read and change it.
struct SettingsFile: Sendable {
    /// More is no configuration.
    static let longest = 1 << 20

    let path: String
    let text: String
    let mode: mode_t

    /// Reads the whole file. Refuses anything that others may change.
    init(path: String) throws(SettingsError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let reason = String(cString: strerror(errno))
            throw SettingsError(.unreadable, "\(path) can't be opened: \(reason). Check the path and its permissions.")
        }
        defer { close(descriptor) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
            throw SettingsError(.unreadable, "\(path) is not a regular file. Name the configuration file itself.")
        }
        guard facts.st_mode & S_IWOTH == 0 else {
            throw SettingsError(
                .exposed, "\(path) can be changed by everybody on this machine. Run: chmod o-w '\(path)'")
        }
        let bytes = try Self.readAll(descriptor, path)
        guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else {
            throw SettingsError(.malformed, "\(path) is not a text file in UTF-8.")
        }
        self.path = path
        self.text = text.hasPrefix("\u{FEFF}") ? String(text.unicodeScalars.dropFirst()) : text
        self.mode = facts.st_mode & 0o777
    }

    /// For tests and for text that has no file of its own.
    init(path: String, text: String, mode: mode_t) {
        self.path = path
        self.text = text
        self.mode = mode
    }

    /// Refuses a file that shows a secret to everybody; warns of one that shows it to a group.
    func checkSecrecy() throws(SettingsError) -> [String] {
        guard mode & S_IROTH == 0 else {
            throw SettingsError(
                .exposed,
                "\(path) holds app_client_secret, and everybody on this machine can read it. Run: chmod 600 '\(path)'")
        }
        guard mode & S_IRGRP == 0 else {
            return ["\(path) holds app_client_secret, and its group can read it."]
        }
        return []
    }

    private static func readAll(_ descriptor: Int32, _ path: String) throws(SettingsError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else {
                throw SettingsError(.unreadable, "\(path) can't be read: \(String(cString: strerror(errno))).")
            }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            guard bytes.count <= longest else {
                throw SettingsError(.malformed, "\(path) is larger than 1 MiB. That is no configuration file.")
            }
        }
    }
}
