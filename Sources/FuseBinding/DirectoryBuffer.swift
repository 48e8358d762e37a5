import CFuse
import FileSystemCore
import Glibc
import Logging
import SystemPackage

/// Directory entries on their way to the kernel, in the room that it has for them.
struct DirectoryBuffer {
    /// NAME_MAX. The kernel refuses a whole listing for one longer name.
    private static let nameLimit = 255

    private let room: UnsafeMutableRawBufferPointer
    // Only lent: `send` takes the request itself.
    private let request: fuse_req_t
    private let plus: Bool
    private var used = 0
    private var hasImpossibleName = false

    /// `room` must outlive the buffer.
    init(_ room: UnsafeMutableRawBufferPointer, for request: fuse_req_t, plus: Bool) {
        self.room = room
        self.request = request
        self.plus = plus
    }

    var isEmpty: Bool { used == 0 && !hasImpossibleName }

    /// False when `entry` has no room.
    mutating func add(_ entry: DirectoryEntry, next: UInt64) -> Bool {
        guard Self.isPossible(entry.name) else {
            hasImpossibleName = true
            return false
        }
        let free = room.count - used
        let start = room.baseAddress.map { ($0 + used).assumingMemoryBound(to: CChar.self) }
        let offset = Int(bitPattern: UInt(next))
        let needed = withTerminated(entry.name.bytes) { name in
            guard plus else {
                var status = stat()
                status.st_ino = ino_t(entry.inode.value)
                status.st_mode = entry.type
                return fuse_add_direntry(request, start, free, name, &status, offset)
            }
            var parameters = entry.entry.map(fuse_entry_param.init) ?? fuse_entry_param()
            // Inode 0 in the parameters says that nothing was looked up; these two go into the name's part.
            parameters.attr.st_ino = ino_t(entry.inode.value)
            parameters.attr.st_mode = entry.entry?.attributes?.mode ?? entry.type
            return fuse_add_direntry_plus(request, start, free, name, &parameters, offset)
        }
        guard needed <= free else { return false }
        used += needed
        return true
    }

    /// Answers with what was added. An impossible name that comes first fails the listing: hiding a file is worse.
    consuming func send(to request: consuming FuseRequest, _ server: FuseServer) {
        if hasImpossibleName, used == 0 {
            server.log.error("a directory cannot be read, since it has a name that no file can have")
            request.fail(.ioError)
            return
        }
        // The kernel takes this reply even from a reader that was killed, so the lookups it carries are counted.
        fuse_reply_buf(request.release(), room.baseAddress?.assumingMemoryBound(to: CChar.self), used)
    }

    private static func isPossible(_ name: FileName) -> Bool {
        (1...nameLimit).contains(name.bytes.count) && !name.bytes.contains { $0 == 0 || $0 == UInt8(ascii: "/") }
    }
}
