import Glibc
import SystemPackage

/// An open file or directory, closed when dropped.
struct Descriptor: ~Copyable {
    let raw: Int32

    /// Opens a path; with `O_NOFOLLOW` when the last component must not be a link. Throws the error number.
    init(_ path: String, _ flags: Int32, mode: mode_t = 0, in directory: Int32 = AT_FDCWD) throws(Errno) {
        while true {
            let opened = openat(directory, path, flags | O_CLOEXEC, mode)
            if opened >= 0 {
                raw = opened
                return
            }
            let number = Errno(rawValue: errno)
            if number != .interrupted { throw number }
        }
    }

    deinit { close(raw) }

    func status() throws(Errno) -> stat {
        var status = stat()
        guard fstat(raw, &status) == 0 else { throw Errno(rawValue: errno) }
        return status
    }

    func sync() throws(Errno) {
        guard fsync(raw) == 0 else { throw Errno(rawValue: errno) }
    }

    /// All bytes, or nil when there are more than `limit`.
    func read(limit: Int) throws(Errno) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: limit + 1)
        var end = 0
        while end <= limit {
            let count = bytes.withUnsafeMutableBytes { pread(raw, $0.baseAddress! + end, limit + 1 - end, off_t(end)) }
            if count < 0 {
                let number = Errno(rawValue: errno)
                if number == .interrupted { continue }
                throw number
            }
            if count == 0 { return Array(bytes.prefix(end)) }
            end += count
        }
        return nil
    }

    func write(_ bytes: [UInt8]) throws(Errno) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { pwrite(raw, $0.baseAddress! + done, bytes.count - done, off_t(done)) }
            if count < 0 {
                let number = Errno(rawValue: errno)
                if number == .interrupted { continue }
                throw number
            }
            done += count
        }
    }
}
