import CDisk
import Glibc
import SystemPackage

/// An open file or directory, closed when the last reference goes. Calls take explicit offsets, so any thread may read
/// and write at once. Interrupted calls are repeated here and nowhere else.
public final class OpenFile: Sendable {
    public let descriptor: Int32

    /// Opens `path` with the flags of open(2) (close-on-exec is added); a new file gets `mode`.
    public init(_ path: FilePath, _ flags: Int32, mode: mode_t = 0o600) throws(Errno) {
        descriptor = try retrying { open(path.string, flags | O_CLOEXEC, mode) }
    }

    // An error of close(2) tells of nothing that fsync would not have told.
    deinit { close(descriptor) }

    /// The same file by a second descriptor, for small reads here and there: through it the kernel reads nothing ahead.
    public func forScatteredReads() throws(Errno) -> OpenFile {
        let second = try OpenFile(FilePath("/proc/self/fd/\(descriptor)"), O_RDONLY)
        // Advice only: without it the same bytes are read.
        _ = posix_fadvise(second.descriptor, 0, 0, POSIX_FADV_RANDOM)
        return second
    }

    public struct Status: Sendable, Hashable {
        public var size: Int64
        /// What the file takes on the disk, bytes.
        public var allocated: Int64
        /// 0 after the last name went.
        public var linkCount: Int
        public var device: UInt64
        public var inode: UInt64
    }

    public func status() throws(Errno) -> Status {
        var status = stat()
        _ = try retrying { fstat(descriptor, &status) }
        return Status(status)
    }

    /// Nil when there is no such file.
    public static func status(of path: FilePath) throws(Errno) -> Status? {
        var status = stat()
        do throws(Errno) {
            _ = try retrying { lstat(path.string, &status) }
        } catch .noSuchFileOrDirectory {
            return nil
        }
        return Status(status)
    }

    /// Reads until `buffer` is full or the file ends; returns how much was read.
    public func read(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        var done = 0
        while done < buffer.count {
            let count = try retrying {
                pread(descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done, Int(offset) + done)
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Reads consecutive bytes into several buffers in one call. May return less than asked before the end of the file.
    public func read(at offset: Int64, into vectors: UnsafeBufferPointer<iovec>) throws(Errno) -> Int {
        try retrying { preadv(descriptor, vectors.baseAddress, Int32(vectors.count), Int(offset)) }
    }

    /// Writes all of `bytes`, or throws with an unknown part of them written.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(Errno) {
        var done = 0
        while done < bytes.count {
            let count = try retrying {
                pwrite(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done, Int(offset) + done)
            }
            if count == 0 { throw .ioError }
            done += count
        }
    }

    public func truncate(to size: Int64) throws(Errno) {
        _ = try retrying { ftruncate(descriptor, Int(size)) }
    }

    /// Gives the room of some bytes back to the disk; they read as zeros then.
    public func punchHole(_ offset: Int64, _ count: Int) throws(Errno) {
        _ = try retrying { cognitofs_punch_hole(descriptor, offset, Int64(count)) }
    }

    /// Takes room on the disk for bytes that are to be written, also past the end, where the file's size stays as it is.
    /// A file system that cannot is left as it is.
    public func reserve(_ range: Range<Int64>) throws(Errno) {
        do throws(Errno) {
            _ = try retrying { cognitofs_reserve(descriptor, range.lowerBound, Int64(range.count)) }
        } catch .notSupported {}
    }

    /// Returns when the bytes, and what is needed to find them, are on the disk.
    public func syncData() throws(Errno) {
        _ = try retrying { fdatasync(descriptor) }
    }

    /// Returns when the names in the directory at `path` are on the disk.
    public static func syncDirectory(_ path: FilePath) throws(Errno) {
        let directory = try OpenFile(path, O_RDONLY | O_DIRECTORY)
        _ = try retrying { fsync(directory.descriptor) }
    }
}

extension OpenFile.Status {
    init(_ status: stat) {
        self.init(
            size: Int64(status.st_size), allocated: Int64(status.st_blocks) * 512, linkCount: Int(status.st_nlink),
            device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }
}

/// Repeats `call` while a signal interrupts it; its -1 becomes the errno.
func retrying<I: FixedWidthInteger>(_ call: () -> I) throws(Errno) -> I {
    while true {
        let result = call()
        if result != -1 { return result }
        let code = errno
        if code != EINTR { throw Errno(rawValue: code) }
    }
}
