/// Where the bytes of consecutive records stand in the log.
///
/// All records of a run but the last are full, so a byte's record is found by division and a file written in sequence
/// needs one run, however large it is.
struct Run: Hashable, Sendable {
    /// The file offset of the first record's first byte.
    var fileStart: Int64
    /// How many bytes of the file the records hold together.
    var length: Int64
    /// The first record's place in the log.
    var position: Int64
    /// The first record's sequence number.
    var sequence: UInt64

    var fileEnd: Int64 { fileStart + length }
    /// The place after the last record.
    var logEnd: Int64 {
        let (full, rest) = length.quotientAndRemainder(dividingBy: Int64(Record.payloadLimit))
        return position + full * Int64(Record.fullByteCount) + (rest > 0 ? rest + Int64(Record.headByteCount) : 0)
    }

    /// This run with `next` after it, if the two are one in file, log and sequence.
    func joined(with next: Run) -> Run? {
        let records = length / Int64(Record.payloadLimit)
        guard length % Int64(Record.payloadLimit) == 0, next.fileStart == fileEnd,
            next.position == position + records * Int64(Record.fullByteCount),
            next.sequence == sequence + UInt64(records)
        else { return nil }
        return Run(fileStart: fileStart, length: length + next.length, position: position, sequence: sequence)
    }
}

/// A range of the file and what it is made of.
struct Piece: Hashable, Sendable {
    enum Source: Hashable, Sendable {
        case zeros
        case log(Run)
    }
    var start: Int64
    var end: Int64
    var source: Source

    var isStaged: Bool { source != .zeros }
    /// Bytes held in the log.
    var stagedCount: Int64 { isStaged ? end - start : 0 }

    func cut(to range: Range<Int64>) -> Piece {
        Piece(start: max(start, range.lowerBound), end: min(end, range.upperBound), source: source)
    }

    func joined(with next: Piece) -> Piece? {
        guard end == next.start else { return nil }
        switch (source, next.source) {
        case (.zeros, .zeros):
            return Piece(start: start, end: next.end, source: .zeros)
        case (.log(let run), .log(let nextRun)) where end == run.fileEnd && next.start == nextRun.fileStart:
            return run.joined(with: nextRun).map { Piece(start: start, end: next.end, source: .log($0)) }
        default:
            return nil
        }
    }
}

/// The pieces of a file, in order and without overlaps. What lies between them is the map's owner's business.
///
/// Kept in chunks, so that a change moves and, when a snapshot shares the map, copies a few kilobytes only, and adding
/// at the end costs the same however many pieces there are.
struct ExtentMap: Sendable {
    /// Each has 1 to `chunkLimit` pieces.
    private var chunks: [[Piece]] = []
    private static let chunkLimit = 256
    /// Bytes of the file that stand in the log.
    private(set) var stagedCount: Int64 = 0

    var pieceCount: Int { chunks.reduce(0) { $0 + $1.count } }

    /// Calls `body` with the pieces that meet `range`, cut to it, in order.
    func forEachPiece(in range: Range<Int64>, _ body: (Piece) -> Void) {
        var chunk = firstChunk(endingAfter: range.lowerBound)
        while chunk < chunks.count {
            let pieces = chunks[chunk]
            for piece in pieces[Self.firstPiece(pieces, endingAfter: range.lowerBound)...] {
                if piece.start >= range.upperBound { return }
                body(piece.cut(to: range))
            }
            chunk += 1
        }
    }

    /// Puts `piece` where it belongs instead of whatever was there.
    mutating func insert(_ piece: Piece) {
        if appendInPlace(piece) { return }
        replace(piece.start..<piece.end, with: piece)
    }

    /// Forgets whatever `range` was made of.
    mutating func remove(_ range: Range<Int64>) {
        if range.isEmpty { return }
        replace(range, with: nil)
    }

    /// The common case: the piece goes on where the last one ends.
    private mutating func appendInPlace(_ piece: Piece) -> Bool {
        let last = chunks.count - 1
        guard last >= 0, let end = chunks[last].last, let joined = end.joined(with: piece) else { return false }
        chunks[last][chunks[last].count - 1] = joined
        stagedCount += piece.stagedCount
        return true
    }

    /// Rebuilds the chunks that meet `range`.
    private mutating func replace(_ range: Range<Int64>, with new: Piece?) {
        // A piece that only touches the range at its end may be joined with the new one, so its chunk takes part.
        let first = max(0, min(firstChunk(endingAfter: range.lowerBound - 1), chunks.count - 1))
        var last = first
        while last + 1 < chunks.count, let start = chunks[last + 1].first?.start, start < range.upperBound { last += 1 }

        var rebuilt: [Piece] = []
        let old = first < chunks.count ? first..<last + 1 : 0..<0
        var isPlaced = new == nil
        func place() {
            guard !isPlaced, let new else { return }
            isPlaced = true
            if let before = rebuilt.last, let joined = before.joined(with: new) {
                rebuilt[rebuilt.count - 1] = joined
            } else {
                rebuilt.append(new)
            }
        }
        for piece in chunks[old].joined() {
            if piece.start < range.lowerBound {
                rebuilt.append(piece.cut(to: piece.start..<min(piece.end, range.lowerBound)))
            }
            if piece.end > range.lowerBound { place() }
            if piece.end > range.upperBound {
                rebuilt.append(piece.cut(to: max(piece.start, range.upperBound)..<piece.end))
            }
            stagedCount -= piece.stagedCount
        }
        place()
        stagedCount += rebuilt.reduce(0) { $0 + $1.stagedCount }
        chunks.replaceSubrange(old, with: Self.chunked(rebuilt))
    }

    private static func chunked(_ pieces: [Piece]) -> [[Piece]] {
        if pieces.isEmpty { return [] }
        if pieces.count <= chunkLimit { return [pieces] }
        // Halves: both have room for what comes next.
        return stride(from: 0, to: pieces.count, by: chunkLimit / 2).map {
            Array(pieces[$0..<min($0 + chunkLimit / 2, pieces.count)])
        }
    }

    private func firstChunk(endingAfter offset: Int64) -> Int {
        partition(chunks.count) { chunks[$0][chunks[$0].count - 1].end > offset }
    }

    private static func firstPiece(_ pieces: [Piece], endingAfter offset: Int64) -> Int {
        partition(pieces.count) { pieces[$0].end > offset }
    }
}

/// The first of `count` indices for which `isAfter` holds, where it holds for all that follow; `count` if for none.
private func partition(_ count: Int, _ isAfter: (Int) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
        let middle = (low + high) / 2
        if isAfter(middle) { high = middle } else { low = middle + 1 }
    }
    return low
}
