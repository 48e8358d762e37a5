import CFuse
import FileSystemCore
import Glibc
import SystemPackage

extension Callbacks {
    static func setNames(_ table: inout fuse_lowlevel_ops) {
        table.lookup = { Callbacks.lookup(FuseRequest($0), InodeNumber($1), FileName($2)) }
        table.forget = { Callbacks.forget(FuseRequest($0), InodeNumber($1), $2) }
        table.forget_multi = { Callbacks.forget(FuseRequest($0), .init(start: $2, count: $1)) }
        table.mkdir = { Callbacks.mkdir(FuseRequest($0), InodeNumber($1), FileName($2), mode: $3) }
        table.mknod = { request, parent, name, mode, _ in
            Callbacks.mknod(FuseRequest(request), InodeNumber(parent), FileName(name), mode: mode)
        }
        table.symlink = { Callbacks.symlink(FuseRequest($0), required($1), InodeNumber($2), FileName($3)) }
        table.readlink = { Callbacks.readlink(FuseRequest($0), InodeNumber($1)) }
        table.unlink = { Callbacks.unlink(FuseRequest($0), InodeNumber($1), FileName($2)) }
        table.rmdir = { Callbacks.rmdir(FuseRequest($0), InodeNumber($1), FileName($2)) }
        table.rename = {
            Callbacks.rename(
                FuseRequest($0), InodeNumber($1), FileName($2), to: InodeNumber($3), FileName($4), flags: $5)
        }
        table.link = { request, _, _, _ in Callbacks.link(FuseRequest(request)) }
    }

    private static func lookup(_ request: consuming FuseRequest, _ parent: InodeNumber, _ name: FileName) {
        let answer = request.server.fileSystem.lookup(parent, name)
        request.complete(answer, as: EntryReply())
    }

    private static func forget(_ request: consuming FuseRequest, _ inode: InodeNumber, _ count: UInt64) {
        request.server.fileSystem.forget(inode, count: count)
        request.end()
    }

    private static func forget(_ request: consuming FuseRequest, _ all: UnsafeBufferPointer<fuse_forget_data>) {
        let fileSystem = request.server.fileSystem
        for one in all { fileSystem.forget(InodeNumber(one.ino), count: one.nlookup) }
        request.end()
    }

    private static func mkdir(
        _ request: consuming FuseRequest, _ parent: InodeNumber, _ name: FileName, mode: mode_t
    ) {
        let answer = request.server.fileSystem.mkdir(parent, name, mode: mode, request.caller)
        request.complete(answer, as: EntryReply())
    }

    /// The device number is left behind: the core makes regular files only.
    private static func mknod(
        _ request: consuming FuseRequest, _ parent: InodeNumber, _ name: FileName, mode: mode_t
    ) {
        let answer = request.server.fileSystem.mknod(parent, name, mode: mode, request.caller)
        request.complete(answer, as: EntryReply())
    }

    private static func symlink(
        _ request: consuming FuseRequest, _ target: [UInt8], _ parent: InodeNumber, _ name: FileName
    ) {
        let answer = request.server.fileSystem.symlink(target, parent, name, request.caller)
        request.complete(answer, as: EntryReply())
    }

    private static func readlink(_ request: consuming FuseRequest, _ inode: InodeNumber) {
        let answer = request.server.fileSystem.readlink(inode)
        request.complete(answer, as: LinkTargetReply())
    }

    private static func unlink(_ request: consuming FuseRequest, _ parent: InodeNumber, _ name: FileName) {
        let answer = request.server.fileSystem.unlink(parent, name)
        request.complete(answer, as: DoneReply())
    }

    private static func rmdir(_ request: consuming FuseRequest, _ parent: InodeNumber, _ name: FileName) {
        let answer = request.server.fileSystem.rmdir(parent, name)
        request.complete(answer, as: DoneReply())
    }

    private static func rename(
        _ request: consuming FuseRequest, _ parent: InodeNumber, _ name: FileName, to newParent: InodeNumber,
        _ newName: FileName, flags: UInt32
    ) {
        guard let mode = RenameMode(flags: flags) else {
            request.fail(.invalidArgument)
            return
        }
        let answer = request.server.fileSystem.rename(parent, name, to: newParent, newName, mode)
        request.complete(answer, as: DoneReply())
    }

    /// S3 has no hard links. Without this, the caller would get ENOSYS.
    private static func link(_ request: consuming FuseRequest) { request.fail(.notPermitted) }
}

extension RenameMode {
    /// Nil for flags that have no meaning here (whiteouts, or both at once).
    init?(flags: UInt32) {
        // renameat2(2); Glibc has these only as macros.
        switch flags {
        case 0: self = .replace
        case 1 << 0: self = .noReplace
        case 1 << 1: self = .exchange
        default: return nil
        }
    }
}
