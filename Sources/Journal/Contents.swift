/// What a staged file holds at one moment. A value: a snapshot is a copy, which shares the memory until either changes.
struct Contents: Sendable {
    /// Bytes written last, not in the log yet; they lie over what the map says. At most one record's payload.
    struct Tail: Sendable {
        var start: Int64 = 0
        var bytes: [UInt8] = []
        var end: Int64 { start + Int64(bytes.count) }
        var range: Range<Int64> { start..<end }
    }

    var log: Log
    var map = ExtentMap()
    var tail = Tail()
    /// Bytes of the whole file.
    var size: Int64
    /// Where the base version shows, it does so below this. Falls when the file is cut, and never rises.
    var baseEnd: Int64
    /// Rises with each change of bytes or size.
    var generation: UInt64 = 0
    /// Where the log ends, bytes.
    var logEnd = Int64(Log.headByteCount)

    init(_ log: Log) {
        self.log = log
        size = log.baseSize
        baseEnd = log.baseSize
    }

    /// Takes over records that stand in the log now.
    mutating func apply(_ run: Run) {
        map.insert(Piece(start: run.fileStart, end: run.fileEnd, source: .log(run)))
        size = max(size, run.fileEnd)
        logEnd = run.logEnd
        generation += 1
    }

    /// Takes over one record that stands at `position`.
    mutating func apply(_ record: Record, at position: Int64) {
        logEnd = position + Int64(record.byteCount)
        switch record.kind {
        case .data:
            apply(
                Run(
                    fileStart: record.offset, length: record.length, position: position, sequence: record.sequence))
        case .zeros:
            let end = record.offset + record.length
            let covered = record.offset..<max(record.offset, min(end, baseEnd))
            map.remove(record.offset..<end)
            // Above the base, what no piece covers is zeros anyway.
            if !covered.isEmpty {
                map.insert(Piece(start: covered.lowerBound, end: covered.upperBound, source: .zeros))
            }
            size = max(size, end)
            generation += 1
        case .size:
            if record.offset < size { map.remove(record.offset..<size) }
            baseEnd = min(baseEnd, record.offset)
            size = record.offset
            generation += 1
        case .rewritten: break
        case .rows, .rowsContinued:
            preconditionFailure("rows are not a file's contents")
        }
    }

    /// Takes over a write that stays in memory; it lies within the tail or goes on at its end.
    mutating func writeToTail(_ bytes: UnsafeRawBufferPointer, at offset: Int64) {
        let start = Int(offset - tail.start)
        let within = min(bytes.count, tail.bytes.count - start)
        tail.bytes.withUnsafeMutableBytes { tail in
            UnsafeMutableRawBufferPointer(rebasing: tail[start...]).copyMemory(
                from: UnsafeRawBufferPointer(rebasing: bytes[..<within]))
        }
        tail.bytes.append(contentsOf: bytes[within...])
        size = max(size, tail.end)
        generation += 1
    }

    /// What `range`, cut at the size, is made of: without gaps, in order.
    func extents(_ range: Range<Int64>) -> [StagedFile.Extent] {
        var list = ExtentList()
        forEachPart(of: range.clamped(to: 0..<size)) { part, source in
            switch source {
            case .tail, .log: list.add(.staged(part))
            case .zeros: list.add(.zeros(part))
            case .base: list.add(.base(part))
            }
        }
        return list.extents
    }

    enum Part {
        case tail
        case log(Run)
        case zeros, base
    }

    /// Calls `body` for each part of `range`, in order and without gaps.
    func forEachPart(of range: Range<Int64>, _ body: (Range<Int64>, Part) -> Void) {
        let inTail = tail.range.clamped(to: range)
        if tail.bytes.isEmpty || inTail.isEmpty { return forEachPartBelow(range, body) }
        forEachPartBelow(range.lowerBound..<inTail.lowerBound, body)
        body(inTail, .tail)
        forEachPartBelow(inTail.upperBound..<range.upperBound, body)
    }

    private func forEachPartBelow(_ range: Range<Int64>, _ body: (Range<Int64>, Part) -> Void) {
        if range.isEmpty { return }
        var next = range.lowerBound
        map.forEachPiece(in: range) { piece in
            forEachUncovered(next..<piece.start, body)
            switch piece.source {
            case .zeros: body(piece.start..<piece.end, .zeros)
            case .log(let run): body(piece.start..<piece.end, .log(run))
            }
            next = piece.end
        }
        forEachUncovered(next..<range.upperBound, body)
    }

    /// What no piece covers is the base's as far as that shows, and zeros after.
    private func forEachUncovered(_ range: Range<Int64>, _ body: (Range<Int64>, Part) -> Void) {
        let edge = min(max(baseEnd, range.lowerBound), range.upperBound)
        if range.lowerBound < edge { body(range.lowerBound..<edge, .base) }
        if edge < range.upperBound { body(edge..<range.upperBound, .zeros) }
    }
}

/// Joins neighbours of one kind.
private struct ExtentList {
    var extents: [StagedFile.Extent] = []

    mutating func add(_ extent: StagedFile.Extent) {
        switch (extents.last, extent) {
        case (.staged(let a), .staged(let b)): extents[extents.count - 1] = .staged(a.lowerBound..<b.upperBound)
        case (.zeros(let a), .zeros(let b)): extents[extents.count - 1] = .zeros(a.lowerBound..<b.upperBound)
        case (.base(let a), .base(let b)): extents[extents.count - 1] = .base(a.lowerBound..<b.upperBound)
        default: extents.append(extent)
        }
    }
}
