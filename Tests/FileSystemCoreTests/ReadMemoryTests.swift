import BlockCache
import Bytes
import Disk
import Glibc
import Logging
import ObjectStore
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import FileSystemCore

/// What reading takes of memory, and that readers go on at its limit.
@Suite struct ReadMemoryTests {
    @Test("A disk that is slower than the network never makes reading take more than its memory, nor stop")
    func slowDisk() async throws {
        let bench = try Bench(size: 32 << 20, memory: 8 << 20, disk: .slow)
        var plan = ReadAhead()
        for offset in stride(from: Int64(0), to: bench.source.size, by: 1 << 20) {
            let range = offset..<offset + 1 << 20
            let ahead = plan.plan(offset: offset, count: 1 << 20, size: bench.source.size)
            try await bench.expectRead(range, ahead: ahead)
        }
        // A read that has a part of its bytes goes on in any case: one of a megabyte may be over the limit.
        #expect(bench.peak > 4 << 20 && bench.peak <= 9 << 20)
        #expect(bench.disk.writtenByteCount > 0)
    }

    @Test("Many readers who want more than there is memory wait for each other, and all get their bytes")
    func manyReaders() async throws {
        let bench = try Bench(size: 32 << 20, memory: 3 << 20, disk: .none)
        try await withThrowingTaskGroup { group in
            for index in 0..<64 {
                group.addTask {
                    let offset = Int64(index * 7 % 32) << 20
                    try await bench.expectRead(offset..<offset + 1 << 20)
                }
            }
            try await group.waitForAll()
        }
        #expect(bench.peak <= 3 << 20)
    }

    @Test("A read over several windows that has a part of its bytes is not made to wait for memory")
    func holders() async throws {
        let bench = try Bench(size: 8 << 20, memory: 1 << 20, disk: .none)
        try await withThrowingTaskGroup { group in
            for _ in 0..<8 { group.addTask { try await bench.expectRead(0..<8 << 20) } }
            try await group.waitForAll()
        }
    }

    @Test("A read that waits for memory can be interrupted, and nobody else is")
    func interrupted() async throws {
        let bench = try Bench(size: 8 << 20, memory: 1 << 20, disk: .none)
        let gate = Gate()
        bench.store.setScript { call, _ in call.kind == .get ? .holdBefore(gate) : nil }
        let first = Task { try await bench.expectRead(0..<1 << 20) }
        await gate.arrived()
        let second = Task { () -> Errno? in
            await failure { () async throws(Errno) in _ = try await bench.read(1 << 20..<2 << 20) }
        }
        while bench.reader.pool.wantedByteCount == 0 { await Task.yield() }
        second.cancel()
        #expect(await second.value == .interrupted)
        gate.open()
        try await first.value
    }

    @Test("A failed fetch gives its memory back to the read that waits for it")
    func failedFetch() async throws {
        let bench = try Bench(size: 8 << 20, memory: 1 << 20, disk: .none)
        let gate = Gate()
        bench.store.setScript { _, number in number == 0 ? .holdBefore(gate) : nil }
        let first = Task { try await bench.expectRead(0..<1 << 20) }
        await gate.arrived()
        let second = Task { try await bench.expectRead(1 << 20..<2 << 20) }
        while bench.reader.pool.wantedByteCount == 0 { await Task.yield() }
        bench.memory.foreignPut(Bench.key, [1])
        gate.open()
        await #expect(throws: Errno.self) { try await first.value }
        await #expect(throws: Errno.self) { try await second.value }
        for _ in 0..<1000 where bench.reader.pool.lentByteCount > 0 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(bench.reader.pool.lentByteCount == 0)
    }

    @Test("What was read and is on the disk leaves memory")
    func spent() async throws {
        let bench = try Bench(size: 4 << 20, memory: 32 << 20, disk: .quick)
        try await bench.expectRead(0..<4 << 20)
        for _ in 0..<5000 where bench.reader.pool.lentByteCount > 0 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(bench.reader.pool.lentByteCount == 0)
        try await bench.expectRead(1 << 20..<3 << 20)
        #expect(bench.memory.callCount(.get) == 1)
    }

