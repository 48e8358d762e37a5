import Glibc

/// One line of /proc/self/mountinfo (proc(5)).
struct MountTableEntry: Equatable {
    /// `major:minor` of the file system, as in /sys/class/bdi.
    var device: String
    var mountPoint: [UInt8]
    /// With the subtype: `fuse.cognitofs`.
    var type: String

    /// Nil when `line` is not in the form of proc(5).
    init?(_ line: some Collection<UInt8>) {
        let fields = line.split(separator: UInt8(ascii: " "))
        // 36 35 98:0 /root /mount/point options [optional fields] - type source super-options
        guard fields.count > 5, let separator = fields.firstIndex(where: { $0.elementsEqual([UInt8(ascii: "-")]) }),
            separator + 1 < fields.endIndex
        else { return nil }
        device = String(decoding: fields[2], as: UTF8.self)
        mountPoint = Self.unescaped(fields[4])
        type = String(decoding: fields[separator + 1], as: UTF8.self)
    }

    /// Blank, tab, newline and backslash are written as `\` and three octal digits.
    private static func unescaped(_ field: some Collection<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        var rest = field[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(3)
            if byte == UInt8(ascii: "\\"), digits.count == 3,
                let code = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            {
                result.append(code)
                rest = rest.dropFirst(3)
            } else {
                result.append(byte)
            }
        }
        return result
    }
}

package enum MountTable {
    /// True when a mount of this program is at `path`, as this process sees it.
    package static func hasOurs(at path: String) -> Bool { entry(at: Array(path.utf8))?.type == MountPoint.type }

    /// What is mounted at `path`, the uppermost if there are several; nil when nothing is.
    static func entry(at path: [UInt8]) -> MountTableEntry? {
        current().last { $0.mountPoint == path }
    }

    static func current() -> [MountTableEntry] {
        read("/proc/self/mountinfo").split(separator: UInt8(ascii: "\n")).compactMap { MountTableEntry($0) }
    }

    /// The file's bytes; none when it cannot be read.
    static func read(_ path: String) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var all: [UInt8] = []
        while true {
            let chunk = [UInt8](unsafeUninitializedCapacity: 65_536) { room, count in
                var status: Int
                repeat {
                    status = Glibc.read(descriptor, room.baseAddress, room.count)
                } while status < 0 && errno == EINTR
                count = max(status, 0)
            }
            if chunk.isEmpty { return all }
            all += chunk
        }
    }
}
