import Disk
import Sealing
import SystemPackage
import TestSupport
import Testing

@testable import Journal

@Suite("A staged file")
struct StagedFileTests {
    @Test("Offsets that cannot be are refused")
    func refusals() throws {
        let directory = try TemporaryDirectory()
        let store = try makeStore(directory, key: SealingKey())
        let file = try store.create(baseSize: 10)
        #expect(throws: Errno.invalidArgument) { try file.write([1], at: -1) }
        #expect(throws: Errno.fileTooLarge) { try file.write([1], at: .max) }
        #expect(throws: Errno.invalidArgument) { try file.truncate(to: -1) }
        #expect(throws: Errno.invalidArgument) { try file.zero(-5..<5, growing: true) }
        #expect(throws: Errno.invalidArgument) { _ = try file.bytes(0..<5) }
        #expect(throws: Errno.invalidArgument) { try store.create(baseSize: -1) }
        #expect(file.size == 10 && file.generation == 0)
    }

    @Test("A cut and grown file shows zeros where the base was, also after recovery and compaction")
    func cutAndGrown() throws {
        let directory = try TemporaryDirectory()
        let store = try makeStore(directory, key: SealingKey())
        let file = try store.create(baseSize: 100)
        try file.truncate(to: 40)
        try file.truncate(to: 80)
        #expect(file.extents(0..<500) == [.base(0..<40), .zeros(40..<80)])
        try file.compactNow()
        #expect(file.extents(0..<500) == [.base(0..<40), .zeros(40..<80)])
        #expect(try store.recover(file.path).extents(0..<500) == [.base(0..<40), .zeros(40..<80)])
    }

    @Test("A hole past the end grows the file only when asked to")
    func holes() throws {
        let directory = try TemporaryDirectory()
        let file = try makeStore(directory, key: SealingKey()).create(baseSize: 100)
        try file.zero(90..<200, growing: false)
        #expect(file.extents(0..<500) == [.base(0..<90), .zeros(90..<100)])
        try file.zero(150..<200, growing: true)
        #expect(file.extents(0..<500) == [.base(0..<90), .zeros(90..<200)])
        try file.zero(300..<400, growing: false)
        #expect(file.size == 200)
    }

    @Test("A snapshot stays readable after overwriting, compaction and discarding, though its log has no name")
    func snapshotOutlivesLog() throws {
        var random = Seeded(21)
        let directory = try TemporaryDirectory()
        let file = try makeStore(directory, key: SealingKey()).create(baseSize: 0)
        let bytes = random.bytes(400_000)
        try file.write(bytes, at: 0)
        let snapshot = file.snapshot()
        try file.write(random.bytes(400_000), at: 0)
        try file.compactNow()
        file.discard()
        try file.write([1], at: 500_000)
        try file.compactNow()
        try file.sync()
        #expect(try OpenFile.status(of: file.path) == nil)
        #expect(try Directory.names(file.path.removingLastComponent()) == [])
        #expect(try snapshot.all() == bytes)
        #expect(file.size == 500_001)
    }

    @Test("Overwriting again and again keeps the log within twice what is alive")
    func compaction() throws {
        var random = Seeded(22)
        let directory = try TemporaryDirectory()
        let file = try makeStore(directory, key: SealingKey()).create(baseSize: 0)
        let chunk = random.bytes(1 << 20)
        var snapshot: StagedFile.Snapshot?
        for round in 0..<80 {
            try file.write(chunk, at: Int64(round % 4) << 20)
            if round == 10 { snapshot = file.snapshot() }
            #expect(file.diskUsage < 18 << 20)
        }
        let disk = try #require(try OpenFile.status(of: file.path)?.size)
        #expect(disk == file.diskUsage)
        for index in 0..<4 {
            #expect(try file.bytes(Int64(index) << 20..<Int64(index + 1) << 20) == chunk)
            #expect(try snapshot?.bytes(Int64(index) << 20..<Int64(index + 1) << 20) == chunk)
        }
    }

    @Test("A file written in sequence has one piece in the index, whatever the size of the writes")
    func index() throws {
        let directory = try TemporaryDirectory()
        let store = try makeStore(directory, key: SealingKey())
        for count in [4096, 100_000, 131_072, 1 << 20] {
            let file = try store.create(baseSize: 0)
            let bytes = [UInt8](repeating: 3, count: count)
            for index in 0..<(3 << 20) / count { try file.write(bytes, at: Int64(index * count)) }
            #expect(file.snapshot().contents.map.pieceCount == 1)
            #expect(try store.recover(file.path).snapshot().contents.map.pieceCount == 1)
        }
    }

    @Test("Readers and writers at once: each read sees bytes of one of the writes, and snapshots never change")
    func threads() async throws {
        let directory = try TemporaryDirectory()
        let file = try makeStore(directory, key: SealingKey()).create(baseSize: 0)
        try file.write([UInt8](repeating: 0, count: 200_000), at: 0)
        await withTaskGroup(of: Void.self) { group in
            for worker in 1...2 {
                group.addTask {
                    for round in 0..<60 {
                        let bytes = [UInt8](repeating: UInt8(worker * 60 + round), count: 200_000)
                        #expect(throws: Never.self) { try file.write(bytes, at: 0) }
                        if round % 20 == 0 { #expect(throws: Never.self) { try file.compactNow() } }
                    }
                }
                group.addTask {
                    for _ in 0..<60 {
                        let snapshot = file.snapshot()
                        let first = try? snapshot.all()
                        let second = try? snapshot.all()
                        let live = try? file.bytes(0..<65_536)
                        guard let first, let second, let live else {
                            Issue.record("it can't be read")
                            return
                        }
                        #expect(first.count == 200_000 && first[..<131_072].isUniform)
                        #expect(live.count == 65_536 && live[...].isUniform)
                        #expect(second == first)
                    }
                }
            }
        }
    }
}
