import Disk
import Glibc
import SystemPackage

/// What stands behind the last whole batch of a log, which is cut there.
///
/// After a crash that is the beginning of one batch, of which nobody was told. When a record behind it is whole, the disk
/// has damaged one before it, or has kept a later write and lost an earlier one: what was cut off was once promised, and is
/// kept aside.
struct CutEnd {
    let log: Log
    /// Where the last whole batch ends.
    let start: Int64
    /// Where the first record stands that is not whole, and what its number should be.
    let torn: Int64
    let sequence: UInt64
    let size: Int64

    init(of log: Log, from start: Int64, readTo torn: Int64, expecting sequence: UInt64) throws(Errno) {
        self.log = log
        self.start = start
        self.torn = torn
        self.sequence = sequence
        size = try log.file.status().size - start
    }

    /// True when a record of this log is whole behind the first that is not.
    func holdsRecords(_ buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Bool {
        var record = [UInt8](repeating: 0, count: Record.fullByteCount)
        var position = torn
        while true {
            let count = try log.file.read(at: position, into: buffer)
            guard count >= Record.headByteCount else { return false }
            let last = count - Record.headByteCount
            for offset in 0...last {
                guard let found = Record(loading: .init(rebasing: buffer[offset..<count])), found.sequence > sequence,
                    try opens(found, at: position + Int64(offset), &record)
                else { continue }
                return true
            }
            position += Int64(last + 1)
        }
    }

    private func opens(_ found: Record, at position: Int64, _ bytes: inout [UInt8]) throws(Errno) -> Bool {
        guard found.kind == .rows || found.kind == .rowsContinued else { return false }
        let result: Result<Bool, Errno> = bytes.withUnsafeMutableBytes { bytes in
            Result { () throws(Errno) in
                let sealed = UnsafeMutableRawBufferPointer(rebasing: bytes[..<found.byteCount])
                guard try log.file.read(at: position, into: sealed) == found.byteCount else { return false }
                let body = UnsafeMutableRawBufferPointer(rebasing: sealed[Record.headByteCount...])
                return log.open(found, UnsafeRawBufferPointer(sealed), into: body)
            }
        }
        return try result.get()
    }

    /// Writes the log's head, without which nothing of it opens, and the end behind it to a new file, durably.
    func copy(to path: FilePath, on disk: any DiskAccess, _ buffer: UnsafeMutableRawBufferPointer) throws(Errno) {
        let file = try disk.open(path, O_RDWR | O_CREAT | O_EXCL)
        let head = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Log.headByteCount])
        guard try log.file.read(at: 0, into: head) == head.count else { throw .ioError }
        try file.write(UnsafeRawBufferPointer(head), at: 0)
        var done: Int64 = 0
        while done < size {
            let count = try log.file.read(at: start + done, into: buffer)
            if count == 0 { break }
            try file.write(
                UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: Int64(Log.headByteCount) + done)
            done += Int64(count)
        }
        try file.syncData()
        try disk.syncDirectory(path.removingLastComponent())
    }
}
