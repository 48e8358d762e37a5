import Sealing
import SystemPackage
import TestSupport
import Testing

@testable import Journal

/// The plain model: a file is an array of bytes.
private struct Model {
    var bytes: [UInt8]

    mutating func write(_ new: [UInt8], at offset: Int) {
        if bytes.count < offset + new.count { truncate(to: offset + new.count) }
        bytes.replaceSubrange(offset..<offset + new.count, with: new)
    }

    mutating func truncate(to size: Int) {
        if size < bytes.count {
            bytes.removeLast(bytes.count - size)
        } else {
            bytes += [UInt8](repeating: 0, count: size - bytes.count)
        }
    }

    mutating func zero(_ range: Range<Int>, growing: Bool) {
        if growing, range.upperBound > bytes.count { truncate(to: range.upperBound) }
        for index in range.clamped(to: 0..<bytes.count) { bytes[index] = 0 }
    }
}

@Suite("A staged file against a plain array of bytes")
struct ModelTests {
    @Test(
        "Random writes, cuts, holes, snapshots, compactions and recoveries give what an array gives",
        arguments: [1, 2, 3, 4, 5, 6, 9, 10, 11, 12] as [UInt64])
    func random(seed: UInt64) throws {
        var random = Seeded(seed)
        let directory = try TemporaryDirectory()
        // Small, so that any write may be the one that leads to a compaction.
        let store = try makeStore(
            directory, key: seed % 3 == 0 ? nil : SealingKey(),
            smallestCompaction: seed % 2 == 0 ? 1 << 20 : StagedFile.Store.usualCompaction)
        let base = random.bytes(seed % 2 == 0 ? 0 : 200_000)
        let file = try store.create(baseSize: Int64(base.count))
        var model = Model(bytes: base)
        var snapshots: [(StagedFile.Snapshot, [UInt8])] = []
        var appendAt = 0

        for step in 0..<1500 {
            let generation = file.generation
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<35:
                let bytes = random.bytes(Int.random(in: 1...6000, using: &random))
                try file.write(bytes, at: Int64(appendAt))
                model.write(bytes, at: appendAt)
                appendAt += bytes.count
                if appendAt > 900_000 { appendAt = Int.random(in: 0..<400_000, using: &random) }
            case 35..<60:
                let bytes = random.bytes(Int.random(in: 1...5000, using: &random))
                let at = Int.random(in: 0..<700_000, using: &random)
                try file.write(bytes, at: Int64(at))
                model.write(bytes, at: at)
            case 60..<68:
                let bytes = random.bytes(Int.random(in: 50_000...270_000, using: &random))
                let at = Int.random(in: 0..<700_000, using: &random)
                try file.write(bytes, at: Int64(at))
                model.write(bytes, at: at)
            case 68..<74:
                let size = Int.random(in: 0..<1_000_000, using: &random)
                try file.truncate(to: Int64(size))
                model.truncate(to: size)
                appendAt = size
            case 74..<84:
                let start = Int.random(in: 0..<900_000, using: &random)
                let range = start..<start + Int.random(in: 0..<100_000, using: &random)
                let growing = Bool.random(using: &random)
                try file.zero(Int64(range.lowerBound)..<Int64(range.upperBound), growing: growing)
                model.zero(range, growing: growing)
            case 84..<90:
                snapshots.append((file.snapshot(), model.bytes))
                if snapshots.count > 4 { snapshots.removeFirst() }
            case 90..<93:
                try file.compactNow()
                #expect(file.generation == generation)
            case 93..<95:
                let now = file.snapshot()
                let recovered = try store.recover(file.path)
                #expect(recovered.size == now.size)
                #expect(recovered.droppedByteCount == 0)
                #expect(try recovered.all(base: base) == model.bytes, "recovered, seed \(seed) step \(step)")
            default:
                for (snapshot, bytes) in snapshots {
                    #expect(try snapshot.all(base: base) == bytes, "snapshot, seed \(seed) step \(step)")
                }
            }
            try #require(file.size == Int64(model.bytes.count), "seed \(seed) step \(step)")
            let from = Int.random(in: 0...model.bytes.count, using: &random)
            let to = min(model.bytes.count, from + Int.random(in: 0..<150_000, using: &random))
            let same = try file.contents(Int64(from)..<Int64(to), base: base) == Array(model.bytes[from..<to])
            try #require(same, "range \(from)..<\(to), seed \(seed) step \(step)")
        }
        #expect(try file.all(base: base) == model.bytes)
    }

    @Test("The map agrees with an array of marks after thousands of random changes", arguments: [7, 8] as [UInt64])
    func map(seed: UInt64) {
        var random = Seeded(seed)
        var map = ExtentMap()
        var marks = [Int](repeating: 0, count: 20_000)
        for step in 1...6000 {
            let start = Int.random(in: 0..<19_900, using: &random)
            let end = start + Int.random(in: 1...(step % 50 == 0 ? 100 : 6), using: &random)
            let run = Run(
                fileStart: Int64(start), length: Int64(end - start), position: Int64(step) << 32,
                sequence: UInt64(step))
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                map.remove(Int64(start)..<Int64(end))
                for at in start..<end { marks[at] = 0 }
            case 1:
                map.insert(Piece(start: Int64(start), end: Int64(end), source: .zeros))
                for at in start..<end { marks[at] = -1 }
            default:
                map.insert(Piece(start: Int64(start), end: Int64(end), source: .log(run)))
                for at in start..<end { marks[at] = step }
            }
        }
        var seen = [Int](repeating: 0, count: 20_000)
        map.forEachPiece(in: 0..<20_000) { piece in
            for at in piece.start..<piece.end {
                switch piece.source {
                case .zeros: seen[Int(at)] = -1
                case .log(let run): seen[Int(at)] = Int(run.sequence)
                }
            }
        }
        #expect(seen == marks)
        #expect(map.stagedCount == marks.count { $0 > 0 })
    }
}
