import Disk
import Glibc
import Sealing
import SystemPackage
import TestSupport
import Testing

@testable import Journal

@Suite("A staged file after crashes, damage and on a full disk")
struct DamageTests {
    @Test("A flipped byte anywhere in the log never reaches a reader nor a recovery", arguments: [true, false])
    func flippedByte(isSealed: Bool) throws {
        var random = Seeded(11)
        let directory = try TemporaryDirectory()
        let store = try makeStore(directory, key: isSealed ? SealingKey() : nil)
        let file = try store.create(baseSize: 0)
        let bytes = random.bytes(300_000)
        try file.write(bytes, at: 0)
        let snapshot = file.snapshot()
        let logSize = try #require(try OpenFile.status(of: file.path)?.size)
        var refusals = 0
        for _ in 0..<200 {
            let position = Int64.random(in: 0..<logSize, using: &random)
            try flip(file.path, at: position)
            do {
                #expect(try snapshot.all() == bytes)
            } catch {
                #expect(error as? Errno == .ioError)
                refusals += 1
            }
            let copy = try copied(file.path)
            do {
                let recovered = try store.recover(copy)
                #expect(try recovered.all() == Array(bytes[..<Int(recovered.size)]))
                recovered.discard()
            } catch {
                #expect(error as? Errno == .ioError)
            }
            try flip(file.path, at: position)
        }
        #expect(refusals > 150)
        #expect(try snapshot.all() == bytes)
    }

    @Test("A log cut anywhere gives the writes before the cut, and goes on from there")
    func tornTail() throws {
        var random = Seeded(12)
        let directory = try TemporaryDirectory()
        let store = try makeStore(directory, key: SealingKey())
        let file = try store.create(baseSize: 0)
        var states: [(logEnd: Int64, bytes: [UInt8])] = [(file.diskUsage, [])]
        var bytes: [UInt8] = []
        for _ in 0..<12 {
            let new = random.bytes(Int.random(in: 1...9000, using: &random))
            try file.write(new, at: Int64(bytes.count))
            bytes += new
            _ = file.snapshot()
            states.append((file.diskUsage, bytes))
        }
        for _ in 0..<60 {
            let cut = Int64.random(in: Int64(Log.headByteCount)...file.diskUsage, using: &random)
            let copy = try copied(file.path)
            try OpenFile(copy, O_RDWR).truncate(to: cut)
            let recovered = try store.recover(copy)
            let expected = try #require(states.last { $0.logEnd <= cut })
            #expect(try recovered.all() == expected.bytes)
            #expect(recovered.droppedByteCount == cut - expected.logEnd)
            try recovered.write([1, 2, 3], at: recovered.size)
            try recovered.sync()
            let again = try store.recover(copy)
            #expect(try again.all() == expected.bytes + [1, 2, 3])
            again.discard()
        }
    }

    @Test("Another key, and a log without one, are refused and left alone")
    func otherKey() throws {
        let directory = try TemporaryDirectory()
        let store = try makeStore(directory, key: SealingKey())
        let file = try store.create(baseSize: 0)
        try file.write([1, 2, 3], at: 0)
        try file.sync()
        let size = try OpenFile.status(of: file.path)?.size
        for key in [SealingKey(), nil] {
            #expect(throws: Errno.ioError) { try makeStore(directory, key: key).recover(file.path) }
        }
        #expect(try OpenFile.status(of: file.path)?.size == size)
        #expect(try store.recover(file.path).all() == [1, 2, 3])
    }

    @Test("A full disk refuses a write and changes nothing; room lets it go on")
    func fullDisk() throws {
        let disk = try SmallDisk(megabytes: 2)
        let store = try StagedFile.Store(directory: disk.path, key: SealingKey(), logger: quiet)
        var random = Seeded(13)
        let ballast = try OpenFile(disk.path.appending("ballast"), O_RDWR | O_CREAT)
        try random.bytes(700_000).withUnsafeBytes { try ballast.write($0, at: 0) }
        let file = try store.create(baseSize: 0)
        var bytes: [UInt8] = []
        var refusals = 0
        while refusals < 12 {
            let new = random.bytes(Int.random(in: 1...200_000, using: &random))
            let at = Int.random(in: 0...bytes.count, using: &random)
            let generation = file.generation
            do throws(Errno) {
                try file.write(new, at: Int64(at))
                bytes.replaceSubrange(at..<min(bytes.count, at + new.count), with: new)
            } catch {
                #expect(error == .noSpace)
                #expect(file.generation == generation)
                refusals += 1
            }
            #expect(file.size == Int64(bytes.count))
            #expect(try file.all() == bytes)
            #expect(try file.snapshot().all() == bytes)
        }
        #expect(throws: Errno.noSpace) {
            for size in 1...20_000 { try file.truncate(to: Int64(bytes.count + size % 2)) }
        }
        try ballast.truncate(to: 0)
        try file.truncate(to: Int64(bytes.count))
        try file.write([9], at: Int64(bytes.count))
        try file.sync()
        #expect(try file.all() == bytes + [9])
        #expect(try store.recover(file.path).all() == bytes + [9])
    }

    @Test("Killed at any time, what was flushed before is recovered by the next process")
    func killed() async throws {
        let directory = try TemporaryDirectory()
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = directory.path.string as String] in
            let store = try StagedFile.Store(
                directory: FilePath(path), key: SealingKey([UInt8](repeating: 5, count: 32)), logger: quiet)
            let file = try store.create(baseSize: 0)
            var random = Seeded(14)
            try file.write(random.bytes(500_000), at: 0)
            try file.sync()
            Task.detached {
                while true { try file.write([UInt8](repeating: 1, count: 100_000), at: file.size) }
            }
            usleep(20_000)
            kill(getpid(), SIGKILL)
        }
        let store = try makeStore(directory, key: SealingKey([UInt8](repeating: 5, count: 32)))
        let left = try Directory.names(directory.path)
        #expect(left.count == 1)
        let file = try store.recover(try #require(left.first)).file
        var random = Seeded(14)
        let all = try file.all()
        try #require(all.count >= 500_000)
        #expect(Array(all[..<500_000]) == random.bytes(500_000))
        #expect(all[500_000...].isUniform && (all.count == 500_000 || all[500_000] == 1))
        file.discard()
        #expect(try Directory.names(directory.path) == [])
    }

    private func copied(_ path: FilePath) throws -> FilePath {
        let source = try OpenFile(path, O_RDONLY)
        var bytes = [UInt8](repeating: 0, count: Int(try source.status().size))
        _ = try bytes.withUnsafeMutableBytes { try source.read(at: 0, into: $0) }
        let copy = path.removingLastComponent().appending("copy.log")
        try Directory.remove(copy)
        let target = try OpenFile(copy, O_RDWR | O_CREAT)
        try bytes.withUnsafeBytes { try target.write($0, at: 0) }
        return copy
    }

    private func flip(_ path: FilePath, at offset: Int64) throws {
        let file = try OpenFile(path, O_RDWR)
        var byte: [UInt8] = [0]
        _ = try byte.withUnsafeMutableBytes { try file.read(at: offset, into: $0) }
        byte[0] ^= 0x20
        try byte.withUnsafeBytes { try file.write($0, at: offset) }
    }
}
