import Glibc
import SystemPackage
import Testing

@testable import Disk

@Suite("A simulated disk")
struct SimulatedDiskTests {
    private static let directory: FilePath = "/state/staged"
    private static let path = directory.appending("a.log")

    private static func disk(_ seed: UInt64) throws -> SimulatedDisk {
        let disk = SimulatedDisk(seed: seed)
        disk.faults.writingBack = 0
        try disk.createDirectory(directory)
        return disk
    }

    @Test("A power cut keeps what was synced and loses, over many seeds, some, all or nothing of the rest")
    func powerCut() throws {
        var sizes: Set<Int> = []
        var sawTorn = false
        for seed in 0..<300 as Range<UInt64> {
            let disk = try Self.disk(seed)
            let file = try disk.open(Self.path, O_RDWR | O_CREAT)
            try file.write([UInt8](repeating: 1, count: 600), at: 0)
            try file.syncData()
            try disk.syncDirectory(Self.directory)
            for index in 0..<3 { try file.write([UInt8](repeating: 2, count: 1000), at: Int64(600 + index * 1000)) }
            let after = disk.crash(power: true)
            let bytes = try after.bytes(Self.path)
            #expect(bytes.prefix(600) == [UInt8](repeating: 1, count: 600)[...])
            let rest = bytes.dropFirst(600)
            #expect(rest.count <= 3000 && rest.allSatisfy { $0 == 0 || $0 == 2 })
            sizes.insert(bytes.count)
            sawTorn = sawTorn || (bytes.count - 600) % 1000 != 0
        }
        #expect(sizes.isSuperset(of: [600, 1600, 2600, 3600]))
        #expect(sawTorn)
    }

    @Test("A name that was not synced may be gone with all its synced bytes; a synced one never is")
    func names() throws {
        var outcomes: Set<Bool> = []
        for seed in 0..<60 as Range<UInt64> {
            let disk = try Self.disk(seed)
            try disk.make(Self.directory.appending("kept"), [1])
            try disk.syncDirectory(Self.directory)
            try disk.make(Self.path, [2])
            let names = try disk.crash(power: true).names(Self.directory)
            #expect(names.contains("kept"))
            outcomes.insert(names.contains("a.log"))
        }
        #expect(outcomes == [true, false])
    }

    @Test("A rename is done or not done, and what one directory did stays in order")
    func order() throws {
        var outcomes: Set<[String]> = []
        for seed in 0..<200 as Range<UInt64> {
            let disk = try Self.disk(seed)
            try disk.make(Self.path, [1])
            try disk.syncDirectory(Self.directory)
            try disk.make(Self.directory.appending("new"), [2])
            try disk.rename(Self.directory.appending("new"), to: Self.path)
            try disk.make(Self.directory.appending("later"), [3])
            let after = disk.crash(power: true)
            let names = try after.names(Self.directory).sorted()
            outcomes.insert(names)
            let byte = try after.bytes(Self.path)
            #expect(byte == [names.contains("later") || byte == [2] ? 2 : 1])
            #expect(!(names.contains("later") && names.contains("new")))
        }
        #expect(outcomes == [["a.log"], ["a.log", "new"], ["a.log", "later"]])
    }

