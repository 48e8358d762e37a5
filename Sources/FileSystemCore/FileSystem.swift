import Bytes
import ObjectStore
import SystemPackage

/// What a kernel binding asks of a file system: the operations of a mounted directory in the kernel's terms, without a
/// FUSE type. The binding translates, this answers.
///
/// Every operation returns at once: with the answer, when memory or this disk can give it, or with work that waits for
/// something and gives the answer later. No operation blocks the calling thread on a network.
public protocol FileSystem: AnyObject, Sendable {
    /// Where to tell the kernel of changes that it did not make. Called once, before the first operation.
    func attach(_ notifier: any KernelNotifier)

    // Names
    func lookup(_ parent: InodeNumber, _ name: FileName) -> Answer<Entry>
    /// Takes back `count` lookups that the kernel had counted.
    func forget(_ inode: InodeNumber, count: UInt64)
    func mkdir(_ parent: InodeNumber, _ name: FileName, mode: UInt32, _ caller: Caller) -> Answer<Entry>
    func mknod(_ parent: InodeNumber, _ name: FileName, mode: UInt32, _ caller: Caller) -> Answer<Entry>
    func symlink(_ target: [UInt8], _ parent: InodeNumber, _ name: FileName, _ caller: Caller) -> Answer<Entry>
    func readlink(_ inode: InodeNumber) -> Answer<[UInt8]>
    func unlink(_ parent: InodeNumber, _ name: FileName) -> Answer<Void>
    func rmdir(_ parent: InodeNumber, _ name: FileName) -> Answer<Void>
    func rename(
        _ parent: InodeNumber, _ name: FileName, to newParent: InodeNumber, _ newName: FileName, _ mode: RenameMode
    ) -> Answer<Void>

    // Attributes
    func getattr(_ inode: InodeNumber, _ handle: FileHandle?) -> Answer<AttributeReply>
    func setattr(
        _ inode: InodeNumber, _ changes: AttributeChanges, _ handle: FileHandle?, _ caller: Caller
    ) -> Answer<AttributeReply>
    func setxattr(_ inode: InodeNumber, _ name: [UInt8], _ value: [UInt8], _ mode: XattrMode) -> Answer<Void>
    func getxattr(_ inode: InodeNumber, _ name: [UInt8]) -> Answer<[UInt8]>
    /// The names, each with a NUL after it.
    func listxattr(_ inode: InodeNumber) -> Answer<[UInt8]>
    func removexattr(_ inode: InodeNumber, _ name: [UInt8]) -> Answer<Void>

    // Files
    /// `flags` are those of open(2); the kernel has checked permissions.
    func open(_ inode: InodeNumber, flags: Int32, _ caller: Caller) -> Answer<Opened>
    func create(
        _ parent: InodeNumber, _ name: FileName, mode: UInt32, flags: Int32, _ caller: Caller
    ) -> Answer<Created>
    /// Fewer bytes than asked only at the end of the file.
    func read(_ inode: InodeNumber, _ handle: FileHandle, offset: Int64, count: Int) -> Answer<[ByteSlice]>
    /// `bytes` is valid during the call only. `mayKillSetID`: the kernel asks that set-id bits be cleared.
    func write(
        _ inode: InodeNumber, _ handle: FileHandle, offset: Int64, _ bytes: UnsafeRawBufferPointer, mayKillSetID: Bool
    ) -> Answer<Int>
    func flush(_ inode: InodeNumber, _ handle: FileHandle, _ caller: Caller) -> Answer<Void>
    func fsync(_ inode: InodeNumber, _ handle: FileHandle, dataOnly: Bool) -> Answer<Void>
    func release(_ inode: InodeNumber, _ handle: FileHandle) -> Answer<Void>
    /// `mode` as in fallocate(2): FALLOC_FL_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE.
    func fallocate(
        _ inode: InodeNumber, _ handle: FileHandle, mode: Int32, offset: Int64, length: Int64
    ) -> Answer<Void>
    /// SEEK_DATA or SEEK_HOLE.
    func lseek(_ inode: InodeNumber, _ handle: FileHandle, offset: Int64, whence: Int32) -> Answer<Int64>
    func copyFileRange(
        from source: InodeNumber, _ sourceHandle: FileHandle, offset: Int64,
        to destination: InodeNumber, _ destinationHandle: FileHandle, offset destinationOffset: Int64, count: Int
    ) -> Answer<Int>

