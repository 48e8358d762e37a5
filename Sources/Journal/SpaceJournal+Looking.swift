import Disk
import Glibc
import Sealing
import SystemPackage

/// A look into a journal that nobody mounts, without changing it.
extension SpaceJournal {
    public enum Look: Sendable, Hashable {
        case read
        /// A process has it: that is to be asked.
        case inUse
        /// There is none, or it does not open with this key.
        case none
    }

    /// Gives the rows of the journal in `directory` to `replay`, as `init` does. A mount cannot begin meanwhile.
    public static func look(
        at directory: FilePath, key: SealingKey?, disk: any DiskAccess = MachineDisk(),
        replay: (_ name: ArraySlice<UInt8>, _ value: ArraySlice<UInt8>?) -> Void
    ) -> Look {
        do throws(Errno) {
            let owner = try disk.open(directory.appending("owner"), O_RDWR)
            guard try owner.lock(.exclusive) else { return .inUse }
            try RowLog.read(directory.appending(rowsName), key, disk, replay)
            return .read
        } catch {
            return .none
        }
    }
}
