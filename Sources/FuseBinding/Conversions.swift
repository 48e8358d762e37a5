import CFuse
import FileSystemCore
import Glibc

extension stat {
    init(_ attributes: FileAttributes) {
        self.init()
        st_ino = ino_t(attributes.inode.value)
        st_mode = attributes.mode
        st_nlink = nlink_t(attributes.linkCount)
        st_uid = attributes.uid
        st_gid = attributes.gid
        st_size = Int(attributes.size)
        st_blksize = 4096
        // In units of 512 bytes, whatever the block size; du(1) adds these up.
        st_blocks = (Int(attributes.size) + 511) / 512
        st_atim = timespec(attributes.accessed)
        st_mtim = timespec(attributes.modified)
        st_ctim = timespec(attributes.changed)
    }
}

extension timespec {
    init(_ time: Timestamp) {
        self.init(tv_sec: Int(time.seconds), tv_nsec: Int(time.nanoseconds))
    }
}

extension Timestamp {
    init(_ time: timespec) {
        self.init(seconds: Int64(time.tv_sec), nanoseconds: Int32(truncatingIfNeeded: time.tv_nsec))
    }
}

extension fuse_entry_param {
    /// Inode numbers are never used again within a mount, so one generation is enough. Inode 0 is a negative entry.
    init(_ entry: Entry) {
        self.init()
        entry_timeout = entry.entryTimeout
        attr_timeout = entry.attributeTimeout
        guard let attributes = entry.attributes else { return }
        ino = attributes.inode.value
        attr = stat(attributes)
    }
}

extension fuse_file_info {
    init(_ opened: Opened) {
        self.init()
        fh = opened.handle.value
        keep_cache = opened.keepCache ? 1 : 0
    }
}

extension AttributeChanges {
    /// `valid` says which members of `status` mean something (`FUSE_SET_ATTR_*`).
    init(_ status: stat, valid: Int32) {
        func has(_ bit: Int32) -> Bool { valid & bit != 0 }
        self.init()
        if has(FUSE_SET_ATTR_MODE) { mode = status.st_mode & 0o7777 }
        if has(FUSE_SET_ATTR_UID) { uid = status.st_uid }
        if has(FUSE_SET_ATTR_GID) { gid = status.st_gid }
        if has(FUSE_SET_ATTR_SIZE) { size = Int64(status.st_size) }
        if has(FUSE_SET_ATTR_ATIME_NOW) {
            accessed = .now
        } else if has(FUSE_SET_ATTR_ATIME) {
            accessed = .at(Timestamp(status.st_atim))
        }
        if has(FUSE_SET_ATTR_MTIME_NOW) {
            modified = .now
        } else if has(FUSE_SET_ATTR_MTIME) {
            modified = .at(Timestamp(status.st_mtim))
        }
        killsSetID = has(FUSE_SET_ATTR_KILL_SUID) || has(FUSE_SET_ATTR_KILL_SGID)
    }
}

/// The bytes of a C string, without its NUL.
func bytes(_ string: UnsafePointer<CChar>) -> [UInt8] {
    Array(UnsafeRawBufferPointer(start: string, count: strlen(string)))
}

/// Lends `bytes` with a NUL after them.
func withTerminated<R>(_ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> R) -> R {
    withUnsafeTemporaryAllocation(byteCount: bytes.count + 1, alignment: 1) { room in
        room.copyBytes(from: bytes)
        room[bytes.count] = 0
        guard let start = room.baseAddress else { preconditionFailure("an allocation without an address") }
        return body(UnsafePointer(start.assumingMemoryBound(to: CChar.self)))
    }
}
