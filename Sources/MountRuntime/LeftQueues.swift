import Cognito
import FileSystemCore
import Glibc
import SystemPackage

/// Changes of one identity on this machine that S3 does not have yet.
public struct LeftQueue: Sendable, Equatable {
    /// Where it is mounted; nil for the journal of a mount that has ended.
    public var mountPoint: String?
    /// The directory of the journal.
    public var journal: String
    public var changes: Int

    /// All queues of `identity`: those of its mounts, and those in `journals` that its mounts have left and that open
    /// with its key.
    public static func all(
        of identity: IdentityID, in store: AuthSessionStore, journals: String, sockets: [ControlSocketDirectory]
    ) -> [LeftQueue] {
        let mounts = ControlClient.all(in: sockets).filter { $0.identityID == identity.text }
        var found = mounts.filter { $0.pending > 0 }.map {
            LeftQueue(mountPoint: $0.mountPoint, journal: $0.journal, changes: $0.pending)
        }
        guard let key = try? store.dataKey(for: identity) else { return found }
        for name in names(journals) {
            let directory = journals + "/" + name
            guard case .count(let count) = QueuedChanges(in: FilePath(directory), key: key), count > 0 else { continue }
            found.append(LeftQueue(journal: directory, changes: count))
        }
        return found
    }

    /// For a sentence: `3 changes of the mount on DIR`.
    public var description: String {
        let count = changes == 1 ? "1 change" : "\(changes) changes"
        return mountPoint.map { "\(count) of the mount on \($0)" } ?? "\(count) in \(journal), which nothing mounts"
    }

    private static func names(_ directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }
}
