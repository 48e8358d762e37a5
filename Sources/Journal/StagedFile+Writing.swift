import Disk
import Synchronization
import SystemPackage

/// Where a log ends, and what its writer must remember.
struct LogWriter: Sendable {
    /// The place of the next record, and the disk space used so far.
    var end = Int64(Log.headByteCount)
    /// The next record's number. A record that could not be written gives its number back: nonces are random, so the
    /// number only tells the order.
    var sequence: UInt64 = 1
    var isDiscarded = false
    /// Somebody has noted a point of this log, to which a recovery has to come back.
    var heldPoint: StagedFile.Point?
    /// The directory was synced since the log got its name.
    var isNameDurable = false
    /// fdatasync failed, so the kernel may have dropped what it had promised to write.
    var hasSyncFailed = false
    /// No compaction before the log is this long.
    var compactionThreshold: Int64
}

extension StagedFile {
    /// Takes a write into memory, if it lies within the tail or goes on at its end and there is room.
    func keepInTail(_ bytes: UnsafeRawBufferPointer, at offset: Int64) -> Bool {
        contents.withLock { contents in
            let tail = contents.tail.range
            guard !tail.isEmpty, offset >= tail.lowerBound, offset <= tail.upperBound,
                offset + Int64(bytes.count) - tail.lowerBound < Int64(Record.payloadLimit)
            else { return false }
            contents.writeToTail(bytes, at: offset)
            return true
        }
    }

    /// Moves the tail to the log. On failure it stays where it is.
    func flushTail(_ writer: inout LogWriter) throws(Errno) {
        // The bytes do not change under the writer's lock.
        let (tail, log) = contents.withLock { ($0.tail, $0.log) }
        if tail.bytes.isEmpty { return }
        let record = Record(
            .data, sequence: writer.sequence, offset: tail.start, length: Int64(tail.bytes.count))
        let end = writer.end
        try store.pool.withBuffer { (buffer) throws(Errno) in
            let place = UnsafeMutableRawBufferPointer(rebasing: buffer[..<record.byteCount])
            tail.bytes.withUnsafeBytes { log.protect(record, $0, into: place) }
            try write(place, log, at: end, logEnd: end)
        }
        contents.withLock { contents in
            let generation = contents.generation
            contents.apply(record, at: end)
            contents.tail = Contents.Tail()
            // Nothing has changed for a reader.
            contents.generation = generation
        }
        writer.end += Int64(record.byteCount)
        writer.sequence += 1
    }

    /// Appends the tail (if not empty, it ends at `offset`) and `bytes` as full records; what is left becomes the tail.
    /// Nothing is visible before all records stand in the log.
    func append(_ bytes: UnsafeRawBufferPointer, at offset: Int64, _ writer: inout LogWriter) throws(Errno) {
        let (tail, log) = contents.withLock { ($0.tail, $0.log) }
        let start = tail.bytes.isEmpty ? offset : tail.start
        let total = tail.bytes.count + bytes.count
        let full = total / Record.payloadLimit
        let run = Run(
            fileStart: start, length: Int64(full * Record.payloadLimit), position: writer.end,
            sequence: writer.sequence)
        try store.pool.withBuffer { (buffer) throws(Errno) in
            var source = RecordSource(front: tail.bytes, bytes)
            for first in stride(from: 0, to: full, by: Log.recordsPerBuffer) {
                let count = min(Log.recordsPerBuffer, full - first)
                for index in 0..<count {
                    let place = UnsafeMutableRawBufferPointer(
                        rebasing: buffer[(index * Record.fullByteCount)...].prefix(Record.fullByteCount))
                    source.withNext(copyingTo: place) { payload in
                        log.protect(run.record(Int64(first + index)), payload, into: place)
                    }
                }
                let filled = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(count * Record.fullByteCount)])
                try write(filled, log, at: run.position + Int64(first * Record.fullByteCount), logEnd: writer.end)
            }
        }
        writer.end += Int64(full * Record.fullByteCount)
        writer.sequence += UInt64(full)
        let rest = total - full * Record.payloadLimit
        contents.withLock { contents in
            if full == 0 {
                contents.startTail(bytes, at: offset)
            } else {
                contents.tail = Contents.Tail()
                contents.apply(run)
                contents.startTail(UnsafeRawBufferPointer(rebasing: bytes.suffix(rest)), at: run.fileEnd)
            }
        }
    }

    /// Appends a record without payload.
    func append(_ kind: Record.Kind, offset: Int64, length: Int64, _ writer: inout LogWriter) throws(Errno) {
        let record = Record(kind, sequence: writer.sequence, offset: offset, length: length)
        let log = contents.withLock { $0.log }
        let end = writer.end
        try store.pool.withBuffer { (buffer) throws(Errno) in
            let place = UnsafeMutableRawBufferPointer(rebasing: buffer[..<record.byteCount])
            log.protect(record, .init(start: nil, count: 0), into: place)
            try write(place, log, at: end, logEnd: end)
        }
        contents.withLock { $0.apply(record, at: end) }
        writer.end += Int64(record.byteCount)
        writer.sequence += 1
    }

    /// Writes records; on failure cuts the log back to `logEnd`, so that recovery does not find a part of them.
    private func write(
        _ records: UnsafeMutableRawBufferPointer, _ log: Log, at position: Int64, logEnd: Int64
    ) throws(Errno) {
        do throws(Errno) {
            try log.file.write(UnsafeRawBufferPointer(records), at: position)
        } catch {
            try? log.file.truncate(to: logEnd)
            throw error
        }
    }
}

extension Contents {
    /// Begins a new tail with less than a record's worth of bytes; the former is in the log.
    fileprivate mutating func startTail(_ bytes: UnsafeRawBufferPointer, at offset: Int64) {
        if bytes.isEmpty { return }
        tail.start = offset
        tail.bytes = []
        // Grows by doubling from here: most small files never need the whole payload's room.
        tail.bytes.append(contentsOf: bytes)
        size = max(size, tail.end)
        generation += 1
    }
}

/// Cuts a few bytes of memory and the bytes of a write after them into record payloads.
private struct RecordSource {
    private var front: [UInt8]
    private var rest: UnsafeRawBufferPointer

    init(front: [UInt8], _ rest: UnsafeRawBufferPointer) {
        self.front = front
        self.rest = rest
    }

    /// Gives the next payload: straight from the write, or put together in the record's own place.
    mutating func withNext(
        copyingTo place: UnsafeMutableRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void
    ) {
        let fromRest = Record.payloadLimit - front.count
        let piece = UnsafeRawBufferPointer(rebasing: rest[..<fromRest])
        rest = UnsafeRawBufferPointer(rebasing: rest[fromRest...])
        if front.isEmpty { return body(piece) }
        let payload = UnsafeMutableRawBufferPointer(rebasing: place[Record.headByteCount...])
        payload.copyBytes(from: front)
        UnsafeMutableRawBufferPointer(rebasing: payload[front.count...]).copyMemory(from: piece)
        front = []
        body(UnsafeRawBufferPointer(payload))
    }
}
