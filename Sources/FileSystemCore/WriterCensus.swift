import Glibc

/// Answers whether somebody besides the caller of close(2) still has a file open for writing.
///
/// The kernel sends one flush for each closed descriptor (fuse_lowlevel.h, `flush`): a shell's redirection closes the same
/// open file several times. A file is published once, when its last writer closes it.
public protocol WriterCensus: Sendable {
    /// True when one of `processes` (thread or process ids) holds another descriptor of `inode` that can write.
    func hasWriter(_ inode: InodeNumber, among processes: Set<Int32>) -> Bool
}

/// Looks into /proc (proc(5), `fdinfo`: `flags` and, since Linux 5.14, `ino`). What cannot be read counts as no writer:
/// then the file is published at this close, which is right for all but a duplicated descriptor.
public struct ProcessDescriptors: WriterCensus {
    public init() {}

    public func hasWriter(_ inode: InodeNumber, among processes: Set<Int32>) -> Bool {
        processes.contains { $0 > 0 && holds(inode, process: $0) }
    }

    private func holds(_ inode: InodeNumber, process: Int32) -> Bool {
        let folder = "/proc/\(process)/fdinfo"
        guard let directory = Glibc.opendir(folder) else { return false }
        defer { closedir(directory) }
        while let item = Glibc.readdir(directory) {
            let name = withUnsafeBytes(of: item.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix("."), matches(folder + "/" + name, inode) { return true }
        }
        return false
    }

    private func matches(_ path: String, _ inode: InodeNumber) -> Bool {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        let text = withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 1) { buffer in
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            return String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self)
        }
        var (isInode, isWriter) = (false, false)
        for line in text.split(separator: "\n") {
            let value = line.split(whereSeparator: { $0 == ":" || $0 == "\t" || $0 == " " }).last ?? ""
            if line.hasPrefix("ino:") { isInode = UInt64(value) == inode.value }
            if line.hasPrefix("flags:") { isWriter = (Int32(value, radix: 8) ?? 0) & O_ACCMODE != O_RDONLY }
        }
        return isInode && isWriter
    }
}
