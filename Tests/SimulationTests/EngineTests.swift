import Disk
import FileSystemCore
import Glibc
import Journal
import Logging
import ObjectStore
import Synchronization
import SystemPackage
import Testing

@testable import Simulation

private struct NoOtherWriter: WriterCensus {
    func hasWriter(_ inode: InodeNumber, among processes: Set<Int32>) -> Bool { false }
}

extension Answer {
    fileprivate func value() async throws(Errno) -> Value {
        switch self {
        case .ready(let value): return value
        case .failed(let error): throw error
        case .later(let work): return try await work()
        }
    }
}

/// A volume whose disk, store and time are simulated, and the programs that use it.
private final class Machine: Sendable {
    static let caller = Caller(uid: 1000, gid: 1000, pid: 1, umask: 0o022)

    let executor: SimulatedExecutor
    let bucket = InMemoryObjectStore()
    let store: SimulatedObjectStore
    let process: SimulatedProcess
    let volume: Volume
    let disk: SimulatedDisk
    private let trace = Mutex<[String]>([])

    init(seed: UInt64) throws {
        executor = SimulatedExecutor(seed: seed)
        process = SimulatedProcess(executor)
        disk = SimulatedDisk(seed: seed)
        guard let prefix = KeyPrefix("s/") else { throw Errno.invalidArgument }
        store = SimulatedObjectStore(bucket, prefix: prefix, on: executor)
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        volume = try Volume(
            options: VolumeOptions(prefix: prefix, uid: 1000, gid: 1000), store: store, cache: nil,
            journal: "/journal", key: nil, disk: disk, clock: process.clock, writers: NoOtherWriter(), logger: quiet)
    }

    func note(_ line: String) { trace.withLock { $0.append("\(executor.now) \(line)") } }
    var lines: [String] { trace.withLock { $0 } }

    func save(_ name: String, _ text: String) async {
        do {
            let name = FileName(Array(name.utf8))
            let known = try? await volume.lookup(.root, name).value().attributes?.inode
            let flags = O_WRONLY | O_CREAT | O_TRUNC
            let (inode, handle): (InodeNumber, FileHandle)
            if let known {
                (inode, handle) = (known, try await volume.open(known, flags: flags, Self.caller).value().handle)
            } else {
                let made = try await volume.create(.root, name, mode: 0o644, flags: flags, Self.caller).value()
                (inode, handle) = (try #require(made.entry.attributes?.inode), made.opened.handle)
            }
            let written = Array(text.utf8).withUnsafeBytes {
                volume.write(inode, handle, offset: 0, $0, mayKillSetID: false)
            }
            _ = try await written.value()
            try await volume.flush(inode, handle, Self.caller).value()
            try await volume.release(inode, handle).value()
            note("saved \(text)")
        } catch {
            note("not saved \(text): \(error)")
        }
    }

    func rename(_ old: String, _ new: String) async {
        do {
            let (old, new) = (FileName(Array(old.utf8)), FileName(Array(new.utf8)))
            _ = try await volume.lookup(.root, old).value()
            _ = try await volume.lookup(.root, new).value()
            try await volume.rename(.root, old, to: .root, new, .replace).value()
            note("renamed \(old) \(new)")
        } catch {
            note("not renamed \(old) \(new): \(error)")
        }
    }

    /// Several programs at once, for some minutes.
    func work(_ seed: UInt64) async {
        store.weather = .stormy
        await withTaskGroup(of: Void.self) { group in
            for program in 0..<4 as Range<UInt64> {
                group.addTask {
                    var random = SeededRandom(seed &* 31 &+ program)
                    for step in 0..<10 {
                        let name = "f\(Int.random(in: 0..<5, using: &random))"
                        if random.happens(0.3) {
                            await self.rename(name, "f\(Int.random(in: 0..<5, using: &random))")
                        } else {
                            await self.save(name, "\(program) \(step)")
                        }
                        let pause = Double.random(in: 0...3, using: &random)
                        try? await self.executor.sleep(.seconds(pause), in: 0)
                    }
                }
            }
        }
        store.weather = .fair
    }
}

@Suite("The engine in the simulator")
struct EngineTests {
    private static func run(_ seed: UInt64) throws -> (trace: [String], fingerprint: UInt64) {
        let machine = try Machine(seed: seed)
        try machine.executor.run { await machine.work(seed) }
        machine.executor.advance(by: .seconds(300))
        let stored = machine.bucket.keys.map { key in
            "\(key) \(machine.bucket.object(key).map { String(decoding: $0.bytes, as: UTF8.self) } ?? "")"
        }
        #expect(machine.store.violations == [])
        return (machine.lines + stored, machine.executor.fingerprint)
    }

    @Test("The same seed gives the same run twice, another seed another one")
    func repeatable() throws {
        var traces: Set<[String]> = []
        for seed in 0..<25 as Range<UInt64> {
            let first = try Self.run(seed)
            let second = try Self.run(seed)
            #expect(first.trace == second.trace, "seed \(seed)")
            #expect(first.fingerprint == second.fingerprint, "seed \(seed)")
            traces.insert(first.trace)
        }
        #expect(traces.count == 25)
    }

    @Test("A process that ends in the middle leaves no task behind")
    func ended() throws {
        for seed in 0..<25 as Range<UInt64> {
            weak var volume: Volume?
            do {
                let machine = try Machine(seed: seed)
                volume = machine.volume
                let executor = machine.executor
                let work = Task(executorPreference: executor) { await machine.work(seed) }
                executor.advance(by: .seconds(Double(seed % 10) + 1.5))
                _ = machine.disk.crash(power: false)
                machine.store.disconnect()
                machine.process.end()
                work.cancel()
                executor.settle()
                executor.advance(by: .seconds(600))
            }
            #expect(volume == nil, "seed \(seed)")
        }
    }
}
