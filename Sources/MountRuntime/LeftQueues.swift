import Cognito
import FileSystemCore
import Glibc
import Journal
import Sealing
import Settings
import SystemPackage

/// Changes of one identity on this machine that S3 does not have yet.
public struct LeftQueue: Sendable, Equatable {
    /// Where it is mounted; nil for the journal of a mount that has ended.
    public var mountPoint: String?
    /// The directory of the journal.
    public var journal: String
    /// The sign-in name of whoever made them, if that is known.
    public var user: String?
    public var changes: Int
    /// Files that were synced and never closed: nothing sends them.
    public var unclosed = 0

    /// All queues of `identity`: those of its mounts, and those in `journals` that its mounts have left and that open
    /// with its key.
    public static func all(
        of identity: IdentityID, in store: AuthSessionStore, journals: String, sockets: [ControlSocketDirectory]
    ) -> [LeftQueue] {
        let mounts = ControlClient.all(in: sockets).filter { $0.identityID == identity.text }
        var found = mounts.map {
            LeftQueue(
                mountPoint: $0.mountPoint, journal: $0.journal, changes: $0.pending, unclosed: $0.unclosedCount)
        }
        .filter { !$0.isEmpty }
        guard let key = try? store.dataKey(for: identity) else { return found }
        found += left(in: journals, [key, nil], user: nil)
        return found
    }

    /// Removes the journals in `journals` that open with `key`: after signing out, when nobody could read them again.
    public static func removeJournals(in journals: String, key: SealingKey) {
        for name in names(journals) { SpaceJournal.remove(at: FilePath(journals).appending(name), key: key) }
    }

    /// All queues below a state directory that no process has, of whatever app and user, as far as their keys are here.
    public static func abandoned(below stateRoot: String, _ directories: Directories) -> [LeftQueue] {
        names(stateRoot).flatMap { profile in
            let paths = StatePaths(stateRoot: stateRoot, profile: profile, directories)
            let store = AuthSessionStore(
                keyDirectory: FilePath(paths.keys), sessionDirectory: FilePath(paths.session))
            let session = try? store.load()
            let key = session.flatMap { try? store.dataKey(for: $0.identityID) }
            return left(in: paths.journal, [key, Identity.environmentKey, nil], user: session?.signInName)
        }
    }

    /// The journals in `directory` that hold changes and open with one of `keys`; nil opens those that are not sealed.
    private static func left(in directory: String, _ keys: [SealingKey?], user: String?) -> [LeftQueue] {
        names(directory).compactMap { name in
            let journal = FilePath(directory).appending(name)
            for key in keys {
                guard case .count(let changes, let unclosed) = QueuedChanges(in: journal, key: key) else { continue }
                let queue = LeftQueue(journal: journal.string, user: user, changes: changes, unclosed: unclosed)
                return queue.isEmpty ? nil : queue
            }
            return nil
        }
    }

    private var isEmpty: Bool { changes == 0 && unclosed == 0 }

    /// For a sentence: `3 changes of the mount on DIR`.
    public var description: String {
        let parts = [
            changes > 0 ? (changes == 1 ? "1 change" : "\(changes) changes") : nil,
            unclosed > 0 ? (unclosed == 1 ? "1 file" : "\(unclosed) files") + " that no program has closed" : nil,
        ]
        let what = parts.compactMap(\.self).joined(separator: " and ") + (user.map { " of \($0)" } ?? "")
        return mountPoint.map { "\(what) of the mount on \($0)" } ?? "\(what) in \(journal), which nothing mounts"
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
