import Disk
import SystemPackage

extension Log {
    /// How many full records a buffer of the pool holds.
    static let recordsPerBuffer = 16
    static let bufferByteCount = recordsPerBuffer * Record.fullByteCount

    /// Reads a part of a run of records. `.ioError` when one of them does not open.
    func read(
        _ range: Range<Int64>, of run: Run, into destination: UnsafeMutableRawBufferPointer, _ pool: ScratchPool
    ) throws(Errno) {
        precondition(range.lowerBound >= run.fileStart && range.upperBound <= run.fileEnd, "range outside the run")
        precondition(destination.count >= range.count, "no room for the range")
        try pool.withBuffer { (buffer) throws(Errno) in
            var offset = range.lowerBound
            while offset < range.upperBound {
                let rest = UnsafeMutableRawBufferPointer(
                    rebasing: destination[Int(offset - range.lowerBound)..<range.count])
                offset += Int64(try readSome(offset, of: run, into: rest, buffer))
            }
        }
    }

    /// Reads what one buffer of records gives; returns how many bytes of `destination` it filled.
    private func readSome(
        _ offset: Int64, of run: Run, into destination: UnsafeMutableRawBufferPointer,
        _ buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let limit = Int64(Record.payloadLimit)
        let first = (offset - run.fileStart) / limit
        let last = (min(offset + Int64(destination.count), run.fileEnd) - 1 - run.fileStart) / limit
        let count = min(Int(last - first) + 1, Self.recordsPerBuffer)
        let position = run.position + first * Int64(Record.fullByteCount)
        let lastRecord = run.record(first + Int64(count) - 1)
        let byteCount = (count - 1) * Record.fullByteCount + lastRecord.byteCount
        guard try file.read(at: position, into: .init(rebasing: buffer[..<byteCount])) == byteCount else {
            throw .ioError
        }
        var done = 0
        for index in 0..<count {
            let record = run.record(first + Int64(index))
            let start = index * Record.fullByteCount
            let sealed = UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + record.byteCount])
            let rest = UnsafeMutableRawBufferPointer(rebasing: destination[done...])
            done += try open(record, sealed, from: Int(offset + Int64(done) - record.offset), into: rest)
        }
        return done
    }

    /// Opens one record and gives its bytes from `skipped` on; returns how many there were room for.
    private func open(
        _ record: Record, _ sealed: UnsafeMutableRawBufferPointer, from skipped: Int,
        into destination: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let count = min(record.payloadCount - skipped, destination.count)
        if count == record.payloadCount {
            guard open(record, .init(sealed), into: .init(rebasing: destination[..<count])) else { throw .ioError }
            return count
        }
        let body = UnsafeMutableRawBufferPointer(rebasing: sealed[Record.headByteCount...])
        guard open(record, .init(sealed), into: body) else { throw .ioError }
        destination.copyMemory(from: .init(rebasing: body[skipped..<skipped + count]))
        return count
    }
}

extension Run {
    /// The record number `index`, counted from 0, as it must stand in the log.
    func record(_ index: Int64) -> Record {
        let offset = fileStart + index * Int64(Record.payloadLimit)
        return Record(
            .data, sequence: sequence + UInt64(index), offset: offset,
            length: min(Int64(Record.payloadLimit), fileEnd - offset))
    }
}
