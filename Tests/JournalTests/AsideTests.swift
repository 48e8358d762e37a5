import Disk
import Glibc
import Sealing
import SystemPackage
import TestSupport
import Testing

@testable import Journal

@Suite("What cannot be read of a journal")
struct AsideTests {
    private let key = SealingKey([UInt8](repeating: 7, count: 32))
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private var log: FilePath { directory.path.appending("rows.log") }

    private func open(_ key: SealingKey?) throws(JournalUnavailable) -> (journal: SpaceJournal, rows: Set<[UInt8]>) {
        var rows: Set<[UInt8]> = []
        let journal = try SpaceJournal(directory: directory.path, key: key, logger: quiet) { name, _ in
            rows.insert(Array(name))
        }
        return (journal, rows)
    }

    /// Ten batches; returns where each ends.
    private func fill() throws -> [Int64] {
        let journal = try open(key).journal
        return try (UInt8(0)..<10).map { number in
            var batch = RowBatch()
            batch.set([number], [UInt8](repeating: number, count: number == 6 ? 200_000 : 50))
            journal.rows.enqueue(batch)
            try journal.rows.flush()
            return journal.rows.size
        }
    }

    @Test(
        "Whole records behind a damaged one are kept aside with the log's head, wherever it was damaged",
        arguments: 0..<9)
    func damagedInTheMiddle(_ number: Int) throws {
        let ends = try fill()
        let start = number == 0 ? Int64(Log.headByteCount) : ends[number - 1]
        var damaged = try bytes(log)
        damaged[Int(start) + 70] ^= 1
        try replace(log, damaged)
        let (journal, rows) = try open(key)
        #expect(rows == Set((0..<UInt8(number)).map { [$0] }))
        let aside = try #require(journal.cutAside)
        let kept = Array(damaged[..<Log.headByteCount] + damaged[Int(start)...])
        #expect(try bytes(aside.appending("rows.log")) == kept)
        #expect(journal.asides == [.init(path: aside, byteCount: Int64(kept.count))])
        #expect(journal.rows.size == start)
        _ = consume journal
        // It is told as long as it is there, and not put aside again.
        let again = try open(key).journal
        #expect(again.cutAside == nil && again.asides.map(\.path) == [aside])
    }

    @Test("The torn end of the last batch is nothing that anybody was told, and is not kept")
    func tornEnd() throws {
        let ends = try fill()
        let whole = try bytes(log)
        for end in [ends[5] + 1, ends[5] + 70_000, ends[5] + 150_000, ends[8] + 64, ends[9] - 1] {
            try replace(log, Array(whole[..<Int(end)]))
            let journal = try open(key).journal
            #expect(journal.isCut && journal.cutAside == nil && journal.asides.isEmpty)
        }
        // Nor is what only looks like a record.
        try replace(log, whole + whole[Int(ends[3])..<Int(ends[4])] + [0, 0, 0])
        #expect(try open(key).journal.asides.isEmpty)
    }

    @Test("A full disk does not keep a damaged journal from being gone on with")
    func fullDisk() throws {
        let disk = SimulatedDisk(seed: 1)
        func open() throws -> SpaceJournal {
            try SpaceJournal(directory: "/j", key: key, logger: quiet, disk: disk) { _, _ in }
        }
        var journal: SpaceJournal? = try open()
        for number: UInt8 in 0..<3 {
            var batch = RowBatch()
            batch.set([number], [UInt8](repeating: 1, count: 5000))
            journal?.rows.enqueue(batch)
            try journal?.rows.flush()
        }
        journal = nil
        let file = try disk.open("/j/rows.log", O_RDWR)
        try [UInt8](repeating: 0xFF, count: 1).withUnsafeBytes { try file.write($0, at: 6000) }
        disk.failNext(.write, with: .noSpace)
        let again = try open()
        #expect(again.isCut && again.cutAside == nil && again.rows.size > 5000)
    }

    @Test("Staged logs that nothing speaks of are moved, not removed, where what spoke of them may be cut off")
    func leftovers() throws {
        let store = try open(key).journal.staging
        let (kept, left, damaged) = (
            try store.create(baseSize: 0), try store.create(baseSize: 0), try store.create(baseSize: 0)
        )
        store.putAside(damaged.name)
        let target = directory.path.appending("unreadable-1/staged")
        store.moveLeftovers(except: [kept.name], to: target)
        #expect(try Directory.names(target) == [left.name])
        #expect(Set(try Directory.names(directory.path.appending("staged"))) == [kept.name, damaged.name + ".damaged"])
        let asides = try open(key).journal.asides
        #expect(asides.map(\.path.lastComponent?.string) == [damaged.name + ".damaged", "unreadable-1"])
        #expect(asides.allSatisfy { $0.byteCount == Int64(Log.headByteCount) })
    }

    @Test("A journal of another key that holds nothing is not put aside")
    func empty() throws {
        _ = try open(key)
        let journal = try open(SealingKey()).journal
        #expect(journal.asides.isEmpty)
        _ = try journal.staging.create(baseSize: 0)
        _ = consume journal
        #expect(try open(key).journal.asides.count == 1)
    }

    @Test("A journal is removed with its key only, and not while somebody has it")
    func removed() throws {
        _ = try fill()
        var journal: SpaceJournal? = try open(key).journal
        let staged = try #require(try journal?.staging.create(baseSize: 0))
        SpaceJournal.remove(at: directory.path, key: try #require(key))
        journal = nil
        SpaceJournal.remove(at: directory.path, key: SealingKey())
        #expect(try open(key).rows.count == 10)
        #expect(try Directory.names(directory.path.appending("staged")) == [staged.name])
        SpaceJournal.remove(at: directory.path, key: try #require(key))
        #expect(try Directory.names(directory.path.appending("staged")) == [])
        let other = try open(SealingKey())
        #expect(other.rows.isEmpty && other.journal.asides.isEmpty)
    }
}
