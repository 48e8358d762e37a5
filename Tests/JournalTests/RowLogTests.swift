import Disk
import Glibc
import Sealing
import SystemPackage
import TestSupport
import Testing

@testable import Journal

@Suite struct RowLogTests {
    /// A journal in a directory, and the rows that it gave back.
    private func open(
        _ path: FilePath, key: SealingKey?
    ) throws(JournalUnavailable) -> (journal: SpaceJournal, rows: [[UInt8]: [UInt8]]) {
        var rows: [[UInt8]: [UInt8]] = [:]
        let journal = try SpaceJournal(directory: path, key: key, logger: quiet) { name, value in
            rows[Array(name)] = value.map { Array($0) }
        }
        return (journal, rows)
    }

    private func batch(_ changes: [([UInt8], [UInt8]?)]) -> RowBatch {
        var batch = RowBatch()
        for (name, value) in changes {
            if let value { batch.set(name, value) } else { batch.remove(name) }
        }
        return batch
    }

    @Test("A journal that somebody has open is refused, and says so")
    func inUse() throws {
        let directory = try TemporaryDirectory()
        let first = try open(directory.path, key: nil)
        #expect {
            _ = try open(directory.path, key: nil)
        } throws: { error in
            (error as? JournalUnavailable)?.reason == .inUse && "\(error)".contains(directory.path.string)
        }
        withExtendedLifetime(first.journal) {}
    }

    @Test(
        "A log cut or changed anywhere gives whole batches only, in their order, and takes more",
        arguments: [true, false])
    func damaged(_ isSealed: Bool) throws {
        var random = Seeded(21)
        let directory = try TemporaryDirectory()
        let key = isSealed ? SealingKey() : nil
        var ends: [Int64] = []
        do {
            let journal = try open(directory.path, key: key).journal
            for number in 0..<40 {
                // Both rows of a batch say which one it was; some are longer than one record.
                let length = number % 8 == 7 ? 150_000 : 20
                let value = [UInt8](repeating: UInt8(number), count: length)
                journal.rows.enqueue(batch([([1], value), ([2], value)]))
                try journal.rows.flush()
                ends.append(journal.rows.size)
            }
        }
        let path = directory.path.appending("rows.log")
        let whole = try bytes(path)
        for _ in 0..<60 {
            var damaged = whole
            let at = Int.random(in: Log.headByteCount..<whole.count, using: &random)
            if Bool.random(using: &random) { damaged.removeSubrange(at...) } else { damaged[at] ^= 0x40 }
            try replace(path, damaged)
            let (journal, rows) = try open(directory.path, key: key)
            let last = ends.lastIndex { $0 <= Int64(at) }
            #expect(rows[[1]]?.first == last.map { UInt8($0) })
            #expect(rows[[1]] == rows[[2]])
            journal.rows.enqueue(batch([([3], [9])]))
            try journal.rows.flush()
            let size = journal.rows.size
            _ = consume journal
            let again = try open(directory.path, key: key)
            #expect(again.rows[[3]] == [9] && again.rows[[1]] == rows[[1]])
            #expect(again.journal.rows.size == size)
        }
    }

    @Test("What does not open with the key is put aside whole, and the journal begins anew")
    func otherKey() throws {
        let directory = try TemporaryDirectory()
        do {
            let journal = try open(directory.path, key: SealingKey()).journal
            journal.rows.enqueue(batch([([1], [1])]))
            try journal.rows.sync()
            _ = try journal.staging.create(baseSize: 0)
        }
        let before = try bytes(directory.path.appending("rows.log"))
        let (journal, rows) = try open(directory.path, key: SealingKey())
        #expect(rows.isEmpty)
        let aside = try #require(try Directory.names(directory.path).first { $0.hasPrefix("unreadable-") })
        let kept = directory.path.appending(aside)
        #expect(try bytes(kept.appending("rows.log")) == before)
        #expect(try Directory.names(kept.appending("staged")).count == 1)
        withExtendedLifetime(journal) {}
    }

    @Test("A rewritten log says the same in less room, and what came after stands behind it")
    func rewritten() throws {
        let directory = try TemporaryDirectory()
        let journal = try open(directory.path, key: SealingKey([UInt8](repeating: 7, count: 32))).journal
        for number in 0..<3000 {
            journal.rows.enqueue(batch([([1], [UInt8](repeating: UInt8(number % 256), count: 2000))]))
        }
        try journal.rows.flush()
        #expect(journal.rows.isWorthRewriting)
        let batches = [batch([([1], [4]), ([2], [6])]), RowBatch(), batch([([1], [5])])]
        journal.rows.enqueueRewrite { (write) throws(Errno) in for batch in batches { try write(batch) } }
        journal.rows.enqueue(batch([([2], nil), ([3], [7])]))
        try journal.rows.flush()
        #expect(journal.rows.size < 1000 && !journal.rows.isWorthRewriting)
        _ = consume journal
        let again = try open(directory.path, key: SealingKey([UInt8](repeating: 7, count: 32)))
        #expect(again.rows == [[1]: [5], [3]: [7]])
    }

    @Test("A rewrite whose new name may not be on the disk goes on in the new log, and no sync succeeds before it is")
    func rewriteUnsynced() throws {
        let disk = SimulatedDisk(seed: 1)
        func open(_ disk: SimulatedDisk) throws -> (journal: SpaceJournal, rows: [[UInt8]: [UInt8]]) {
            var rows: [[UInt8]: [UInt8]] = [:]
            let journal = try SpaceJournal(directory: "/j", key: nil, logger: quiet, disk: disk) { name, value in
                rows[Array(name)] = value.map { Array($0) }
            }
            return (journal, rows)
        }
        let journal = try open(disk).journal
        journal.rows.enqueue(batch([([1], [1])]))
        try journal.rows.sync()
        let rows = batch([([1], [1])])
        journal.rows.enqueueRewrite { (write) throws(Errno) in try write(rows) }
        disk.failNext(.syncDirectory, with: .ioError)
        try journal.rows.flush()
        #expect(journal.rows.isWorthRewriting)
        #expect(throws: Errno.ioError) { try journal.rows.sync() }
        journal.rows.enqueue(batch([([2], [2])]))
        try journal.rows.flush()
        // A kill finds what came after, in the log that has the name.
        let again = try open(disk.crash(power: false))
        #expect(again.rows == [[1]: [1], [2]: [2]])
    }

    @Test("A log that another process wrote is rewritten before a sync, and synced as it is where the disk is full")
    func inherited() throws {
        for isFull in [false, true] {
            let disk = SimulatedDisk(seed: 1)
            func open(_ disk: SimulatedDisk) throws -> SpaceJournal {
                try SpaceJournal(directory: "/j", key: nil, logger: quiet, disk: disk) { _, _ in }
            }
            do {
                let first = try open(disk)
                first.rows.enqueue(batch([([1], [1])]))
                try first.rows.sync()
            }
            let journal = try open(disk.crash(power: false))
            #expect(journal.rows.needsRewriting)
            #expect(throws: Errno.ioError) { try journal.rows.sync() }
            if isFull { disk.failNext(.write, with: .noSpace) }
            let rows = batch([([1], [1])])
            journal.rows.enqueueRewrite { (write) throws(Errno) in try write(rows) }
            try journal.rows.sync()
            #expect(!journal.rows.needsRewriting)
        }
    }

    @Test("A staged log that was put aside is never removed as a leftover")
    func putAside() throws {
        let directory = try TemporaryDirectory()
        let store = try makeStore(directory, key: nil)
        let (damaged, left) = (try store.create(baseSize: 0), try store.create(baseSize: 0))
        store.putAside(damaged.name)
        store.remove(try store.leftovers(except: []))
        #expect(try Directory.names(directory.path) == [damaged.name + ".damaged"])
        #expect(left.name != damaged.name)
    }

    @Test("A full disk refuses a batch and keeps it for later; nothing of it is found in between")
    func fullDisk() throws {
        let disk = try SmallDisk(megabytes: 2)
        let key = SealingKey([UInt8](repeating: 7, count: 32))
        var journal: SpaceJournal? = try open(disk.path.appending("j"), key: key).journal
        journal?.rows.enqueue(batch([([1], [1])]))
        try journal?.rows.flush()
        journal?.rows.enqueue(batch([([1], [UInt8](repeating: 2, count: 4 << 20)), ([2], [2])]))
        #expect(throws: Errno.noSpace) { try journal?.rows.flush() }
        #expect(throws: Errno.noSpace) { try journal?.rows.sync() }
        journal = nil
        let again = try open(disk.path.appending("j"), key: key)
        #expect(again.rows == [[1]: [1]])
    }

    @Test("A log is not compacted while somebody else wants to come back to a point of it", arguments: [false, true])
    func wantedByAnother(_ isKnown: Bool) throws {
        let directory = try TemporaryDirectory()
        let store = try makeStore(directory, key: nil, smallestCompaction: 1000)
        let file = try store.create(baseSize: 0)
        try file.write([UInt8](repeating: 1, count: 4000), at: 0)
        let closed = try file.settle(mayCompact: true).point
        for _ in 0..<4 { try file.write([UInt8](repeating: 2, count: 4000), at: 0) }
        let next = try file.settle(mayCompact: true, knowing: isKnown ? [closed] : [])
        #expect((next.point.log == closed.log) == !isKnown)
        if !isKnown {
            #expect(try store.recover(file.name, upTo: closed).file.all() == [UInt8](repeating: 1, count: 4000))
        }
    }

    @Test("A staged file comes back as it was at a point, also when more was written after")
    func points() throws {
        var random = Seeded(31)
        for isCompacted in [false, true] {
            let directory = try TemporaryDirectory()
            let store = try makeStore(directory, key: SealingKey([UInt8](repeating: 7, count: 32)))
            let file = try store.create(baseSize: 0)
            let first = random.bytes(200_000)
            try file.write(first, at: 0)
            let (snapshot, point) = try file.settle(mayCompact: true)
            #expect(snapshot.size == 200_000)
            try file.write(random.bytes(90_000), at: 70_000)
            let (_, later) = try file.settle(mayCompact: false)
            let second = try file.all()
            try file.write([1], at: 0)
            if isCompacted { try file.compactNow() }
            let (again, marked) = try store.recover(file.name, upTo: later, marking: point)
            if isCompacted {
                // The points are of another log: all of it is what was there when it was rewritten.
                #expect(try again.all() == [1] + second[1...])
                #expect(try marked?.all() == [1] + second[1...])
            } else {
                #expect(try again.all() == second)
                #expect(try marked?.all() == first)
                #expect(throws: Errno.ioError) {
                    try store.recover(file.name, upTo: StagedFile.Point(log: point.log, sequence: 1 << 40))
                }
                #expect(try store.recover(file.name, upTo: point).file.all() == first)
            }
        }
    }

    @Test(
        "A point of before a compaction means what that has kept, not what was written since; and no row names it",
        arguments: [false, true])
    func pointBeforeCompaction(settles: Bool) throws {
        let disk = SimulatedDisk(seed: 1)
        var rows: [[UInt8]: [UInt8]] = [:]
        func open(_ disk: SimulatedDisk) throws -> SpaceJournal {
            rows = [:]
            return try SpaceJournal(directory: "/j", key: nil, logger: quiet, disk: disk) { name, value in
                rows[Array(name)] = value.map { Array($0) }
            }
        }
        let journal = try open(disk)
        let file = try journal.staging.create(baseSize: 0)
        let size = 12 << 20
        try file.write([UInt8](repeating: 1, count: size), at: 0)
        let point = try file.settle(mayCompact: true).point
        try file.sync()
        if !settles { file.release(point) }
        journal.rows.enqueue(batch([([1], [1])]))
        let second = [UInt8](repeating: 2, count: size)
        try file.write(second, at: 0)
        if settles { file.release(try file.settle(mayCompact: true).point) }
        #expect(file.diskUsage < Int64(size) * 3 / 2, "it was compacted")
        try file.write([UInt8](repeating: 3, count: 100_000), at: 0)
        let again = try open(disk.crash(power: false))
        #expect(try again.staging.recover(file.name, upTo: point).file.all() == second)
        withExtendedLifetime(again) {}
        let after = try open(disk.crash(power: true))
        #expect(rows == [[1]: [1]])
        withExtendedLifetime(after) {}
    }

    @Test("A write that has its log rewritten keeps its own end, which memory holds")
    func endOfWriteAtCompaction() throws {
        let journal = try SpaceJournal(
            directory: "/j", key: nil, logger: quiet, disk: SimulatedDisk(seed: 1), smallestCompaction: 1 << 20
        ) { _, _ in }
        let file = try journal.staging.create(baseSize: 0)
        var used = file.diskUsage
        var compactions = 0
        for value in UInt8(1)...20 {
            let contents = [UInt8](repeating: value, count: 200_000)
            try file.write(contents, at: 0)
            if file.diskUsage < used { compactions += 1 }
            used = file.diskUsage
            #expect(try file.all() == contents)
        }
        #expect(compactions > 0)
    }

    @Test(
        "A log that is written anew after a failed sync still comes back to the point that was noted",
        arguments: [false, true])
    func pointAfterFailedSync(isReleased: Bool) throws {
        for isSealed in [false, true] {
            var random = Seeded(41)
            let disk = SimulatedDisk(seed: 1)
            let key = isSealed ? SealingKey([UInt8](repeating: 7, count: 32)) : nil
            func open(_ disk: SimulatedDisk) throws -> SpaceJournal {
                try SpaceJournal(directory: "/j", key: key, logger: quiet, disk: disk) { _, _ in }
            }
            let file = try open(disk).staging.create(baseSize: 0)
            let first = random.bytes(200_000)
            try file.write(first, at: 0)
            let point = try file.settle(mayCompact: true).point
            try file.write(random.bytes(90_000), at: 70_000)
            // Its row may go on to name it on the disk.
            if isReleased { file.release(point) }
            disk.failNext(.syncData, with: .ioError)
            #expect(throws: Errno.ioError) { try file.sync() }
            try file.sync()
            let all = try file.all()
            let again = try open(disk.crash(power: true)).staging
            let (whole, marked) = try again.recover(file.name, marking: point)
            #expect(try whole.all() == all)
            #expect(try marked?.all() == first)
        }
    }
}
