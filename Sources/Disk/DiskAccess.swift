import Glibc
import SystemPackage

/// The part of a file system that what must survive a crash is built on. `MachineDisk` is the real one; `SimulatedDisk`
/// forgets, in a crash, what was not synced.
///
/// Any thread may call anything. Every call may block on the disk, never on the network.
public protocol DiskAccess: Sendable {
    /// Opens a file with the flags of open(2); a new file is for this user only.
    func open(_ path: FilePath, _ flags: Int32) throws(Errno) -> any DiskFile

    /// Makes `path` and what is missing above it, for this user only. The names it made are on the disk when it returns.
    func createDirectory(_ path: FilePath) throws(Errno)

    /// The names in `path` without `.` and `..`, in no order.
    func names(_ path: FilePath) throws(Errno) -> [String]

    /// Gives a file another name; one that has that name already loses it in the same step.
    func rename(_ old: FilePath, to new: FilePath) throws(Errno)

    /// Removes a file; one that is not there is a success.
    func remove(_ path: FilePath) throws(Errno)

    /// Removes an empty directory; one that is not there is a success.
    func removeEmpty(_ path: FilePath) throws(Errno)

    /// Returns when the names in the directory at `path` are on the disk.
    func syncDirectory(_ path: FilePath) throws(Errno)
}

/// An open file, closed when the last reference goes. Calls take explicit offsets, so any thread may read and write at
/// once.
public protocol DiskFile: AnyObject, Sendable {
    func status() throws(Errno) -> OpenFile.Status

    /// Reads until `buffer` is full or the file ends; returns how much was read.
    func read(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int

    /// Writes all of `bytes`, or throws with an unknown part of them written.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(Errno)

    func truncate(to size: Int64) throws(Errno)

    /// Takes room for bytes that are to be written, also past the end, where the size stays as it is; what is reserved past
    /// the end is lost by `truncate`. Does nothing where that cannot be done.
    func reserve(_ range: Range<Int64>) throws(Errno)

    /// Returns when the bytes, and what is needed to find them, are on the disk. After an error the disk may have lost
    /// any byte written since the last success, and a later success says nothing about those.
    func syncData() throws(Errno)

    /// Locks the whole file as flock(2) does, until unlocked or closed. False when another open of it is in the way.
    func lock(_ mode: OpenFile.LockMode) throws(Errno) -> Bool

    func unlock()
}

extension DiskFile {
    public func reserve(_ range: Range<Int64>) throws(Errno) {}
}

extension OpenFile: DiskFile {}

/// The disk of this machine.
public struct MachineDisk: DiskAccess {
    public init() {}

    public func open(_ path: FilePath, _ flags: Int32) throws(Errno) -> any DiskFile { try OpenFile(path, flags) }

    public func createDirectory(_ path: FilePath) throws(Errno) {
        if try OpenFile.status(of: path) != nil { return }
        let parent = path.removingLastComponent()
        if !parent.isEmpty { try createDirectory(parent) }
        try Directory.create(path)
        try syncDirectory(parent.isEmpty ? "." : parent)
    }

    public func names(_ path: FilePath) throws(Errno) -> [String] { try Directory.names(path) }

    public func rename(_ old: FilePath, to new: FilePath) throws(Errno) { try Directory.rename(old, to: new) }

    public func remove(_ path: FilePath) throws(Errno) { try Directory.remove(path) }

    public func removeEmpty(_ path: FilePath) throws(Errno) { try Directory.removeEmpty(path) }

    public func syncDirectory(_ path: FilePath) throws(Errno) { try OpenFile.syncDirectory(path) }
}
