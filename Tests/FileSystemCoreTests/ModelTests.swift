import Bytes
import Glibc
import ObjectStore
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import FileSystemCore

/// Random operations, foreign changes and faults against a plain model. One seed is one history.
@Suite struct ModelTests {
    @Test("Whatever happens, S3 ends as the view shows it, and no stored contents are lost", arguments: 0..<120)
    func random(_ seed: Int) async throws {
        try await History(UInt64(seed), isForeign: false).run()
    }

    @Test("With foreign changes, every contents that were stored or foreign are somewhere", arguments: 0..<120)
    func foreign(_ seed: Int) async throws {
        try await History(UInt64(seed), isForeign: true).run()
    }
}

/// The faults' own randomness, for calls from many threads.
private final class Dice: Sendable {
    private let random: Mutex<Seeded>
    init(_ seed: UInt64) { random = Mutex(Seeded(seed)) }
    func roll(_ sides: Int) -> Int { random.withLock { Int.random(in: 0..<sides, using: &$0) } }
}

private final class History {
    private var random: Seeded
    private let seed: UInt64
    private let isForeign: Bool
    private let space: Space
    private let dice: Dice
    /// What a program would expect to find, for runs without foreign changes.
    private var files: [String: String] = [:]
    private var directories: Set<String> = []
    /// What nobody deleted or overwrote knowingly, for runs with foreign changes.
    private var precious: [String: String] = [:]
    private var log: [String] = []
    private var counter = 0

    init(_ seed: UInt64, isForeign: Bool) throws {
        self.seed = seed
        self.isForeign = isForeign
        random = Seeded(seed)
        dice = Dice(seed &+ 1_000_003)
        // Nothing becomes old by itself, so that a slow machine runs the same history.
        space = try Space(freshness: .seconds(100_000))
    }

    func run() async throws {
        let dice = dice
        space.faulty.setScript { call, _ in
            guard call.kind.isWrite else { return nil }
            switch dice.roll(24) {
            case 0: return .failBefore(Space.error(.unavailable))
            case 1: return .failAfter(Space.error(.unavailable))
            default: return nil
            }
        }
        for _ in 0..<30 { await step() }
        space.heal()
        space.volume.hurry(retryFailed: true)
        let left = await space.settle()
        space.expire()
        let comment = Comment(rawValue: "seed \(seed):\n" + log.joined(separator: "\n"))
        #expect(left.isEmpty, comment)
        #expect(space.forgotten.isEmpty, comment)
        try await compare(comment)
    }

    private func compare(_ comment: Comment) async throws {
        var shown: [String: String] = [:]
        var waiting = [""]
        while let directory = waiting.popLast() {
            for name in try await space.list(directory) {
                let path = directory.isEmpty ? name : directory + "/" + name
                if try await space.stat(path).mode & FileMode.typeMask == FileMode.directory {
                    waiting.append(path)
                } else {
                    shown[path] = try await space.read(path)
                }
            }
        }
        let stored = Dictionary(
            uniqueKeysWithValues: space.keys.filter { !$0.hasSuffix("/") }.map { ($0, space.text($0) ?? "") })
        #expect(shown == stored, comment)
        if isForeign {
            for (path, text) in precious {
                #expect(stored.values.contains(text), "\(path): \(text) is lost. \(comment)")
            }
        } else {
            #expect(stored == files, comment)
        }
    }

    private func step() async {
        let kinds = isForeign ? 11 : 9
        switch Int.random(in: 0..<kinds, using: &random) {
        case 0, 1, 2: await write()
        case 3, 4: await rename()
        case 5: await unlink()
        case 6: await mkdir()
        case 7: await renameDirectory()
        case 8: await chmod()
        default: await changeElsewhere()
        }
        if Int.random(in: 0..<4, using: &random) == 0 { await space.settle() }
        if Int.random(in: 0..<6, using: &random) == 0 { space.expire() }
    }

    private func anyPath() -> String {
        let name = ["a", "b", "c.txt", "d.jpg"].randomElement(using: &random) ?? "a"
        let directory = ([""] + directories.sorted()).randomElement(using: &random) ?? ""
        return directory.isEmpty ? name : directory + "/" + name
    }

