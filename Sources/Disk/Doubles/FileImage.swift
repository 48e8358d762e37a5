/// One file of a simulated disk: its bytes as processes see them, and as they stand on the disk.
struct FileImage: Sendable {
    enum Change: Sendable {
        case write(Range<Int>)
        case size(Int)
    }

    struct Lock: Sendable {
        let view: Int
        let handle: Int
        let isExclusive: Bool
    }

    private(set) var live: [UInt8] = []
    private(set) var durable: [UInt8] = []
    /// What was changed since the last sync, oldest first. The bytes are those of `live`.
    private(set) var unsynced: [Change] = []
    /// A sync failed: bytes of `live` may be missing in `durable` though nothing is unsynced.
    private var isCacheAhead = false
    var linkCount = 0
    var openCount = 0
    /// Its room was given back.
    var isFreed = false
    var locks: [Lock] = []

    mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        if bytes.isEmpty { return }
        if offset > live.count { live.append(contentsOf: repeatElement(0, count: offset - live.count)) }
        let overlap = min(bytes.count, live.count - offset)
        live.replaceSubrange(offset..<offset + overlap, with: UnsafeRawBufferPointer(rebasing: bytes[..<overlap]))
        live.append(contentsOf: bytes[overlap...])
        unsynced.append(.write(offset..<offset + bytes.count))
    }

    mutating func truncate(to size: Int) {
        if size < live.count {
            live.removeLast(live.count - size)
        } else {
            live.append(contentsOf: repeatElement(0, count: size - live.count))
        }
        unsynced.append(.size(size))
    }

    mutating func sync() {
        for change in unsynced { Self.apply(change, of: live, to: &durable) }
        unsynced = []
    }

    /// The error has been told, the pages count as clean: what was not written by then never will be.
    mutating func failSync(_ random: inout SeededRandom) {
        durable = survivors(&random)
        unsynced = []
        isCacheAhead = true
    }

    /// What a power cut leaves becomes what there is.
    mutating func losePower(_ random: inout SeededRandom) {
        locks = []
        openCount = 0
        if unsynced.isEmpty && !isCacheAhead { return }
        durable = survivors(&random)
        live = durable
        unsynced = []
        isCacheAhead = false
    }

    /// The bytes on the disk with some of what is unsynced: all, none, the oldest, or any; the last of it maybe torn.
    private func survivors(_ random: inout SeededRandom) -> [UInt8] {
        let probability: Double
        var last = unsynced.count
        switch Int.random(in: 0..<5, using: &random) {
        case 0: return durable
        case 1: probability = 1
        case 2:
            probability = 1
            last = Int.random(in: 0...unsynced.count, using: &random)
        default: probability = Double.random(in: 0.1..<0.9, using: &random)
        }
        var bytes = durable
        for (index, change) in unsynced[..<last].enumerated() {
            for piece in Self.pages(change) where random.happens(probability) {
                let isTorn = index == last - 1 && random.happens(0.5)
                Self.apply(isTorn ? Self.torn(piece, &random) : piece, of: live, to: &bytes)
            }
        }
        return bytes
    }

    /// A write reaches the disk in pages of 4 KiB, each by itself.
    private static func pages(_ change: Change) -> [Change] {
        guard case .write(let range) = change, range.count > 4096 else { return [change] }
        return stride(from: range.lowerBound, to: range.upperBound, by: 4096).map {
            .write($0..<min($0 + 4096, range.upperBound))
        }
    }

    private static func torn(_ change: Change, _ random: inout SeededRandom) -> Change {
        guard case .write(let range) = change, range.count > 1 else { return change }
        let count = Int.random(in: 1..<range.count, using: &random)
        // Most disks write whole sectors; some tear inside one.
        let whole = Bool.random(using: &random) ? count / 512 * 512 : count
        return .write(range.lowerBound..<range.lowerBound + whole)
    }

    private static func apply(_ change: Change, of live: [UInt8], to bytes: inout [UInt8]) {
        switch change {
        case .size(let size):
            if size < bytes.count {
                bytes.removeLast(bytes.count - size)
            } else {
                bytes.append(contentsOf: repeatElement(0, count: size - bytes.count))
            }
        case .write(let range):
            // What was cut off since has no bytes any more.
            let range = range.clamped(to: 0..<live.count)
            if range.isEmpty { return }
            if range.lowerBound > bytes.count {
                bytes.append(contentsOf: repeatElement(0, count: range.lowerBound - bytes.count))
            }
            bytes.replaceSubrange(range.lowerBound..<min(range.upperBound, bytes.count), with: live[range])
        }
    }
}
