import Disk
import Glibc
import ObjectStore
import Sealing
import SystemPackage
import TestSupport
import Testing

@testable import BlockCache

@Suite("A damaged cache")
struct DamageTests {
    private let size = mebibyte / 2 + 70_000

    @Test("A flipped byte anywhere in a file never reaches a reader", arguments: [true, false])
    func flippedByte(isSealed: Bool) throws {
        let directory = try TemporaryDirectory()
        let lines = LogLines()
        let cache = try openCache(directory.path, key: isSealed ? SealingKey() : nil, lines)
        let bytes = photograph(1, size)
        let heron = version("heron.jpg")
        cache.write(heron, bytes)
        let path = try #require(try blockFiles(directory.path).first)
        let fileSize = try #require(try OpenFile.status(of: path)?.size)
        var shortened = 0
        for _ in 0..<200 {
            try flip(path, at: Int64.random(in: 0..<fileSize))
            let got = cache.bytes(heron, size)
            try #require(got == Array(bytes[..<got.count]))
            if got.count < size { shortened += 1 }
            // What was dropped is written again, and the flipped byte with it.
            cache.write(heron, bytes)
            try #require(cache.bytes(heron, size) == bytes)
        }
        #expect(shortened > 100, "most flips hit a block")
        #expect(lines.all.contains { $0.contains("damaged block") })
        #expect(lines.all.allSatisfy { !$0.contains("heron") })
    }

    @Test("What did not open is not left in the destination")
    func destinationIsWiped() throws {
        let directory = try TemporaryDirectory()
        let cache = try openCache(directory.path, key: SealingKey())
        cache.write(version("a"), photograph(1, mebibyte))
        let path = try #require(try blockFiles(directory.path).first)
        try flip(path, at: BlockLayout.dataPosition(block: 3) + 5)
        var buffer = [UInt8](repeating: 0, count: mebibyte)
        let count = buffer.withUnsafeMutableBytes { cache.read(version("a"), offset: 0, into: $0) }
        #expect(count == 3 * BlockCache.blockSize)
        #expect(buffer[count...].allSatisfy { $0 == 0 })
    }

