import CFuse
import FileSystemCore
import Glibc
import SystemPackage

/// One question of the kernel, which wants exactly one answer.
///
/// A second answer does not compile, since every answer consumes the request; a request that is dropped without one
/// traps, since the process that asked would wait for ever.
struct FuseRequest: ~Copyable {
    private let raw: fuse_req_t

    init(_ raw: fuse_req_t?) {
        guard let raw else { preconditionFailure("libfuse gave no request") }
        self.raw = raw
    }

    deinit { Self.dropped() }

    /// Never inlined, or the compiler calls the rest of `deinit` unreachable.
    @inline(never)
    private static func dropped() { preconditionFailure("a FUSE request was dropped without an answer") }

    /// libfuse's pointer, which from now on must be answered by whoever holds it.
    consuming func release() -> fuse_req_t {
        let raw = raw
        discard self
        return raw
    }

    /// Who answers.
    var server: FuseServer {
        guard let userdata = fuse_req_userdata(raw) else { preconditionFailure("a FUSE session without its server") }
        return Unmanaged<FuseServer>.fromOpaque(userdata).takeUnretainedValue()
    }

    var caller: Caller {
        guard let context = fuse_req_ctx(raw)?.pointee else { return Caller(uid: 0, gid: 0, pid: 0, umask: 0) }
        return Caller(uid: context.uid, gid: context.gid, pid: context.pid, umask: context.umask)
    }

    /// Answers with what the file system said, now or when it is known. Work that is not interruptible goes on when the
    /// session ends before it.
    consuming func complete<R: Reply>(_ answer: Answer<R.Value>, as reply: R, isInterruptible: Bool = true) {
        switch answer {
        case .ready(let value): reply.send(value, to: self)
        case .failed(let errno): fail(errno)
        case .later(let work):
            let parked = server.parked
            parked.run(self, work, as: reply, isInterruptible: isInterruptible)
        }
    }

    consuming func fail(_ errno: Errno) {
        let code =
            switch errno.rawValue {
            // The kernel would never ask again, and take every later fsync for done.
            case ENOSYS: EOPNOTSUPP
            case 1..<1000: errno.rawValue
            // 0 would mean success, and libfuse refuses the rest.
            default: EIO
            }
        fuse_reply_err(release(), code)
    }

    consuming func succeed() { fuse_reply_err(release(), 0) }

    /// For what the kernel does not want to hear of (forget).
    consuming func end() { fuse_reply_none(release()) }
}