    @Test("Reading on takes few large requests")
    func largeRequests() async throws {
        let bench = try Bench(size: 64 << 20, memory: 128 << 20, disk: .none)
        var plan = ReadAhead()
        for offset in stride(from: Int64(0), to: bench.source.size, by: 1 << 20) {
            let ahead = plan.plan(offset: offset, count: 1 << 20, size: bench.source.size)
            try await bench.expectRead(offset..<offset + 1 << 20, ahead: ahead)
        }
        #expect(bench.memory.callCount(.get) < 22)
    }
}

/// A reader of one object.
private final class Bench: Sendable {
    static let key = Space.key("large")

    let memory = InMemoryObjectStore()
    let store: FaultyObjectStore
    let reader: ContentReader
    let source: ContentReader.Source
    let disk: SlowDisk
    private let directory: TemporaryDirectory
    private let most = Mutex(0)

    /// The most memory that was lent when a range was asked for, written to the disk, or read.
    var peak: Int { most.withLock { $0 } }

    init(size: Int, memory limit: Int64, disk speed: SlowDisk.Speed) throws {
        store = FaultyObjectStore(memory)
        directory = try TemporaryDirectory()
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        disk = SlowDisk(
            try BlockCache(
                directory: directory.path.appending("cache"), key: nil, limit: 256 << 20, space: "s", logger: quiet),
            speed)
        var bytes = [UInt8](repeating: 0, count: size)
        bytes.withUnsafeMutableBytes { bytes in
            for index in 0..<bytes.count >> 10 {
                UnsafeMutableRawBufferPointer(rebasing: bytes[(index << 10)...].prefix(1024))
                    .initializeMemory(as: UInt8.self, repeating: Self.value(index))
            }
        }
        let version = ObjectVersion(key: Self.key, eTag: memory.foreignPut(Self.key, bytes))
        source = ContentReader.Source(identity: version, size: Int64(size)) { version }
        reader = ContentReader(
            store: store, cache: speed == .none ? nil : disk, memoryLimit: limit, isDown: { false },
            noteUnreachable: {})
        store.setScript { [weak self] _, _ in
            self?.look()
            return nil
        }
        disk.watch { [weak self] in self?.look() }
    }

    private func look() {
        let lent = reader.pool.lentByteCount
        most.withLock { $0 = max($0, lent) }
    }

    func read(_ range: Range<Int64>, ahead: Range<Int64>? = nil) async throws(Errno) -> [ByteSlice] {
        if let slices = reader.available(source, range) {
            reader.prefetch(source, ahead ?? range)
            return slices
        }
        return try await reader.read(source, range, ahead: ahead ?? range)
    }

    func expectRead(_ range: Range<Int64>, ahead: Range<Int64>? = nil) async throws {
        let slices = try await read(range, ahead: ahead)
        look()
        var offset = Int(range.lowerBound)
        for slice in slices {
            let isRight = slice.withBytes { bytes in
                stride(from: 0, to: bytes.count, by: 512).allSatisfy {
                    bytes[$0] == Self.value((offset + $0) >> 10)
                }
            }
            #expect(isRight)
            offset += slice.count
        }
        #expect(offset == Int(range.upperBound))
    }

    /// What a kibibyte of the object is filled with.
    private static func value(_ kibibyte: Int) -> UInt8 { UInt8(kibibyte % 251) }
}

/// A disk cache that can be slow to write.
private final class SlowDisk: CleanBlocks {
    enum Speed { case none, slow, quick }
    private let cache: BlockCache
    private let speed: Speed
    private let written = Mutex(0)
    private let watcher = Mutex<@Sendable () -> Void>({})

    init(_ cache: BlockCache, _ speed: Speed) {
        self.cache = cache
        self.speed = speed
    }

    var writtenByteCount: Int { written.withLock { $0 } }
    func watch(_ watcher: @escaping @Sendable () -> Void) { self.watcher.withLock { $0 = watcher } }

    func read(_ version: ObjectVersion, offset: Int64, into destination: UnsafeMutableRawBufferPointer) -> Int {
        cache.read(version, offset: offset, into: destination)
    }

    func write(_ version: ObjectVersion, size: Int64, offset: Int64, _ bytes: UnsafeRawBufferPointer) {
        watcher.withLock { $0 }()
        if speed == .slow { usleep(5_000) }
        cache.write(version, size: size, offset: offset, bytes)
        written.withLock { $0 += bytes.count }
    }

    func availableCount(_ version: ObjectVersion, offset: Int64, limit: Int) -> Int {
        cache.availableCount(version, offset: offset, limit: limit)
    }
}
