import Bytes
import Disk
import Glibc
import Logging
import Sealing
import SystemPackage

/// Why a journal cannot be used, with what to do about it.
public struct JournalUnavailable: Error, Sendable, CustomStringConvertible {
    public enum Reason: Sendable, Hashable {
        /// Another process has it: a mount, or one that was unmounted and still uploads.
        case inUse
        case disk(Errno)
    }

    public var path: FilePath
    public var reason: Reason

    public init(path: FilePath, reason: Reason) {
        self.path = path
        self.reason = reason
    }

    public var description: String {
        switch reason {
        case .inUse:
            "the changes of this space in \(path) belong to another mount of it, or to one that still uploads. Unmount that, or wait until it has finished."
        case .disk(let code):
            "cannot keep changed files in \(path): \(code). Make the directory writable for this user, or set state_dir to one that is."
        }
    }
}

/// What one space keeps on this disk that S3 does not have yet: rows (`RowLog`) and staged files, in a directory of their
/// own, which one process at a time has.
///
///     owner         flock(2) on it is held for as long as the process lives
///     rows.log      base and overlay, see `RowLog`
///     staged/       one log per changed file, see `StagedFile`
///     unreadable-*  what was found here and could not be read: put aside, never deleted (`asides`)
public final class SpaceJournal: Sendable {
    public let rows: RowLog
    public let staging: StagedFile.Store
    /// The rows did not end with a whole batch when they were opened: what was cut off may have spoken of any staged file.
    public var isCut: Bool { rows.isCut }
    /// Where whole records that were cut off are kept.
    public var cutAside: FilePath? { rows.cutAside }
    let directory: FilePath
    let disk: any DiskAccess
    /// Held until the journal goes.
    private let owner: any DiskFile

    static let rowsName = "rows.log"
    /// The directory of the staged logs, here and in what is put aside.
    public static let stagedName = "staged"
    static let asidePrefix = "unreadable-"

    /// A name for what cannot be read.
    static func newAside(in directory: FilePath) -> FilePath {
        directory.appending(asidePrefix + Hex.encode(SecureRandom.bytes(6)))
    }

    /// Opens the journal in `directory`, making what is missing. `replay` is called with each row that was set and not
    /// removed since, or replaced, in the order of the log. Without a key, records are checked but not sealed.
    /// `smallestCompaction`: see `StagedFile.Store`.
    public init(
        directory: FilePath, key: SealingKey?, logger: Logger, disk: any DiskAccess = MachineDisk(),
        smallestCompaction: Int64 = StagedFile.Store.usualCompaction,
        replay: (_ name: ArraySlice<UInt8>, _ value: ArraySlice<UInt8>?) -> Void
    ) throws(JournalUnavailable) {
        self.directory = directory
        self.disk = disk
        let isOurs: Bool
        do throws(Errno) {
            try disk.createDirectory(directory)
            owner = try disk.open(directory.appending("owner"), O_RDWR | O_CREAT)
            isOurs = try owner.lock(.exclusive)
        } catch {
            throw JournalUnavailable(path: directory, reason: .disk(error))
        }
        guard isOurs else { throw JournalUnavailable(path: directory, reason: .inUse) }
        do throws(Errno) {
            rows = try Self.openRows(directory, key, disk, logger, replay)
        } catch {
            throw JournalUnavailable(path: directory, reason: .disk(error))
        }
        staging = try StagedFile.Store(
            directory: directory.appending(Self.stagedName), key: key, logger: logger, disk: disk,
            rows: rows, smallestCompaction: smallestCompaction)
    }

    private static func readThrough(_ path: FilePath, _ disk: any DiskAccess) throws(Errno) {
        let file = try disk.open(path, O_RDONLY)
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        var offset: Int64 = 0
        while true {
            let result: Result<Int, Errno> = bytes.withUnsafeMutableBytes { bytes in
                Result { () throws(Errno) in try file.read(at: offset, into: bytes) }
            }
            let count = try result.get()
            if count == 0 { return }
            offset += Int64(count)
        }
    }

    /// Nothing was ever kept there.
    private static func isEmpty(_ directory: FilePath, _ disk: any DiskAccess) throws(Errno) -> Bool {
        let rows = try disk.open(directory.appending(rowsName), O_RDONLY).status().size
        guard rows <= Int64(Log.headByteCount) else { return false }
        guard try disk.names(directory).contains(stagedName) else { return true }
        return try disk.names(directory.appending(stagedName)).isEmpty
    }

    private static func openRows(
        _ directory: FilePath, _ key: SealingKey?, _ disk: any DiskAccess, _ logger: Logger,
        _ replay: (ArraySlice<UInt8>, ArraySlice<UInt8>?) -> Void
    ) throws(Errno) -> RowLog {
        let path = directory.appending(rowsName)
        // A shorter one was being made when its process ended: nothing was ever in it.
        if try disk.names(directory).contains(rowsName),
            try disk.open(path, O_RDONLY).status().size >= Int64(Log.headByteCount)
        {
            do throws(Errno) {
                return try RowLog(opening: path, key, disk, logger, replay)
            } catch .ioError {
                // A disk that does not read is no log of another key: then this throws, and nothing is moved.
                try readThrough(path, disk)
                if try isEmpty(directory, disk) { return try RowLog(creating: path, key, disk, logger) }
                let aside = newAside(in: directory)
                try disk.createDirectory(aside)
                try disk.rename(path, to: aside.appending(rowsName))
                if try disk.names(directory).contains(stagedName) {
                    try disk.rename(directory.appending(stagedName), to: aside.appending(stagedName))
                }
                try disk.syncDirectory(directory)
                logger.error(
                    "The journal of changes does not open with this key and was put aside; signing out destroys the key",
                    metadata: ["path": "\(aside)"])
            }
        }
        return try RowLog(creating: path, key, disk, logger)
    }
}
