import CFuse

extension fuse_conn_info {
    /// Asks for what this binding and the file system core count on. What the kernel lacks is left out; libfuse would
    /// end the session otherwise.
    mutating func negotiate(_ options: FuseOptions) {
        for capability in Self.wanted { ask(capability) }
        for capability in Self.unwanted { want &= ~UInt32(capability) }
        let transferLimit = UInt32(options.transferLimit)
        max_write = min(max_write, transferLimit)
        // Must be what the mount option says.
        max_read = transferLimit
        max_readahead = min(max_readahead, UInt32(options.readAheadLimit))
        // Reads ahead wait for the network, so more of them are under way than from a disk.
        max_background = 64
        congestion_threshold = 48
        time_gran = 1
    }

    private mutating func ask(_ capability: Int32) {
        if capable & UInt32(capability) != 0 { want |= UInt32(capability) }
    }

    private static let wanted: [Int32] = [
        FUSE_CAP_ASYNC_READ, FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_ATOMIC_O_TRUNC,
        FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO, FUSE_CAP_CACHE_SYMLINKS, FUSE_CAP_EXPIRE_ONLY,
        // Beside our own notifications: the kernel drops cached pages when it sees another time or size.
        FUSE_CAP_AUTO_INVAL_DATA,
    ]

    private static let unwanted: [Int32] = [
        // Writes reach the file system when they are made, or O_APPEND breaks across writers.
        FUSE_CAP_WRITEBACK_CACHE,
        // The kernel keeps locks between processes of this machine itself.
        FUSE_CAP_POSIX_LOCKS, FUSE_CAP_FLOCK_LOCKS,
        // Clearing set-id bits stays with the kernel, which asks for it by a change of mode. libfuse 3.14 offers the
        // other way but does not pass it on, and later ones do; this way it is the same with all of them.
        FUSE_CAP_HANDLE_KILLPRIV,
        // Inode numbers end with the mount, so they are no handles for NFS.
        FUSE_CAP_EXPORT_SUPPORT,
        // With it a read or write with O_DIRECT waits so that no signal, not even a fatal one, ends it.
        FUSE_CAP_ASYNC_DIO,
        // Data is in memory, where splicing costs more than one copy.
        FUSE_CAP_SPLICE_READ, FUSE_CAP_SPLICE_WRITE, FUSE_CAP_SPLICE_MOVE,
        FUSE_CAP_IOCTL_DIR, FUSE_CAP_DONT_MASK, FUSE_CAP_POSIX_ACL, FUSE_CAP_EXPLICIT_INVAL_DATA,
    ]
}
