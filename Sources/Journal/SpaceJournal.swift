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
///     unreadable-*  what was found here and did not open with the key: put aside, never deleted
public final class SpaceJournal: Sendable {
    public let rows: RowLog
    public let staging: StagedFile.Store
    /// Held until the journal goes.
    private let owner: OpenFile

    private static let rowsName = "rows.log"
    private static let stagedName = "staged"

    /// Opens the journal in `directory`, making what is missing. `replay` is called with each row that was set and not
    /// removed since, or replaced, in the order of the log. Without a key, records are checked but not sealed.
    public init(
        directory: FilePath, key: SealingKey?, logger: Logger,
        replay: (_ name: ArraySlice<UInt8>, _ value: ArraySlice<UInt8>?) -> Void
    ) throws(JournalUnavailable) {
        let isOurs: Bool
        do throws(Errno) {
            try Directory.create(directory)
            owner = try OpenFile(directory.appending("owner"), O_RDWR | O_CREAT)
            isOurs = try owner.lock(.exclusive)
        } catch {
            throw JournalUnavailable(path: directory, reason: .disk(error))
        }
        guard isOurs else { throw JournalUnavailable(path: directory, reason: .inUse) }
        do throws(Errno) {
            rows = try Self.openRows(directory, key, logger, replay)
        } catch {
            throw JournalUnavailable(path: directory, reason: .disk(error))
        }
        staging = try StagedFile.Store(
            directory: directory.appending(Self.stagedName), key: key, logger: logger)
    }

    private static func openRows(
        _ directory: FilePath, _ key: SealingKey?, _ logger: Logger,
        _ replay: (ArraySlice<UInt8>, ArraySlice<UInt8>?) -> Void
    ) throws(Errno) -> RowLog {
        let path = directory.appending(rowsName)
        if let status = try OpenFile.status(of: path), status.size > 0 {
            do throws(Errno) {
                return try RowLog(opening: path, key, logger, replay)
            } catch .ioError {
                let aside = directory.appending("unreadable-" + Hex.encode(SecureRandom.bytes(6)))
                try Directory.create(aside)
                try Directory.rename(path, to: aside.appending(rowsName))
                if try OpenFile.status(of: directory.appending(stagedName)) != nil {
                    try Directory.rename(directory.appending(stagedName), to: aside.appending(stagedName))
                }
                logger.error(
                    "The journal of changes does not open with this key and was put aside; signing out destroys the key",
                    metadata: ["path": "\(aside)"])
            }
        }
        return try RowLog(creating: path, key, logger)
    }
}
