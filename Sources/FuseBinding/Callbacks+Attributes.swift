import CFuse
import FileSystemCore
import Glibc
import SystemPackage

extension Callbacks {
    static func setAttributes(_ table: inout fuse_lowlevel_ops) {
        table.getattr = { Callbacks.getattr(FuseRequest($0), InodeNumber($1), $2.map { FileHandle($0.pointee.fh) }) }
        table.setattr = { request, inode, status, valid, info in
            guard let status else { preconditionFailure("libfuse gave no attributes") }
            let changes = AttributeChanges(status.pointee, valid: valid)
            Callbacks.setattr(
                FuseRequest(request), InodeNumber(inode), changes, info.map { FileHandle($0.pointee.fh) })
        }
        table.setxattr = { request, inode, name, value, size, flags in
            Callbacks.setxattr(
                FuseRequest(request), InodeNumber(inode), required(name),
                Array(UnsafeRawBufferPointer(start: value, count: size)), flags: flags)
        }
        table.getxattr = { Callbacks.getxattr(FuseRequest($0), InodeNumber($1), required($2), size: $3) }
        table.listxattr = { Callbacks.listxattr(FuseRequest($0), InodeNumber($1), size: $2) }
        table.removexattr = { Callbacks.removexattr(FuseRequest($0), InodeNumber($1), required($2)) }
    }

    private static func getattr(_ request: consuming FuseRequest, _ inode: InodeNumber, _ handle: FileHandle?) {
        let answer = request.server.fileSystem.getattr(inode, handle)
        request.complete(answer, as: AttributesReply())
    }

    private static func setattr(
        _ request: consuming FuseRequest, _ inode: InodeNumber, _ changes: AttributeChanges, _ handle: FileHandle?
    ) {
        let answer = request.server.fileSystem.setattr(inode, changes, handle, request.caller)
        request.complete(answer, as: AttributesReply())
    }

    private static func setxattr(
        _ request: consuming FuseRequest, _ inode: InodeNumber, _ name: [UInt8], _ value: [UInt8], flags: Int32
    ) {
        guard let mode = XattrMode(flags: flags) else {
            request.fail(.invalidArgument)
            return
        }
        let answer = request.server.fileSystem.setxattr(inode, name, value, mode)
        request.complete(answer, as: DoneReply())
    }

    private static func getxattr(
        _ request: consuming FuseRequest, _ inode: InodeNumber, _ name: [UInt8], size: Int
    ) {
        let answer = request.server.fileSystem.getxattr(inode, name)
        request.complete(answer, as: XattrReply(size: size))
    }

    private static func listxattr(_ request: consuming FuseRequest, _ inode: InodeNumber, size: Int) {
        let answer = request.server.fileSystem.listxattr(inode)
        request.complete(answer, as: XattrReply(size: size))
    }

    private static func removexattr(_ request: consuming FuseRequest, _ inode: InodeNumber, _ name: [UInt8]) {
        let answer = request.server.fileSystem.removexattr(inode, name)
        request.complete(answer, as: DoneReply())
    }
}

extension XattrMode {
    /// setxattr(2): XATTR_CREATE is 1, XATTR_REPLACE 2. Nil for everything else.
    init?(flags: Int32) {
        switch flags {
        case 0: self = .any
        case 1: self = .create
        case 2: self = .replace
        default: return nil
        }
    }
}
