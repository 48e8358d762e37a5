import CFuse
import FileSystemCore
import Glibc

/// What libfuse calls, one function for each operation: convert, forward, answer.
///
/// They run on libfuse's threads, several at once, and never wait. Pointers are valid during the call only. Operations
/// that are not in the table do not reach us: locks stay in the kernel, access(2) is checked there
/// (`default_permissions`), and ioctl, poll and bmap get the kernel's own answer.
enum Callbacks {
    static func table() -> fuse_lowlevel_ops {
        var table = fuse_lowlevel_ops()
        table.`init` = { Callbacks.connected($0, $1) }
        table.statfs = { request, _ in Callbacks.statfs(FuseRequest(request)) }
        setNames(&table)
        setAttributes(&table)
        setFiles(&table)
        setDirectories(&table)
        return table
    }

    private static func connected(_ userdata: UnsafeMutableRawPointer?, _ info: UnsafeMutablePointer<fuse_conn_info>?) {
        guard let userdata, let info else { preconditionFailure("libfuse gave no connection") }
        Unmanaged<FuseServer>.fromOpaque(userdata).takeUnretainedValue().connected(info)
    }

    private static func statfs(_ request: consuming FuseRequest) {
        let statistics = request.server.fileSystem.statfs()
        let blockSize = max(UInt64(statistics.blockSize), 1)
        var status = statvfs()
        status.f_bsize = UInt(blockSize)
        status.f_frsize = UInt(blockSize)
        status.f_blocks = UInt(statistics.totalBytes / blockSize)
        status.f_bfree = UInt(statistics.freeBytes / blockSize)
        status.f_bavail = status.f_bfree
        status.f_files = UInt(statistics.files)
        status.f_namemax = UInt(statistics.nameLimit)
        fuse_reply_statfs(request.release(), &status)
    }
}

/// A file's handle, for operations that the kernel sends for an open file only.
func handle(_ info: UnsafeMutablePointer<fuse_file_info>?) -> FileHandle {
    guard let info else { preconditionFailure("libfuse gave no file handle") }
    return FileHandle(info.pointee.fh)
}

/// A C string that libfuse always gives.
func required(_ string: UnsafePointer<CChar>?) -> [UInt8] {
    guard let string else { preconditionFailure("libfuse gave no name") }
    return bytes(string)
}

extension FileName {
    init(_ string: UnsafePointer<CChar>?) { self.init(required(string)) }
}