    // Directories
    func opendir(_ inode: InodeNumber) -> Answer<Opened>
    /// Calls `add` with each entry after directory offset `offset` (0: from the start, `.` and `..` included) and the
    /// offset that follows it, until `add` returns false (no room: that entry counts as not given). With `plus`, the
    /// entry carries attributes, and each one given (but `.` and `..`) counts as a lookup.
    func readdir(
        _ inode: InodeNumber, _ handle: FileHandle, offset: UInt64, plus: Bool,
        _ add: (_ entry: DirectoryEntry, _ next: UInt64) -> Bool
    ) throws(Errno)
    func fsyncdir(_ inode: InodeNumber, _ handle: FileHandle) -> Answer<Void>
    func releasedir(_ inode: InodeNumber, _ handle: FileHandle)

    func statfs() -> FileSystemStatistics
}

/// An operation's outcome, now or later.
public enum Answer<Value: Sendable>: Sendable {
    case ready(Value)
    case failed(Errno)
    /// To be run in a task of its own. Cancelling that task (the caller was interrupted) ends it with EINTR.
    case later(@Sendable () async throws(Errno) -> Value)

    /// Waits for it.
    public func value() async throws(Errno) -> Value {
        switch self {
        case .ready(let value): return value
        case .failed(let error): throw error
        case .later(let work): return try await work()
        }
    }
}

/// Tells the kernel what changed behind its back. Implementations queue and return at once, in order.
public protocol KernelNotifier: Sendable {
    /// `name` in `parent` is no longer what the kernel cached.
    func invalidateEntry(_ parent: InodeNumber, _ name: FileName)
    /// `name` is gone, and was `child`.
    func entryDeleted(_ parent: InodeNumber, _ child: InodeNumber, _ name: FileName)
    /// Attributes and, if `data`, cached pages of `inode` are out of date.
    func invalidateInode(_ inode: InodeNumber, data: Bool)
}

/// Identifies a file while mounted; the root is 1. Never used again within one mount.
public struct InodeNumber: Hashable, Sendable {
    public static let root = InodeNumber(1)
    public let value: UInt64
    public init(_ value: UInt64) { self.value = value }
}

/// What an open made.
public struct FileHandle: Hashable, Sendable {
    public let value: UInt64
    public init(_ value: UInt64) { self.value = value }
}

/// A name as the kernel gives it: bytes without `/` and NUL, not yet checked against what S3 can store.
public struct FileName: Hashable, Sendable {
    public let bytes: [UInt8]
    public init(_ bytes: [UInt8]) { self.bytes = bytes }
}

/// Who calls.
public struct Caller: Sendable {
    public var uid: UInt32
    public var gid: UInt32
    /// The thread's id, 0 when it is not visible from here.
    public var pid: Int32
    public var umask: UInt32

    public init(uid: UInt32, gid: UInt32, pid: Int32, umask: UInt32) {
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.umask = umask
    }
}

/// Time since 1970.
public struct Timestamp: Hashable, Sendable {
    public var seconds: Int64
    /// 0 to 999,999,999.
    public var nanoseconds: Int32

    public init(seconds: Int64, nanoseconds: Int32 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }
}

/// As stat(2) shows it.
public struct FileAttributes: Sendable {
    public var inode: InodeNumber
    /// File type and permission bits (`st_mode`).
    public var mode: UInt32
    public var linkCount: UInt32
    public var uid: UInt32
    public var gid: UInt32
    /// Bytes.
    public var size: Int64
    public var accessed: Timestamp
    public var modified: Timestamp
    public var changed: Timestamp