    @Test("Blocks that change places are misses", arguments: [true, false])
    func swappedBlocks(isSealed: Bool) throws {
        let directory = try TemporaryDirectory()
        let cache = try openCache(directory.path, key: isSealed ? SealingKey() : nil)
        cache.write(version("a"), photograph(1, mebibyte))
        let file = try OpenFile(try #require(try blockFiles(directory.path).first), O_RDWR)
        func exchange(_ a: Int64, _ b: Int64, _ count: Int) throws {
            var (first, second) = ([UInt8](repeating: 0, count: count), [UInt8](repeating: 0, count: count))
            _ = try first.withUnsafeMutableBytes { try file.read(at: a, into: $0) }
            _ = try second.withUnsafeMutableBytes { try file.read(at: b, into: $0) }
            try first.withUnsafeBytes { try file.write($0, at: b) }
            try second.withUnsafeBytes { try file.write($0, at: a) }
        }
        try exchange(BlockLayout.dataPosition(block: 2), BlockLayout.dataPosition(block: 5), BlockCache.blockSize)
        try exchange(BlockLayout.entryPosition(block: 2), BlockLayout.entryPosition(block: 5), 32)
        #expect(cache.bytes(version("a"), mebibyte).count == 2 * BlockCache.blockSize)
        #expect(cache.bytes(version("a"), 1000, at: 5 * BlockCache.blockSize) == [])
        #expect(cache.bytes(version("a"), 1000, at: 6 * BlockCache.blockSize).count == 1000)
    }

    @Test("A file put in the place of another version's is a miss", arguments: [true, false])
    func swappedFiles(isSealed: Bool) throws {
        let directory = try TemporaryDirectory()
        let key = isSealed ? SealingKey() : nil
        do {
            let cache = try openCache(directory.path, key: key)
            cache.write(version("a"), photograph(1, 100_000))
            cache.write(version("a", "2"), photograph(2, 100_000))
        }
        let paths = try blockFiles(directory.path)
        try #require(paths.count == 2)
        let aside = directory.path.appending("aside")
        try Directory.rename(paths[0], to: aside)
        try Directory.rename(paths[1], to: paths[0])
        try Directory.rename(aside, to: paths[1])
        let cache = try openCache(directory.path, key: key)
        #expect(cache.bytes(version("a"), 100_000) == [])
        #expect(cache.bytes(version("a", "2"), 100_000) == [])
    }

    @Test("Another key, another space and another ETag find nothing")
    func others() throws {
        let directory = try TemporaryDirectory()
        let key = SealingKey()
        let cache = try openCache(directory.path, key: key)
        cache.write(version("a"), photograph(1, 100_000))
        #expect(cache.bytes(version("a"), 100_000).count == 100_000)
        #expect(cache.bytes(version("a", "2"), 100_000) == [])
        #expect(try openCache(directory.path, key: key, space: "t").bytes(version("a"), 100_000) == [])
        #expect(try openCache(directory.path, key: SealingKey()).bytes(version("a"), 100_000) == [])
        #expect(try openCache(directory.path, key: key).bytes(version("a"), 100_000).count == 100_000)
    }

    @Test("Neither names nor bytes of an object stand in the directory")
    func nothingLeaks() throws {
        let directory = try TemporaryDirectory()
        do {
            let cache = try openCache(directory.path, key: SealingKey(), space: "secret-space")
            cache.write(version("secret-name", "secret-tag"), Array("secret-bytes".utf8))
        }
        func allText(_ path: FilePath) throws -> String {
            var text = ""
            for name in try Directory.names(path) {
                let child = path.appending(name)
                text += name
                if let file = try? OpenFile(child, O_RDONLY | O_NOFOLLOW) {
                    var bytes = [UInt8](repeating: 0, count: 300_000)
                    let count = try? bytes.withUnsafeMutableBytes { try file.read(at: 0, into: $0) }
                    if let count {
                        text += String(decoding: bytes[..<count], as: UTF8.self)
                    } else {
                        text += try allText(child)
                    }
                }
            }
            return text
        }
        #expect(!(try allText(directory.path)).contains("secret"))
        #expect((try allText(directory.path)).contains("SQLite format"), "the test looked into files")
    }

    @Test(
        "A damaged index costs the cached bytes and nothing else", arguments: ["index.sqlite", "index.sqlite-wal", ""])
    func damagedIndex(name: String) throws {
        let directory = try TemporaryDirectory()
        let key = SealingKey()
        do { try openCache(directory.path, key: key).write(version("a"), photograph(1, 100_000)) }
        let generation = try #require(try Directory.names(directory.path).first { $0.hasPrefix("g-") })
        if name.isEmpty {
            try Directory.remove(directory.path.appending("current"))
        } else {
            let file = try OpenFile(directory.path.appending(generation).appending(name), O_RDWR | O_CREAT)
            try file.truncate(to: 0)
            try photograph(3, 50_000).withUnsafeBytes { try file.write($0, at: 0) }
        }
        let cache = try openCache(directory.path, key: key)
        // The old files go in the background; until then nothing is kept, and nothing fails.
        let again = photograph(2, 100_000)
        #expect(isKept(again, version("b"), by: cache))
        let old = cache.bytes(version("a"), 100_000)
        #expect(old == [] || old == photograph(1, 100_000))
    }

    /// Writes until the cache keeps it, for a while.
    private func isKept(_ bytes: [UInt8], _ version: ObjectVersion, by cache: BlockCache) -> Bool {
        let end = ContinuousClock.now + .seconds(60)
        while cache.bytes(version, bytes.count) != bytes {
            if ContinuousClock.now > end { return false }
            cache.write(version, bytes)
            usleep(1000)
        }
        return true
    }

    @Test("An index that breaks while it is used is replaced")
    func indexBreaksInUse() throws {
        let directory = try TemporaryDirectory()
        let cache = try openCache(directory.path, key: SealingKey())
        cache.write(version("a"), photograph(1, 100_000))
        try Directory.removeTree(directory.path)
        let again = photograph(2, 100_000)
        #expect(isKept(again, version("b"), by: cache))
        #expect(try blockFiles(directory.path).count == 1)
    }
}
