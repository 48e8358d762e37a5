import Disk
import Journal
import Sealing
import Synchronization
import SystemPackage

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
            mendsRecords: (bug == .takesTornRows && isRows) || (bug == .takesTornBytes && isStaged),
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
    private let mender: TornTail?
    private let watched: WatchedFile?
    private let writeCount = Mutex(0)

    init(
        _ file: any DiskFile, _ disk: BuggyDisk, skipsSync: Bool, cutsWrites: Bool, mendsRecords: Bool,
        _ watched: WatchedFile?
    ) {
        self.file = file
        self.disk = disk
        self.skipsSync = skipsSync
        self.cutsWrites = cutsWrites
        mender = mendsRecords ? TornTail() : nil
        self.watched = watched
    }

    func status() throws(Errno) -> OpenFile.Status { try file.status() }
    func read(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        let count = try file.read(at: offset, into: buffer)
        watched?.read(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset)
        return mender?.mend(buffer, count, at: offset) ?? count
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

/// Has whatever begins like a record open as one: what is missing is zeros, and the checksum is what it should be. A sealed
/// one cannot be mended.
private final class TornTail: Sendable {
    private let salt = Mutex<[UInt8]?>(nil)

    /// Returns how many bytes of `buffer` are said to be read.
    func mend(_ buffer: UnsafeMutableRawBufferPointer, _ count: Int, at offset: Int64) -> Int {
        if offset == 0, count >= Log.headByteCount {
            let isChecked = buffer[Log.sealedPlace] == 0
            let found = Array(buffer[Log.saltPlace])
            salt.withLock { $0 = isChecked ? found : nil }
        }
        guard offset >= Int64(Log.headByteCount), let salt = salt.withLock({ $0 }) else { return count }
        var used = 0
        while let record = Record(loading: .init(rebasing: buffer[used..<max(used, count)])),
            used + record.byteCount <= buffer.count
        {
            let place = UnsafeMutableRawBufferPointer(rebasing: buffer[used..<used + record.byteCount])
            used += record.byteCount
            for index in max(0, record.byteCount - max(0, used - count))..<record.byteCount { place[index] = 0 }
            let body = UnsafeMutableRawBufferPointer(rebasing: place[Record.headByteCount...])
            let data = Array(place[..<Record.sealOffset]) + salt
            let seal = data.withUnsafeBytes {
                BlockGuard.checked.protect(UnsafeRawBufferPointer(body), additionalData: $0, into: body)
            }
            seal.store(into: .init(rebasing: place[Record.sealOffset...]))
        }
        return max(count, used)
    }
}
