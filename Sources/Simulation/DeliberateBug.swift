import Disk
import FileSystemCore
import ObjectStore
import Synchronization
import SystemPackage

/// A bug that a run is given on purpose, so that a test can show that the simulator finds it.
public enum DeliberateBug: String, Sendable, CaseIterable {
    // The disk is asked for less than the core should ask for.
    case rowsNotSynced, stagedNotSynced, namesNotSynced, rowsCutShort
    // The journal's key.
    case reusesNonce, forgetsKey
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
    /// Called when the process is found to have ended in a call.
    let ending: @Sendable () -> Void
    /// Given for a journal that is sealed.
    let watch: SealWatch?

    func open(_ path: FilePath, _ flags: Int32) throws(Errno) -> any DiskFile {
        let file = try run { () throws(Errno) in try disk.open(path, flags) }
        let isRows = path.lastComponent?.string.hasPrefix("rows.log") ?? false
        let isStaged = path.removingLastComponent().lastComponent?.string == "staged"
        return BuggyFile(
            file, self, skipsSync: (bug == .rowsNotSynced && isRows) || (bug == .stagedNotSynced && isStaged),
            cutsWrites: bug == .rowsCutShort && isRows,
            watch.map { WatchedFile($0, path, isRows: isRows, isStaged: isStaged) })
    }

    /// A process that dies in a call asks nobody for anything after it.
    func run<R>(_ body: () throws(Errno) -> R) throws(Errno) -> R {
        do throws(Errno) { return try body() } catch {
            if disk.isDead { ending() }
            throw error
        }
    }

    func createDirectory(_ path: FilePath) throws(Errno) {
        try run { () throws(Errno) in try disk.createDirectory(path) }
    }
    func names(_ path: FilePath) throws(Errno) -> [String] { try run { () throws(Errno) in try disk.names(path) } }
    func rename(_ old: FilePath, to new: FilePath) throws(Errno) {
        try run { () throws(Errno) in try disk.rename(old, to: new) }
    }
    func remove(_ path: FilePath) throws(Errno) { try run { () throws(Errno) in try disk.remove(path) } }
    func removeEmpty(_ path: FilePath) throws(Errno) { try run { () throws(Errno) in try disk.removeEmpty(path) } }
    func syncDirectory(_ path: FilePath) throws(Errno) {
        if bug != .namesNotSynced { try run { () throws(Errno) in try disk.syncDirectory(path) } }
    }
}

private final class BuggyFile: DiskFile {
    private let file: any DiskFile
    private let disk: BuggyDisk
    private let skipsSync: Bool
    private let cutsWrites: Bool
    private let watched: WatchedFile?
    private let writeCount = Mutex(0)

    init(_ file: any DiskFile, _ disk: BuggyDisk, skipsSync: Bool, cutsWrites: Bool, _ watched: WatchedFile?) {
        self.file = file
        self.disk = disk
        self.skipsSync = skipsSync
        self.cutsWrites = cutsWrites
        self.watched = watched
    }

    func status() throws(Errno) -> OpenFile.Status { try file.status() }
    func read(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        let count = try file.read(at: offset, into: buffer)
        watched?.read(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset)
        return count
    }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(Errno) {
        // A short write is taken for a whole one, now and then.
        let isShort = cutsWrites && !bytes.isEmpty && isDue()
        let written = isShort ? UnsafeRawBufferPointer(rebasing: bytes.dropLast()) : bytes
        watched?.write(bytes, at: offset)
        try disk.run { () throws(Errno) in try file.write(written, at: offset) }
    }
    private func isDue() -> Bool {
        writeCount.withLock { count in
            count += 1
            return count % 40 == 39
        }
    }
    func truncate(to size: Int64) throws(Errno) {
        try disk.run { () throws(Errno) in try file.truncate(to: size) }
    }
    func syncData() throws(Errno) { if !skipsSync { try disk.run { () throws(Errno) in try file.syncData() } } }
    func lock(_ mode: OpenFile.LockMode) throws(Errno) -> Bool { try file.lock(mode) }
    func unlock() { file.unlock() }
}
