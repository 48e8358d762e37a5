import Disk
import Glibc
import Sealing
import SystemPackage
import TestSupport
import Testing

@testable import BlockCache

@Suite("The cache's limit")
struct LimitTests {
    @Test("Never more than the limit is on the disk, and the newest stays")
    func limit() throws {
        let directory = try TemporaryDirectory()
        let cache = try openCache(directory.path, key: SealingKey(), limit: 8 * mebibyte)
        for number in 0..<60 {
            cache.write(version("\(number)"), photograph(number, 300_000))
            #expect(try diskUsage(directory.path) <= 8 * Int64(mebibyte))
            #expect(cache.bytes(version("\(number)"), 300_000) == photograph(number, 300_000))
        }
        #expect(cache.bytes(version("0"), 10) == [])
        #expect(cache.usage().bytes > 6 * Int64(mebibyte))
    }

    @Test("The one used longest ago goes first")
    func leastRecentlyUsed() throws {
        let directory = try TemporaryDirectory()
        let cache = try openCache(directory.path, key: SealingKey(), limit: 4 * mebibyte)
        for number in 0..<10 { cache.write(version("\(number)"), photograph(number, 300_000)) }
        #expect(cache.bytes(version("0"), 10).count == 10)
        for number in 10..<14 { cache.write(version("\(number)"), photograph(number, 300_000)) }
        #expect(cache.bytes(version("0"), 10).count == 10)
        #expect(cache.bytes(version("1"), 10) == [])
    }

    @Test("A new file's bytes are charged with its row where there is room for them, and else not at all")
    func chargedAhead() throws {
        let directory = try TemporaryDirectory()
        let index = try Index(directory.path.appending("index.sqlite"))
        func set(_ byte: UInt8, _ charged: Int64, ahead: Int64) throws -> Int64 {
            let name = VersionName(bytes: Array(repeating: byte, count: 32))
            return try index.set(charged, ahead: ahead, name, limit: 1000, share: 750).ahead
        }
        #expect(try set(1, 0, ahead: 400) == 400)
        #expect(try set(2, 0, ahead: 601) == 0)
        #expect(try set(2, 0, ahead: 600) == 600)
        #expect(try index.total() == 1000)
        // A row that is there is set anew, not added to.
        #expect(try set(2, 100, ahead: 500) == 500)
        #expect(try index.total() == 1000)
        #expect(try set(1, 0, ahead: 0) == 0)
        #expect(try set(2, 700, ahead: 51) == 0)
        #expect(try index.total() == 700)
    }

    @Test("What is pinned stays, also against another process's cache; unpinned it goes")
    func pins() throws {
        let directory = try TemporaryDirectory()
        let key = SealingKey()
        let cache = try openCache(directory.path, key: key, limit: 4 * mebibyte)
        // A second instance has its own descriptors and pins, as a second process has.
        let other = try openCache(directory.path, key: key, limit: 4 * mebibyte)
        cache.pin(version("kept"))
        cache.pin(version("kept"))
        cache.write(version("kept"), photograph(1, 300_000))
        cache.unpin(version("kept"))
        for number in 0..<30 {
            cache.write(version("\(number)"), photograph(number, 300_000))
            other.write(version("o\(number)"), photograph(number, 300_000))
        }
        #expect(cache.bytes(version("kept"), 300_000) == photograph(1, 300_000))
        cache.unpin(version("kept"))
        for number in 0..<30 { other.write(version("p\(number)"), photograph(number, 300_000)) }
        #expect(cache.bytes(version("kept"), 300_000) == [])
    }

    @Test("A version larger than the cache, written while pinned, does not keep small ones out")
    func hugeVersion() throws {
        let directory = try TemporaryDirectory()
        let cache = try openCache(directory.path, key: SealingKey(), limit: 8 * mebibyte)
        let chunk = photograph(9, mebibyte)
        cache.pin(version("huge"))
        for number in 0..<20 { cache.write(version("huge"), chunk, size: 20 * mebibyte, at: number * mebibyte) }
        #expect(try diskUsage(directory.path) <= 8 * Int64(mebibyte))
        cache.write(version("small"), photograph(1, 100_000))
        #expect(cache.bytes(version("small"), 100_000) == photograph(1, 100_000))
        cache.write(version("larger than all in one call"), photograph(2, 12 * mebibyte))
        cache.write(version("small2"), photograph(3, 100_000))
        #expect(cache.bytes(version("small2"), 100_000) == photograph(3, 100_000))
        #expect(try diskUsage(directory.path) <= 8 * Int64(mebibyte))
    }

    @Test("A cache without room keeps nothing and fails nothing", arguments: [0, 1000, 70_000])
    func tiny(limit: Int) throws {
        let directory = try TemporaryDirectory()
        let cache = try openCache(directory.path, key: SealingKey(), limit: limit)
        cache.write(version("a"), photograph(1, 300_000))
        #expect(cache.bytes(version("a"), 300_000) == [])
        #expect(try diskUsage(directory.path) <= Int64(limit))
    }

