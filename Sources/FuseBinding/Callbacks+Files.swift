import CFuse
import FileSystemCore
import Glibc
import SystemPackage

extension Callbacks {
    static func setFiles(_ table: inout fuse_lowlevel_ops) {
        table.open = { Callbacks.open(FuseRequest($0), InodeNumber($1), flags: $2?.pointee.flags ?? 0) }
        table.create = {
            Callbacks.create(
                FuseRequest($0), InodeNumber($1), FileName($2), mode: $3, flags: $4?.pointee.flags ?? 0)
        }
        table.read = { request, inode, size, offset, info in
            Callbacks.read(FuseRequest(request), InodeNumber(inode), handle(info), offset: offset, count: size)
        }
        table.write = { request, inode, bytes, size, offset, info in
            Callbacks.write(
                FuseRequest(request), InodeNumber(inode), handle(info), offset: offset,
                UnsafeRawBufferPointer(start: bytes, count: size))
        }
        table.flush = { Callbacks.flush(FuseRequest($0), InodeNumber($1), handle($2)) }
        table.fsync = { Callbacks.fsync(FuseRequest($0), InodeNumber($1), handle($3), dataOnly: $2 != 0) }
        table.release = { Callbacks.release(FuseRequest($0), InodeNumber($1), handle($2)) }
        table.fallocate = { request, inode, mode, offset, length, info in
            Callbacks.fallocate(
                FuseRequest(request), InodeNumber(inode), handle(info), mode: mode, offset: offset, length: length)
        }
        table.lseek = { Callbacks.lseek(FuseRequest($0), InodeNumber($1), handle($4), offset: $2, whence: $3) }
        table.copy_file_range = { request, source, offset, info, destination, newOffset, newInfo, count, flags in
            Callbacks.copyFileRange(
                FuseRequest(request), from: (InodeNumber(source), handle(info), offset),
                to: (InodeNumber(destination), handle(newInfo), newOffset), count: count, flags: flags)
        }
    }

    private static func open(_ request: consuming FuseRequest, _ inode: InodeNumber, flags: Int32) {
        let answer = request.server.fileSystem.open(inode, flags: flags, request.caller)
        request.complete(answer, as: OpenedReply(inode: inode, isDirectory: false))
    }

    private static func create(
        _ request: consuming FuseRequest, _ parent: InodeNumber, _ name: FileName, mode: mode_t, flags: Int32
    ) {
        let answer = request.server.fileSystem.create(parent, name, mode: mode, flags: flags, request.caller)
        request.complete(answer, as: CreatedReply())
    }

    private static func read(
        _ request: consuming FuseRequest, _ inode: InodeNumber, _ handle: FileHandle, offset: Int, count: Int
    ) {
        let answer = request.server.fileSystem.read(inode, handle, offset: Int64(offset), count: count)
        request.complete(answer, as: DataReply(limit: count))
    }

    /// The kernel clears set-id bits by a change of mode before it writes, so a write never asks for it.
    private static func write(
        _ request: consuming FuseRequest, _ inode: InodeNumber, _ handle: FileHandle, offset: Int,
        _ bytes: UnsafeRawBufferPointer
    ) {
        let answer = request.server.fileSystem.write(
            inode, handle, offset: Int64(offset), bytes, mayKillSetID: false)
        request.complete(answer, as: CountReply(limit: bytes.count))
    }

    private static func flush(_ request: consuming FuseRequest, _ inode: InodeNumber, _ handle: FileHandle) {
        let answer = request.server.fileSystem.flush(inode, handle, request.caller)
        request.complete(answer, as: DoneReply())
    }

    private static func fsync(
        _ request: consuming FuseRequest, _ inode: InodeNumber, _ handle: FileHandle, dataOnly: Bool
    ) {
        let answer = request.server.fileSystem.fsync(inode, handle, dataOnly: dataOnly)
        request.complete(answer, as: DoneReply())
    }

    private static func release(_ request: consuming FuseRequest, _ inode: InodeNumber, _ handle: FileHandle) {
        let answer = request.server.fileSystem.release(inode, handle)
        // Nobody waits for it, so nobody can have lost patience.
        request.complete(answer, as: DoneReply(), isInterruptible: false)
    }

    private static func fallocate(
        _ request: consuming FuseRequest, _ inode: InodeNumber, _ handle: FileHandle, mode: Int32, offset: Int,
        length: Int
    ) {
        let answer = request.server.fileSystem.fallocate(
            inode, handle, mode: mode, offset: Int64(offset), length: Int64(length))
        request.complete(answer, as: DoneReply())
    }

    private static func lseek(
        _ request: consuming FuseRequest, _ inode: InodeNumber, _ handle: FileHandle, offset: Int, whence: Int32
    ) {
        let answer = request.server.fileSystem.lseek(inode, handle, offset: Int64(offset), whence: whence)
        request.complete(answer, as: OffsetReply())
    }

    private typealias Place = (inode: InodeNumber, handle: FileHandle, offset: Int)

    private static func copyFileRange(
        _ request: consuming FuseRequest, from source: Place, to destination: Place, count: Int, flags: Int32
    ) {
        // copy_file_range(2): none is defined.
        guard flags == 0 else {
            request.fail(.invalidArgument)
            return
        }
        // The reply has 32 bits for the count.
        let count = min(count, CountReply.largest)
        let answer = request.server.fileSystem.copyFileRange(
            from: source.inode, source.handle, offset: Int64(source.offset),
            to: destination.inode, destination.handle, offset: Int64(destination.offset), count: count)
        request.complete(answer, as: CountReply(limit: count))
    }
}
