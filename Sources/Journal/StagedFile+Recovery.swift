import Disk
import Logging
import SystemPackage

extension StagedFile.Store {
    /// Opens a log that an earlier process left (one of `leftovers()`), with all that stands in it whole. The log is cut
    /// after its last good record: what a crash tore there had not been synced.
    ///
    /// `.ioError` when it is no log that this store's key sealed; the file is left alone.
    public func recover(_ path: FilePath) throws(Errno) -> StagedFile {
        let log = try Log.open(path, key, on: disk)
        let fileSize = try log.file.status().size
        var replay = LogReplay(log)
        try pool.withBuffer { (buffer) throws(Errno) in try replay.run(buffer) }
        let dropped = fileSize - replay.end
        if dropped > 0 {
            logger.warning(
                "A staged file's log ended in an incomplete record, which was cut off",
                metadata: ["path": "\(path)", "bytes": "\(dropped)"])
            try log.file.truncate(to: replay.end)
        }
        var writer = LogWriter()
        writer.end = replay.end
        writer.sequence = replay.sequence
        return StagedFile(path, self, replay.contents, writer, droppedByteCount: dropped)
    }
}

/// Reads a log from the start and does again what its records say, as far as they are whole.
private struct LogReplay {
    private let log: Log
    private(set) var contents: Contents
    private(set) var end = Int64(Log.headByteCount)
    private(set) var sequence: UInt64 = 1

    init(_ log: Log) {
        self.log = log
        contents = Contents(log)
    }

    mutating func run(_ buffer: UnsafeMutableRawBufferPointer) throws(Errno) {
        while true {
            let count = try log.file.read(at: end, into: buffer)
            let used = take(UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]))
            // A buffer holds many records, so nothing taken means that the next one is not whole.
            if used == 0 { return }
            end += Int64(used)
        }
    }

    /// Takes over the records that are whole within `bytes`, which begin at `end`; returns how many bytes they are.
    private mutating func take(_ bytes: UnsafeMutableRawBufferPointer) -> Int {
        var used = 0
        while let record = Record(loading: .init(rebasing: bytes[used...])), record.sequence == sequence,
            used + record.byteCount <= bytes.count
        {
            let sealed = UnsafeMutableRawBufferPointer(rebasing: bytes[used..<used + record.byteCount])
            let body = UnsafeMutableRawBufferPointer(rebasing: sealed[Record.headByteCount...])
            guard log.open(record, UnsafeRawBufferPointer(sealed), into: body) else { break }
            contents.apply(record, at: end + Int64(used))
            used += record.byteCount
            sequence += 1
        }
        return used
    }
}
