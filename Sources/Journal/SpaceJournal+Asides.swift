import Disk
import Glibc
import Sealing
import SystemPackage

/// What could not be read, and was put aside for a person to look at or remove.
extension SpaceJournal {
    public struct Aside: Sendable, Equatable {
        /// A directory, or a staged file's log.
        public let path: FilePath
        public let byteCount: Int64
    }

    /// All that was ever put aside here and is there still, by path.
    public var asides: [Aside] {
        let staged = directory.appending(Self.stagedName)
        let journals = names(directory).filter { $0.hasPrefix(Self.asidePrefix) }.map { directory.appending($0) }
        let logs = names(staged).filter(StagedFile.Store.isAside).map { staged.appending($0) }
        return (journals + logs).map { Aside(path: $0, byteCount: size($0, depth: 2)) }
            .sorted { $0.path.string < $1.path.string }
    }

    private func names(_ path: FilePath) -> [String] { (try? disk.names(path)) ?? [] }

    /// Bytes of a file, or of the files in a directory.
    private func size(_ path: FilePath, depth: Int) -> Int64 {
        if depth > 0, let names = try? disk.names(path) {
            return names.reduce(0) { $0 + size(path.appending($1), depth: depth - 1) }
        }
        return (try? disk.open(path, O_RDONLY).status().size) ?? 0
    }

    /// Removes the journal in `directory` with all that is staged there, if it opens with `key` and no process has it: the
    /// key is about to go, or has gone, and nobody could read it again. What was put aside stays.
    public static func remove(at directory: FilePath, key: SealingKey, disk: any DiskAccess = MachineDisk()) {
        do throws(Errno) {
            let owner = try disk.open(directory.appending("owner"), O_RDWR)
            guard try owner.lock(.exclusive) else { return }
            _ = try Log.open(directory.appending(rowsName), .rows, key, on: disk)
            let staged = directory.appending(stagedName)
            for name in try disk.names(staged) where !StagedFile.Store.isAside(name) {
                try disk.remove(staged.appending(name))
            }
            for name in ["reached", rowsName + ".new", rowsName] { try disk.remove(directory.appending(name)) }
        } catch {
            // Another key's, damaged, or not removable: the next mount puts it aside.
        }
    }
}
