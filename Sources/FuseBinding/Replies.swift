import Bytes
import CFuse
import FileSystemCore
import Glibc
import SystemPackage

/// How one kind of value goes back to the kernel.
protocol Reply<Value>: Sendable {
    associatedtype Value: Sendable
    func send(_ value: Value, to request: consuming FuseRequest)
}

struct DoneReply: Reply {
    func send(_ value: Void, to request: consuming FuseRequest) { request.succeed() }
}

struct EntryReply: Reply {
    func send(_ entry: Entry, to request: consuming FuseRequest) {
        let server = request.server
        var parameters = fuse_entry_param(entry)
        // The kernel did not take the answer, so it has not counted the lookup either.
        if fuse_reply_entry(request.release(), &parameters) != 0, let inode = entry.attributes?.inode {
            server.fileSystem.forget(inode, count: 1)
        }
    }
}

struct AttributesReply: Reply {
    func send(_ value: AttributeReply, to request: consuming FuseRequest) {
        var status = stat(value.attributes)
        fuse_reply_attr(request.release(), &status, value.timeout)
    }
}

struct LinkTargetReply: Reply {
    func send(_ target: [UInt8], to request: consuming FuseRequest) {
        let raw = request.release()
        withTerminated(target) { _ = fuse_reply_readlink(raw, $0) }
    }
}

/// Bytes read. Nothing is copied unless there are more pieces than one system call takes.
struct DataReply: Reply {
    /// What the kernel has room for, bytes.
    let limit: Int

    func send(_ slices: [ByteSlice], to request: consuming FuseRequest) {
        precondition(slices.reduce(0) { $0 + $1.count } <= limit, "more bytes read than asked")
        let raw = request.release()
        // libfuse adds one vector for its header.
        if slices.count < vectorLimit {
            sendVectors(slices, to: raw)
        } else {
            let whole = slices.flatMap { $0.array() }
            _ = whole.withUnsafeBytes {
                fuse_reply_buf(raw, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
            }
        }
    }

    private func sendVectors(_ slices: [ByteSlice], to raw: fuse_req_t) {
        guard slices.count > 1 else {
            guard let only = slices.first else {
                fuse_reply_buf(raw, nil, 0)
                return
            }
            only.withBytes { _ = fuse_reply_buf(raw, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count) }
            return
        }
        // The pointers stay valid outside of `writable` because the slices hold their buffers until the reply is sent.
        withExtendedLifetime(slices) {
            withUnsafeTemporaryAllocation(of: iovec.self, capacity: slices.count) { vectors in
                for (index, slice) in slices.enumerated() {
                    let start = slice.buffer.writable.baseAddress.map { $0 + slice.range.lowerBound }
                    vectors.initializeElement(at: index, to: iovec(iov_base: start, iov_len: slice.count))
                }
                _ = fuse_reply_iov(raw, vectors.baseAddress, Int32(slices.count))
            }
        }
    }
}

/// Linux takes 1024 vectors in a call.
private let vectorLimit = 1024

/// Bytes written or copied.
struct CountReply: Reply {
    /// The most that a reply can say, in whole pages.
    static let largest = 0xffff_f000

    /// What was asked for.
    let limit: Int

    func send(_ count: Int, to request: consuming FuseRequest) {
        precondition((0...limit).contains(count), "more bytes written than given")
        fuse_reply_write(request.release(), count)
    }
}

struct OffsetReply: Reply {
    func send(_ offset: Int64, to request: consuming FuseRequest) { fuse_reply_lseek(request.release(), off_t(offset)) }
}

/// An extended attribute or the list of their names: its size, if only that was asked, or itself, if there is room.
struct XattrReply: Reply {
    /// The room in bytes; 0 asks for the size.
    let size: Int

    func send(_ value: [UInt8], to request: consuming FuseRequest) {
        if size == 0 {
            fuse_reply_xattr(request.release(), value.count)
        } else if value.count > size {
            request.fail(.outOfRange)
        } else {
            let raw = request.release()
            value.withUnsafeBytes {
                _ = fuse_reply_buf(raw, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
            }
        }
    }
}

struct OpenedReply: Reply {
    let inode: InodeNumber
    let isDirectory: Bool

    func send(_ opened: Opened, to request: consuming FuseRequest) {
        let server = request.server
        var info = fuse_file_info(opened)
        if isDirectory, opened.keepCache { info.cache_readdir = 1 }
        guard fuse_reply_open(request.release(), &info) != 0 else { return }
        // The kernel did not take the handle and will never release it.
        if isDirectory {
            server.fileSystem.releasedir(inode, opened.handle)
        } else {
            server.dropHandle(inode, opened.handle)
        }
    }
}

struct CreatedReply: Reply {
    func send(_ created: Created, to request: consuming FuseRequest) {
        let server = request.server
        guard let inode = created.entry.attributes?.inode else { preconditionFailure("a file made without attributes") }
        var parameters = fuse_entry_param(created.entry)
        var info = fuse_file_info(created.opened)
        guard fuse_reply_create(request.release(), &parameters, &info) != 0 else { return }
        server.dropHandle(inode, created.opened.handle)
        server.fileSystem.forget(inode, count: 1)
    }
}
