import Glibc
import SystemPackage

/// A disk of a few megabytes, mounted for the time of a test. Needs root, as the whole suite does.
public final class SmallDisk: Sendable {
    public let path: FilePath

    public init(megabytes: Int) throws(Errno) {
        path = FilePath("/tmp/disk-\(String(UInt64.random(in: 0 ... .max), radix: 16))")
        guard mkdir(path.string, 0o700) == 0 else { throw Errno(rawValue: errno) }
        guard mount("cognitofs-test", path.string, "tmpfs", 0, "size=\(megabytes)m") == 0 else {
            throw Errno(rawValue: errno)
        }
    }

    public func makeReadOnly() throws(Errno) {
        guard mount(nil, path.string, nil, UInt(MS_REMOUNT | MS_RDONLY), nil) == 0 else {
            throw Errno(rawValue: errno)
        }
    }

    deinit {
        umount2(path.string, Int32(MNT_DETACH))
        rmdir(path.string)
    }
}
