import Disk
import FileSystemCore
import ObjectStore
import Synchronization
import SystemPackage

/// A bug that a run is given on purpose, so that a test can show that the simulator finds it.
public enum DeliberateBug: String, Sendable, CaseIterable {
    // The disk is asked for less than the core should ask for.
    case rowsNotSynced, stagedNotSynced, namesNotSynced, rowsCutShort
    // The store is asked for something else than the core should ask for.
    case putUnconditionally, deleteUnconditionally, copyUnconditionally, conflictTakenForSuccess, deleteBeforeCopy
    case listingEndsEarly, anyVersionRead
    // The core itself; see `DeliberateFault`.
    case forgetsIntent, forgetsNode, acknowledgesEarly, publishesUnclosed, forgetsAttempts, keepsOldVersion

    var faults: Set<DeliberateFault> { DeliberateFault(rawValue: rawValue).map { [$0] } ?? [] }
}

/// A disk, but for the bug of the run.
struct BuggyDisk: DiskAccess {
    let disk: SimulatedDisk
    let bug: DeliberateBug?

    func open(_ path: FilePath, _ flags: Int32) throws(Errno) -> any DiskFile {
        let file = try disk.open(path, flags)
        let isRows = path.lastComponent?.string.hasPrefix("rows.log") ?? false
        let isStaged = path.removingLastComponent().lastComponent?.string == "staged"
        switch bug {
        case .rowsNotSynced where isRows: return BuggyFile(file, skipsSync: true)
        case .rowsCutShort where isRows: return BuggyFile(file, cutsWrites: true)
        case .stagedNotSynced where isStaged: return BuggyFile(file, skipsSync: true)
        default: return file
        }
    }

    func createDirectory(_ path: FilePath) throws(Errno) { try disk.createDirectory(path) }
    func names(_ path: FilePath) throws(Errno) -> [String] { try disk.names(path) }
    func rename(_ old: FilePath, to new: FilePath) throws(Errno) { try disk.rename(old, to: new) }
    func remove(_ path: FilePath) throws(Errno) { try disk.remove(path) }
    func removeEmpty(_ path: FilePath) throws(Errno) { try disk.removeEmpty(path) }
    func syncDirectory(_ path: FilePath) throws(Errno) {
        if bug != .namesNotSynced { try disk.syncDirectory(path) }
    }
}

private final class BuggyFile: DiskFile {
    private let file: any DiskFile
    private let skipsSync: Bool
    private let cutsWrites: Bool
    private let writeCount = Mutex(0)

    init(_ file: any DiskFile, skipsSync: Bool = false, cutsWrites: Bool = false) {
        self.file = file
        self.skipsSync = skipsSync
        self.cutsWrites = cutsWrites
    }

    func status() throws(Errno) -> OpenFile.Status { try file.status() }
    func read(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        try file.read(at: offset, into: buffer)
    }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(Errno) {
        let count = writeCount.withLock { count in
            count += 1
            return count
        }
        // A short write is taken for a whole one, now and then.
        let isShort = cutsWrites && count % 40 == 39 && !bytes.isEmpty
        try file.write(isShort ? UnsafeRawBufferPointer(rebasing: bytes.dropLast()) : bytes, at: offset)
    }
    func truncate(to size: Int64) throws(Errno) { try file.truncate(to: size) }
    func syncData() throws(Errno) { if !skipsSync { try file.syncData() } }
    func lock(_ mode: OpenFile.LockMode) throws(Errno) -> Bool { try file.lock(mode) }
    func unlock() { file.unlock() }
}
