import Glibc
import Logging
import SystemPackage

/// How far the kernel reads ahead on a file system.
enum ReadAhead {
    /// `device`: `major:minor`. Needs root.
    static func set(_ kibibytes: Int, device: String, _ log: Logger) {
        let path = "/sys/class/bdi/\(device)/read_ahead_kb"
        guard let errno = KernelFile.write("\(kibibytes)", to: path) else { return }
        log.debug("the kernel does not read further ahead", metadata: ["path": "\(path)", "errno": "\(errno)"])
    }
}

/// The kernel's end of a session.
enum FuseConnection {
    /// Fails every request that waits. Whoever mounted may do so, where fusectl is mounted.
    static func abort(device: String) {
        guard let minor = device.split(separator: ":").last else { return }
        _ = KernelFile.write("1", to: "/sys/fs/fuse/connections/\(minor)/abort")
    }
}

private enum KernelFile {
    /// Nil: done.
    static func write(_ text: String, to path: String) -> Errno? {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return Errno(rawValue: errno) }
        defer { close(descriptor) }
        guard text.withCString({ Glibc.write(descriptor, $0, strlen($0)) }) < 0 else { return nil }
        return Errno(rawValue: errno)
    }
}