    @Test("What is counted is what the disk says, after writes in pieces, damage, removal and reopening")
    func exact() throws {
        let directory = try TemporaryDirectory()
        let key = SealingKey()
        do {
            let cache = try openCache(directory.path, key: key)
            for number in 0..<20 { cache.write(version("\(number)"), photograph(number, 17_000 * number + 1)) }
            let large = photograph(50, 3 * mebibyte + 5)
            for start in stride(from: 0, to: large.count, by: mebibyte / 2) {
                cache.write(
                    version("large"), Array(large[start..<min(start + mebibyte / 2, large.count)]), size: large.count,
                    at: start)
            }
            // Written again: already there.
            cache.write(version("large"), large)
            #expect(cache.bytes(version("large"), large.count) == large)
            #expect(cache.usage().bytes == (try diskUsage(directory.path)))
            cache.remove(version("3"))
            #expect(cache.bytes(version("3"), 10) == [])
            #expect(cache.usage().bytes == (try diskUsage(directory.path)))
        }
        let cache = try openCache(directory.path, key: key)
        #expect(cache.usage().bytes == (try diskUsage(directory.path)))
        #expect(cache.makeRoom(mebibyte64) >= mebibyte64)
        #expect(cache.usage().bytes == (try diskUsage(directory.path)))
        _ = cache.makeRoom(.max / 2)
        #expect(cache.usage().bytes == 0)
        #expect(try blockFiles(directory.path).isEmpty)
    }

    @Test("A destroyed cache leaves nothing on the disk, and everything is a miss")
    func destroyed() throws {
        let directory = try TemporaryDirectory()
        let cache = try openCache(directory.path, key: SealingKey())
        cache.write(version("a"), photograph(1, 100_000))
        try cache.destroy()
        #expect(try OpenFile.status(of: directory.path) == nil)
        cache.write(version("a"), photograph(1, 100_000))
        #expect(cache.bytes(version("a"), 10) == [])
        #expect(try OpenFile.status(of: directory.path) == nil)
    }

    @Test("Parts of blocks, gaps and the end are told exactly")
    func ranges() throws {
        let directory = try TemporaryDirectory()
        let cache = try openCache(directory.path, key: SealingKey())
        let block = BlockCache.blockSize
        let bytes = photograph(4, 40 * block + 77)
        let a = version("a")
        cache.write(a, Array(bytes[(10 * block)..<(20 * block)]), size: bytes.count, at: 10 * block)
        cache.write(a, Array(bytes[(39 * block)...]), size: bytes.count, at: 39 * block)
        for (offset, count) in [
            (10 * block, 1), (10 * block + 1, block), (15 * block + 9, 3 * block), (16 * block - 1, 2),
            (12 * block + 5, 40 * block), (19 * block + 65535, 5), (39 * block + 3, 10 * block), (40 * block, 77),
            (40 * block + 70, 100), (40 * block + 77, 5), (9 * block, 5 * block), (20 * block, 1), (90 * block, 9),
        ] {
            let end = min(offset + count, offset < 20 * block ? 20 * block : bytes.count)
            let isThere = (10 * block..<20 * block).contains(offset) || (39 * block..<bytes.count).contains(offset)
            let expected = isThere ? Array(bytes[offset..<end]) : []
            #expect(cache.bytes(a, count, at: offset) == expected, "\(offset) \(count)")
            #expect(cache.availableCount(a, offset: Int64(offset), limit: count) == expected.count)
        }
    }

    @Test("Threads that read, write and evict the same versions get right bytes or misses, and no damage is logged")
    func threads() async throws {
        let directory = try TemporaryDirectory()
        let lines = LogLines()
        let key = SealingKey()
        let caches = try (0..<2).map { _ in try openCache(directory.path, key: key, limit: 3 * mebibyte, lines) }
        let photographs = (0..<12).map { photograph($0, 400_000) }
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<6 {
                group.addTask {
                    for round in 0..<150 {
                        let number = (round * 7 + worker * 5) % 12
                        let cache = caches[worker % 2]
                        if (round + worker) % 3 == 0 {
                            cache.write(version("\(number)"), photographs[number])
                        } else {
                            let got = cache.bytes(version("\(number)"), 400_000)
                            #expect(got == Array(photographs[number][..<got.count]))
                        }
                    }
                }
            }
        }
        #expect(lines.all == [])
        for cache in caches { cache.flush() }
        #expect(try diskUsage(directory.path) <= caches[0].usage().bytes)
        #expect(caches[0].usage().bytes <= 3 * Int64(mebibyte))
    }
}

private let mebibyte64 = Int64(mebibyte)