    private func text() -> String {
        counter += 1
        return "\(counter)" + String(repeating: "x", count: Int.random(in: 0..<40, using: &random))
    }

    private func write() async {
        let (path, text) = (anyPath(), text())
        let old = await contents(path)
        let error = await failure { () async throws(Errno) in try await space.write(path, text) }
        log.append("write \(path) \(text.prefix(3)): \(error.map(String.init(describing:)) ?? "done")")
        // A transient failure leaves the change in the queue.
        if error == nil || error == .resourceBusy {
            replaced(old)
            files[path] = text
            precious[text] = text
        }
    }

    private func rename() async {
        let (old, new) = (anyPath(), anyPath())
        guard old != new else { return }
        let replaced = await contents(new)
        let moved = await contents(old)
        let error = await failure { () async throws(Errno) in try await space.rename(old, new) }
        log.append("rename \(old) \(new): \(error.map(String.init(describing:)) ?? "done")")
        guard error == nil || error == .resourceBusy, moved != nil else { return }
        self.replaced(replaced)
        files[new] = files.removeValue(forKey: old)
    }

    private func unlink() async {
        let path = anyPath()
        let old = await contents(path)
        let error = await failure { () async throws(Errno) in try await space.unlink(path) }
        log.append("unlink \(path): \(error.map(String.init(describing:)) ?? "done")")
        guard error == nil || error == .resourceBusy else { return }
        replaced(old)
        files[path] = nil
    }

    private func mkdir() async {
        let path = ["p", "q"].randomElement(using: &random) ?? "p"
        if await failure({ () async throws(Errno) in try await space.mkdir(path) }) == nil { directories.insert(path) }
        log.append("mkdir \(path)")
    }

    private func renameDirectory() async {
        guard let old = directories.sorted().randomElement(using: &random) else { return }
        let new = ["r", "s"].randomElement(using: &random) ?? "r"
        guard !directories.contains(new) else { return }
        let error = await failure { () async throws(Errno) in try await space.rename(old, new) }
        log.append("rename directory \(old) \(new): \(error.map(String.init(describing:)) ?? "done")")
        guard error == nil else { return }
        directories.remove(old)
        directories.insert(new)
        for path in files.keys.filter({ $0.hasPrefix(old + "/") }) {
            files[new + path.dropFirst(old.count)] = files.removeValue(forKey: path)
        }
    }

    private func chmod() async {
        let path = anyPath()
        _ = await failure { () async throws(Errno) in try await space.set(path, AttributeChanges(mode: 0o600)) }
        log.append("chmod \(path)")
    }

    private func changeElsewhere() async {
        let path = anyPath()
        let isDeletion = Bool.random(using: &random)
        let new = text()
        // The queue may store something there at the same moment: only what was seen is replaced.
        while true {
            let old = space.stored(path)
            let precondition: Precondition = old.map { .matches($0.eTag) } ?? .absent
            let isDeletion = isDeletion && old != nil
            do {
                if isDeletion {
                    try await space.memory.delete(Space.key(path), precondition, .metadata)
                } else {
                    _ = try await space.memory.put(
                        Space.key(path), ByteSlice(Array(new.utf8)), ObjectAttributes(contentType: "text/plain"),
                        precondition, .metadata)
                    precious[new] = new
                }
            } catch {
                if error.code == .preconditionFailed { continue }
                Issue.record(error)
                return
            }
            replaced(old.map { String(decoding: $0.bytes, as: UTF8.self) })
            log.append(isDeletion ? "deleted elsewhere \(path)" : "changed elsewhere \(path) \(new.prefix(3))")
            return
        }
    }

    /// What a program finds under a name, as far as it can be known without asking for its bytes.
    private func contents(_ path: String) async -> String? {
        if !isForeign { return files[path] }
        while true {
            do throws(Errno) { return try await space.read(path) } catch {
                // Somebody replaced it elsewhere: a program sees that when it looks again.
                guard error == .staleNFSFileHandle else { return nil }
                space.expire()
            }
        }
    }

    private func replaced(_ text: String?) { if let text { precious[text] = nil } }
}