    @Test("A file that was removed comes back when the removal was not synced, with what was synced of it")
    func removal() throws {
        var outcomes: Set<Bool> = []
        for seed in 0..<60 as Range<UInt64> {
            let disk = try Self.disk(seed)
            try disk.make(Self.path, [1, 2, 3])
            try disk.syncDirectory(Self.directory)
            try disk.remove(Self.path)
            #expect(throws: Errno.noSuchFileOrDirectory) { _ = try disk.open(Self.path, O_RDWR) }
            let after = disk.crash(power: true)
            let isBack = try after.names(Self.directory) == ["a.log"]
            if isBack { #expect(try after.bytes(Self.path) == [1, 2, 3]) }
            outcomes.insert(isBack)
        }
        #expect(outcomes == [true, false])
    }

    @Test("A killed process leaves all it wrote and none of its locks, and its handles are dead")
    func killed() throws {
        let disk = try Self.disk(1)
        let file = try disk.open(Self.path, O_RDWR | O_CREAT)
        #expect(try file.lock(.exclusive))
        try file.write([1, 2, 3], at: 0)
        let other = disk.attach()
        #expect(try !other.open(Self.path, O_RDWR).lock(.shared))
        let after = disk.crash(power: false)
        #expect(throws: Errno.ioError) { try file.write([9], at: 0) }
        #expect(throws: Errno.ioError) { _ = try file.status() }
        #expect(throws: Errno.ioError) { _ = try disk.open(Self.path, O_RDWR) }
        #expect(try after.bytes(Self.path) == [1, 2, 3])
        #expect(try other.open(Self.path, O_RDWR).lock(.exclusive))
    }

    @Test("What a killed process wrote and never synced can still be lost by a power cut later")
    func killedThenPowerCut() throws {
        var outcomes: Set<[UInt8]> = []
        for seed in 0..<60 as Range<UInt64> {
            let disk = try Self.disk(seed)
            try disk.make(Self.path, [])
            try disk.syncDirectory(Self.directory)
            try disk.open(Self.path, O_RDWR).write([7], at: 0)
            let after = disk.crash(power: false)
            #expect(try after.bytes(Self.path) == [7])
            outcomes.insert(try after.crash(power: true).bytes(Self.path))
        }
        #expect(outcomes == [[], [7]])
    }

    @Test("After a failed sync a later success says nothing about what was to be synced")
    func failedSync() throws {
        var outcomes: Set<[UInt8]> = []
        for seed in 0..<80 as Range<UInt64> {
            let disk = try Self.disk(seed)
            try disk.make(Self.path, [1])
            try disk.syncDirectory(Self.directory)
            let file = try disk.open(Self.path, O_RDWR)
            try file.write([2], at: 0)
            disk.faults.failingSyncs = 1
            #expect(throws: Errno.ioError) { try file.syncData() }
            disk.faults.failingSyncs = 0
            #expect(try disk.bytes(Self.path) == [2])
            try file.syncData()
            outcomes.insert(try disk.crash(power: true).bytes(Self.path))
        }
        #expect(outcomes == [[1], [2]])
    }

    @Test("A full disk takes a part of a write and refuses it; room lets it go on")
    func full() throws {
        let disk = try Self.disk(2)
        disk.faults.capacity = 1000
        try disk.make(Self.path, [UInt8](repeating: 1, count: 900))
        let other = try disk.open(Self.directory.appending("b"), O_RDWR | O_CREAT)
        #expect(throws: Errno.noSpace) { try other.write([UInt8](repeating: 2, count: 200), at: 0) }
        #expect(disk.usedByteCount == 1000)
        try disk.open(Self.path, O_RDWR).write([UInt8](repeating: 3, count: 900), at: 0)
        try disk.remove(Self.path)
        #expect(disk.usedByteCount == 100)
        try other.write([UInt8](repeating: 2, count: 200), at: 0)
        #expect(disk.usedByteCount == 200)
    }

    @Test("A process that is halted gets no further, and may have done a part of its last write")
    func halted() throws {
        var sizes: Set<Int> = []
        for seed in 0..<60 as Range<UInt64> {
            let disk = try Self.disk(seed)
            let file = try disk.open(Self.path, O_RDWR | O_CREAT)
            disk.halt(after: 1)
            try file.write([1, 1], at: 0)
            #expect(!disk.isDead)
            #expect(throws: Errno.ioError) { try file.write([2, 2, 2], at: 2) }
            #expect(disk.isDead)
            #expect(throws: Errno.ioError) { try disk.remove(Self.path) }
            sizes.insert(try disk.crash(power: false).bytes(Self.path).count)
        }
        #expect(sizes == [2, 3, 4, 5])
    }

    @Test("A scripted fault meets the next call of its kind, once; failing writes do a part of their work")
    func faults() throws {
        let disk = try Self.disk(3)
        disk.failNext(.rename, with: .ioError)
        try disk.make(Self.path, [1])
        let new = Self.directory.appending("new")
        #expect(throws: Errno.ioError) { try disk.rename(Self.path, to: new) }
        try disk.rename(Self.path, to: new)
        disk.faults.failingWrites = 1
        disk.faults.failingReads = 1
        let file = try disk.open(new, O_RDWR)
        #expect(throws: Errno.ioError) { try file.write([5, 5, 5], at: 1) }
        #expect(throws: Errno.ioError) { _ = try disk.bytes(new) }
        disk.faults.failingReads = 0
        #expect(try disk.bytes(new).first == 1)
    }

    @Test("The same seed and calls give the same disk after power cuts", arguments: [4, 5, 6] as [UInt64])
    func repeatable(seed: UInt64) throws {
        func run() throws -> [[UInt8]] {
            var disk = try Self.disk(seed)
            disk.faults.writingBack = 0.3
            var random = SeededRandom(seed)
            var states: [[UInt8]] = []
            for step in 0..<300 {
                let path = Self.directory.appending("f\(step % 5)")
                let file = try disk.open(path, O_RDWR | O_CREAT)
                try file.write(random.bytes(Int.random(in: 1..<6000, using: &random)), at: Int64(step))
                if random.happens(0.2) { try file.syncData() }
                if random.happens(0.2) { try file.truncate(to: Int64(step * 3)) }
                if random.happens(0.2) { try disk.syncDirectory(Self.directory) }
                if random.happens(0.1) { try disk.rename(path, to: Self.directory.appending("f\(step / 7 % 5)")) }
                if random.happens(0.05) { disk = disk.crash(power: random.happens(0.5)) }
                states.append(try disk.names(Self.directory).map { Array($0.utf8) }.flatMap { $0 })
            }
            return states + (try disk.names(Self.directory).map { try disk.bytes(Self.directory.appending($0)) })
        }
        #expect(try run() == run())
    }

    @Test("The machine's disk does what the simulated one does while nothing goes wrong")
    func machine() throws {
        let root = FilePath("/tmp/disk-\(String(UInt64.random(in: 0 ... .max), radix: 16))")
        defer { try? Directory.removeTree(root) }
        func run(_ disk: any DiskAccess) throws -> [String] {
            let directory = root.appending("a").appending("b")
            try disk.createDirectory(directory)
            try disk.createDirectory(directory)
            let path = directory.appending("file")
            let file = try disk.open(path, O_RDWR | O_CREAT | O_EXCL)
            #expect(throws: Errno.fileExists) { _ = try disk.open(path, O_RDWR | O_CREAT | O_EXCL) }
            #expect(throws: Errno.noSuchFileOrDirectory) { _ = try disk.open(root.appending("none"), O_RDWR) }
            #expect(throws: Errno.noSuchFileOrDirectory) { _ = try disk.names(root.appending("none")) }
            #expect(throws: Errno.directoryNotEmpty) { try disk.removeEmpty(directory) }
            #expect(throws: Errno.isDirectory) { try disk.remove(directory) }
            try file.write([1, 2, 3, 4], at: 2)
            try file.truncate(to: 5)
            try file.syncData()
            #expect(try disk.open(path, O_RDWR).lock(.exclusive))
            #expect(try file.lock(.exclusive))
            #expect(try !disk.open(path, O_RDWR).lock(.exclusive))
            file.unlock()
            try disk.rename(path, to: directory.appending("other"))
            try disk.make(path, [9])
            try disk.rename(path, to: directory.appending("other"))
            try disk.syncDirectory(directory)
            try disk.remove(path)
            try disk.removeEmpty(root.appending("none"))
            let status = try file.status()
            return try [
                "\(status.size) \(status.linkCount)", "\(disk.names(directory))",
                "\(disk.bytes(directory.appending("other")))",
            ]
        }
        let simulated = try run(SimulatedDisk(seed: 1))
        #expect(simulated == ["5 0", "[\"other\"]", "[9]"])
        #expect(try run(MachineDisk()) == simulated)
    }
}

extension DiskFile {
    fileprivate func write(_ bytes: [UInt8], at offset: Int64) throws(Errno) {
        let result: Result<Void, Errno> = bytes.withUnsafeBytes { buffer in
            Result { () throws(Errno) in try write(buffer, at: offset) }
        }
        try result.get()
    }
}

extension DiskAccess {
    /// A new file with these bytes on the disk; its name is not.
    fileprivate func make(_ path: FilePath, _ bytes: [UInt8]) throws(Errno) {
        let file = try open(path, O_RDWR | O_CREAT)
        try file.write(bytes, at: 0)
        try file.syncData()
    }

    fileprivate func bytes(_ path: FilePath) throws(Errno) -> [UInt8] {
        let file = try open(path, O_RDONLY)
        var bytes = [UInt8](repeating: 0xEE, count: Int(try file.status().size))
        let result: Result<Int, Errno> = bytes.withUnsafeMutableBytes { buffer in
            Result { () throws(Errno) in try file.read(at: 0, into: buffer) }
        }
        _ = try result.get()
        return bytes
    }
}
