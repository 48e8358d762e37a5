import Bytes
import Disk
import Glibc
import Logging
import Sealing
import Synchronization
import SystemPackage

/// Why files cannot be staged at all, with what to do about it.
public struct StagingUnavailable: Error, Sendable, CustomStringConvertible {
    public var path: FilePath
    public var code: Errno
    public var description: String {
        "cannot keep changed files in \(path): \(code). Make the directory writable for this user, or set state_dir to one that is."
    }
}

extension StagedFile {
    /// Where staged files live and what they are sealed with.
    ///
    /// Each store has a directory of its own below the given one, and holds flock(2) on the file `owner` in it for as long
    /// as the process lives. A directory whose `owner` nobody locks is left over from a process that died.
    public struct Store: Sendable {
        let directory: FilePath
        let key: SealingKey?
        let logger: Logger
        let disk: any DiskAccess
        /// Room for a megabyte of records. Two writers and two readers find one ready; more get fresh memory.
        let pool = ScratchPool(byteCount: Log.bufferByteCount, idleLimit: 4)
        private let claims: Claims

        /// Makes what is missing. Without a key, records are checked but not sealed.
        public init(
            directory: FilePath, key: SealingKey?, logger: Logger, disk: any DiskAccess = MachineDisk()
        ) throws(StagingUnavailable) {
            do throws(Errno) {
                try disk.createDirectory(directory)
                claims = try Claims(root: directory, disk)
            } catch {
                throw StagingUnavailable(path: directory, code: error)
            }
            self.directory = claims.own
            self.key = key
            self.logger = logger
            self.disk = disk
        }

        /// Makes an empty staged file over a base of `baseSize` bytes (0 for a new file).
        public func create(baseSize: Int64) throws(Errno) -> StagedFile {
            guard baseSize >= 0 else { throw .invalidArgument }
            let path = directory.appending(Hex.encode(SecureRandom.bytes(12)) + ".log")
            let log = try Log.create(path, baseSize: baseSize, key, on: disk)
            return StagedFile(path, self, Contents(log), LogWriter())
        }

        /// The logs of owners that are dead. They belong to this store from now on: no other store lists them while it
        /// lives. The caller recovers or removes each.
        public func leftovers() throws(Errno) -> [FilePath] { try claims.leftovers() }

        static func temporaryName(of path: FilePath) -> String { (path.lastComponent?.string ?? "") + ".new" }
    }
}

/// The directories of one root that this process owns: its own, and those it took over.
private final class Claims: Sendable {
    let own: FilePath
    private let root: FilePath
    private let disk: any DiskAccess
    /// The locks, by directory name; held until the store goes. Guards the dictionary; taken by `leftovers` only.
    private let locks: Mutex<[String: any DiskFile]>

    private static let lockName = "owner"
    private static let attemptLimit = 16

    init(root: FilePath, _ disk: any DiskAccess) throws(Errno) {
        self.root = root
        self.disk = disk
        for _ in 0..<Self.attemptLimit {
            let name = Hex.encode(SecureRandom.bytes(8))
            let path = root.appending(name)
            try disk.createDirectory(path)
            // Between the two a store that looks for leftovers may take the new directory for one, and remove it.
            if let lock = try Self.lock(path, disk) {
                own = path
                locks = Mutex([name: lock])
                return
            }
        }
        throw .resourceBusy
    }

    /// Nil when another process has it, or the directory is gone.
    private static func lock(_ directory: FilePath, _ disk: any DiskAccess) throws(Errno) -> (any DiskFile)? {
        do throws(Errno) {
            let file = try disk.open(directory.appending(lockName), O_RDWR | O_CREAT)
            guard try file.lock(.exclusive) else { return nil }
            // A remover may have had it before: then the name is gone, and with it the claim.
            return try file.status().linkCount > 0 ? file : nil
        } catch .noSuchFileOrDirectory {
            return nil
        } catch .notDirectory {
            return nil
        }
    }

    func leftovers() throws(Errno) -> [FilePath] {
        var found: [FilePath] = []
        for name in try disk.names(root) where root.appending(name) != own {
            let path = root.appending(name)
            let isOurs = try locks.withLock { (locks) throws(Errno) in
                if locks[name] == nil { locks[name] = try Self.lock(path, disk) }
                return locks[name] != nil
            }
            if !isOurs { continue }
            let logs = try clean(path)
            if logs.isEmpty { forget(name) }
            found += logs
        }
        return found.sorted { $0.string < $1.string }
    }

    /// Removes compactions that were not finished; returns the logs.
    private func clean(_ directory: FilePath) throws(Errno) -> [FilePath] {
        var logs: [FilePath] = []
        for name in try disk.names(directory) {
            if name.hasSuffix(".log") { logs.append(directory.appending(name)) }
            if name.hasSuffix(".new") { try disk.remove(directory.appending(name)) }
        }
        return logs
    }

    private func forget(_ name: String) {
        // What can't be removed is an empty directory, found again next time.
        try? disk.remove(root.appending(name).appending(Self.lockName))
        try? disk.removeEmpty(root.appending(name))
        locks.withLock { $0[name] = nil }
    }

    deinit {
        // Succeeds only when no log is left.
        let name = own.lastComponent?.string ?? ""
        guard let left = try? disk.names(own), left == [Self.lockName] else { return }
        forget(name)
    }
}