    public init(
        inode: InodeNumber, mode: UInt32, linkCount: UInt32, uid: UInt32, gid: UInt32, size: Int64,
        accessed: Timestamp, modified: Timestamp, changed: Timestamp
    ) {
        self.inode = inode
        self.mode = mode
        self.linkCount = linkCount
        self.uid = uid
        self.gid = gid
        self.size = size
        self.accessed = accessed
        self.modified = modified
        self.changed = changed
    }
}

public struct AttributeReply: Sendable {
    public var attributes: FileAttributes
    /// How long the kernel may keep them, seconds.
    public var timeout: Double

    public init(attributes: FileAttributes, timeout: Double) {
        self.attributes = attributes
        self.timeout = timeout
    }
}

/// A name's answer. Without attributes it is a negative entry: there is no such name, for `entryTimeout`.
/// One with attributes counts as one lookup.
public struct Entry: Sendable {
    public var attributes: FileAttributes?
    /// Seconds.
    public var entryTimeout: Double
    /// Seconds.
    public var attributeTimeout: Double

    public init(attributes: FileAttributes?, entryTimeout: Double, attributeTimeout: Double) {
        self.attributes = attributes
        self.entryTimeout = entryTimeout
        self.attributeTimeout = attributeTimeout
    }
}

public struct DirectoryEntry: Sendable {
    public var name: FileName
    public var inode: InodeNumber
    /// The file type bits of `st_mode`.
    public var type: UInt32
    /// Set for `plus` readers.
    public var entry: Entry?

    public init(name: FileName, inode: InodeNumber, type: UInt32, entry: Entry?) {
        self.name = name
        self.inode = inode
        self.type = type
        self.entry = entry
    }
}

public struct Opened: Sendable {
    public var handle: FileHandle
    /// The kernel may keep its cached pages (or directory entries) from before.
    public var keepCache: Bool

    public init(handle: FileHandle, keepCache: Bool) {
        self.handle = handle
        self.keepCache = keepCache
    }
}

public struct Created: Sendable {
    public var entry: Entry
    public var opened: Opened

    public init(entry: Entry, opened: Opened) {
        self.entry = entry
        self.opened = opened
    }
}

/// What setattr changes; nil stays.
public struct AttributeChanges: Sendable {
    public enum Time: Sendable {
        case now
        case at(Timestamp)
    }
    /// Permission bits, no file type.
    public var mode: UInt32?
    public var uid: UInt32?
    public var gid: UInt32?
    public var size: Int64?
    public var accessed: Time?
    public var modified: Time?
    /// The kernel asks that set-id bits be cleared (FUSE_HANDLE_KILLPRIV).
    public var killsSetID: Bool

    public init(
        mode: UInt32? = nil, uid: UInt32? = nil, gid: UInt32? = nil, size: Int64? = nil, accessed: Time? = nil,
        modified: Time? = nil, killsSetID: Bool = false
    ) {
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.accessed = accessed
        self.modified = modified
        self.killsSetID = killsSetID
    }
}

public enum RenameMode: Sendable { case replace, noReplace, exchange }

public enum XattrMode: Sendable { case any, create, replace }

/// For statfs, in bytes and counts.
public struct FileSystemStatistics: Sendable {
    public var blockSize: UInt32
    public var totalBytes: UInt64
    public var freeBytes: UInt64
    public var files: UInt64
    /// The longest name in bytes.
    public var nameLimit: UInt32

    public init(blockSize: UInt32, totalBytes: UInt64, freeBytes: UInt64, files: UInt64, nameLimit: UInt32) {
        self.blockSize = blockSize
        self.totalBytes = totalBytes
        self.freeBytes = freeBytes
        self.files = files
        self.nameLimit = nameLimit
    }
}
