import Disk
import Glibc
import Sealing
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import BlockCache

/// Child processes get the key as bytes.
private let sharedKey = [UInt8](repeating: 7, count: 32)

@Suite("A cache that is killed, shared or on a bad disk")
struct ProcessTests {
    @Test("Killed while it writes, the cache opens again with right bytes, counts right and stays under its limit")
    func killed() async throws {
        let directory = try TemporaryDirectory()
        for _ in 0..<3 {
            await #expect(processExitsWith: .signal(SIGKILL)) { [path = directory.path.string as String] in
                let cache = try openCache(FilePath(path), key: SealingKey(sharedKey), limit: 16 * mebibyte)
                // Enough to find later, whenever the blow falls.
                for round in 0..<9 { cache.write(version("0-\(round)"), photograph(round, 900_001)) }
                for number in 1..<4 {
                    Task.detached {
                        for round in 0... {
                            cache.write(version("\(number)-\(round % 9)"), photograph(number * 9 + round % 9, 900_001))
                        }
                    }
                }
                usleep(UInt32.random(in: 30_000...150_000))
                kill(getpid(), SIGKILL)
            }
        }
        let lines = LogLines()
        let cache = try openCache(directory.path, key: SealingKey(sharedKey), limit: 16 * mebibyte, lines)
        #expect(try diskUsage(directory.path) <= 16 * Int64(mebibyte))
        var bytesFound = 0
        for number in 0..<36 {
            let name = version("\(number / 9)-\(number % 9)")
            let got = cache.bytes(name, 900_001)
            #expect(got == Array(photograph(number, 900_001)[..<got.count]))
            bytesFound += got.count
            cache.write(name, photograph(number, 900_001))
            #expect(cache.bytes(name, 900_001).count == 900_001)
        }
        #expect(bytesFound > 0)
        cache.flush()
        #expect(try diskUsage(directory.path) <= cache.usage().bytes)
        #expect(cache.usage().bytes <= 16 * Int64(mebibyte))
        #expect(lines.all == [])
    }

    @Test("Two processes share one cache and stay under its limit together")
    func shared() async throws {
        let directory = try TemporaryDirectory()
        let limit = 10 * mebibyte
        async let child = #expect(processExitsWith: .success) { [path = directory.path.string as String] in
            let cache = try openCache(FilePath(path), key: SealingKey(sharedKey), limit: 10 * mebibyte)
            for number in 0..<120 {
                let bytes = photograph(number, 350_000)
                cache.write(version("\(number)"), bytes)
                let got = cache.bytes(version("\(number)"), 350_000)
                try #require(got == Array(bytes[..<got.count]))
            }
        }
        let lines = LogLines()
        let cache = try openCache(directory.path, key: SealingKey(sharedKey), limit: limit, lines)
        var highest: Int64 = 0
        for number in 0..<400 {
            // The same versions as the child's, and others.
            let bytes = photograph(number, 350_000)
            cache.write(version("\(number)"), bytes)
            let got = cache.bytes(version("\(number)"), 350_000)
            #expect(got == Array(bytes[..<got.count]))
            highest = max(highest, (try? diskUsage(directory.path)) ?? 0)
        }
        _ = await child
        #expect(highest <= Int64(limit))
        #expect(try diskUsage(directory.path) > Int64(limit) / 2)
        #expect(lines.all == [])
    }

    @Test("A full disk makes writes do nothing, reads go on, and room makes it work again")
    func fullDisk() throws {
        let disk = try SmallDisk(megabytes: 4)
        let lines = LogLines()
        let cache = try openCache(disk.path, key: SealingKey(), limit: 64 * mebibyte, lines)
        let photographs = (0..<40).map { photograph($0, 300_000) }
        for number in 0..<40 {
            cache.write(version("\(number)"), photographs[number])
            for known in stride(from: number % 7, through: number, by: 7) {
                let got = cache.bytes(version("\(known)"), 300_000)
                #expect(got[...] == photographs[known][..<got.count])
            }
        }
        #expect(cache.bytes(version("1"), 300_000).count == 300_000)
        #expect(cache.bytes(version("39"), 300_000) == [])
        let complaints = lines.all.filter { $0.contains("can't be") || $0.contains("fails") }
        #expect((1...3).contains(complaints.count), "\(lines.all)")
        #expect(cache.makeRoom(1_000_000) >= 1_000_000)
        cache.write(version("new"), photograph(77, 300_000))
        #expect(cache.bytes(version("new"), 300_000) == photograph(77, 300_000))
    }

    @Test("A disk that becomes read-only still gives what it has")
    func readOnlyDisk() throws {
        let disk = try SmallDisk(megabytes: 8)
        let cache = try openCache(disk.path, key: SealingKey())
        cache.write(version("a"), photograph(1, 100_000))
        cache.flush()
        // Closes all files, which would keep the disk from changing.
        _ = cache.files.withLock { $0.removeAll() }
        guard (try? disk.makeReadOnly()) != nil else {
            // The index is open for writing, which keeps it writable: a disk does this only on an error of its own.
            #expect(cache.bytes(version("a"), 100_000).count == 100_000)
            return
        }
        #expect(cache.bytes(version("a"), 100_000) == photograph(1, 100_000))
        cache.write(version("b"), photograph(2, 100_000))
        #expect(cache.bytes(version("b"), 100_000) == [])
    }

    @Test("A cache that can't be made says where and what to do")
    func unavailable() throws {
        let directory = try TemporaryDirectory()
        let file = directory.path.appending("file")
        _ = try OpenFile(file, O_RDWR | O_CREAT)
        do throws(CacheUnavailable) {
            _ = try BlockCache(
                directory: file.appending("cache"), key: nil, limit: 1, space: "", logger: LogLines().logger)
            Issue.record("opened a cache below a file")
        } catch {
            #expect("\(error)".contains(file.string) && "\(error)".contains("cache_dir"))
        }
    }

    @Test("Opening a cache of many files reads none of them")
    func opening() throws {
        let directory = try TemporaryDirectory()
        // With another key, what is there would be removed beside the count.
        let key = SealingKey()
        do {
            let cache = try openCache(directory.path, key: key)
            for number in 0..<400 { cache.write(version("\(number)"), photograph(number, 10)) }
        }
        let folder = try #require(try blockFiles(directory.path).first).removingLastComponent()
        let before = try accessTime(folder)
        let cache = try openCache(directory.path, key: key)
        #expect(try accessTime(folder) == before)
        #expect(cache.usage().bytes == (try diskUsage(directory.path)))
    }

    private func accessTime(_ path: FilePath) throws -> [Int] {
        var status = stat()
        try #require(stat(path.string, &status) == 0)
        return [status.st_atim.tv_sec, status.st_atim.tv_nsec]
    }
}
