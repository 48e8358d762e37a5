import CFuse
import FileSystemCore
import Glibc
import SystemPackage

extension Callbacks {
    static func setDirectories(_ table: inout fuse_lowlevel_ops) {
        table.opendir = { request, inode, _ in Callbacks.opendir(FuseRequest(request), InodeNumber(inode)) }
        table.readdir = { request, inode, size, offset, info in
            Callbacks.readdir(
                FuseRequest(request), InodeNumber(inode), handle(info), offset: offset, size: size, plus: false)
        }
        table.readdirplus = { request, inode, size, offset, info in
            Callbacks.readdir(
                FuseRequest(request), InodeNumber(inode), handle(info), offset: offset, size: size, plus: true)
        }
        table.fsyncdir = { request, inode, _, info in
            Callbacks.fsyncdir(FuseRequest(request), InodeNumber(inode), handle(info))
        }
        table.releasedir = { Callbacks.releasedir(FuseRequest($0), InodeNumber($1), handle($2)) }
    }

    private static func opendir(_ request: consuming FuseRequest, _ inode: InodeNumber) {
        let answer = request.server.fileSystem.opendir(inode)
        request.complete(answer, as: OpenedReply(inode: inode, isDirectory: true))
    }

    private static func readdir(
        _ request: consuming FuseRequest, _ inode: InodeNumber, _ handle: FileHandle, offset: Int, size: Int, plus: Bool
    ) {
        let server = request.server
        let raw = request.release()
        withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { room in
            var listing = DirectoryBuffer(room, for: raw, plus: plus)
            do throws(Errno) {
                try server.fileSystem.readdir(inode, handle, offset: UInt64(bitPattern: Int64(offset)), plus: plus) {
                    listing.add($0, next: $1)
                }
            } catch {
                // What was given before the error counts; the error comes back when the kernel asks for the rest.
                if listing.isEmpty {
                    FuseRequest(raw).fail(error)
                    return
                }
            }
            listing.send(to: FuseRequest(raw), server)
        }
    }

    private static func fsyncdir(_ request: consuming FuseRequest, _ inode: InodeNumber, _ handle: FileHandle) {
        let answer = request.server.fileSystem.fsyncdir(inode, handle)
        request.complete(answer, as: DoneReply())
    }

    private static func releasedir(_ request: consuming FuseRequest, _ inode: InodeNumber, _ handle: FileHandle) {
        request.server.fileSystem.releasedir(inode, handle)
        request.succeed()
    }
}
