import Glibc
import ObjectStore
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import FileSystemCore

/// What becomes of changes that S3 does not have, when somebody says so.
@Suite struct QueueTests {
    /// A space whose queue stands still.
    private func waiting() throws -> Space { try Space(.local, quietTime: .seconds(1000)) }

    private func refusing() async throws -> Space {
        let space = try Space(.local)
        space.fail(.accessDenied) { $0.kind == .put }
        return space
    }

    /// Between two tries; not while one is under way.
    private func giveUp(_ path: String, _ space: Space) async throws {
        while true {
            do {
                try space.volume.discard(path: path)
                return
            } catch {
                guard case .running = error else { throw error }
                await Task.yield()
            }
        }
    }

    private func refusal(_ body: () throws -> Void) -> Volume.DiscardRefusal? {
        do {
            try body()
            return nil
        } catch {
            return error as? Volume.DiscardRefusal
        }
    }

    @Test("What S3 refused stays, is told with the reason, and goes when it is tried again")
    func retry() async throws {
        let space = try await refusing()
        try await space.write("a.txt", "ours")
        let failed = await space.settle()
        #expect(failed.map(\.path) == ["a.txt"])
        #expect(failed.first?.failure == "refused by the test")
        #expect(failed.first?.isStuck == true)
        #expect(space.volume.retry(path: "b") == 0)
        space.heal()
        #expect(space.volume.retry(path: "a.txt") == 1)
        #expect(await space.settle().isEmpty)
        #expect(space.text("a.txt") == "ours")
    }

    @Test("Without a network nothing but a probe a second is sent, whoever asks; then each change goes once")
    func outage() async throws {
        let space = try Space(.local, quietTime: .seconds(1000))
        for number in 0..<20 { space.foreign("there/\(number)", "x") }
        _ = try await space.list("there")
        for number in 0..<100 { try await space.write("\(number)", "y") }
        space.fail(.unreachable) { _ in true }
        space.volume.hurry()
        while !space.volume.isDown { try await Task.sleep(for: .milliseconds(1)) }
        while space.volume.update({ state in state.overlay.committer.intents.contains { $0.isRunning } }) {
            try await Task.sleep(for: .milliseconds(1))
        }
        let sent = Mutex<[StoreCall.Kind]>([])
        space.faulty.setScript { call, _ in
            sent.withLock { $0.append(call.kind) }
            return .failBefore(Space.error(.unreachable))
        }
        let start = ContinuousClock.now
        for number in 0..<200 {
            space.volume.hurry()
            #expect(await failure { () async throws(Errno) in try await space.read("there/\(number % 20)") } != nil)
            try await Task.sleep(for: .milliseconds(10))
        }
        let probes = Int(start.duration(to: .now) / Duration.seconds(1)) + 2
        let asked = sent.withLock { $0 }
        #expect(asked.allSatisfy { $0 == .list } && asked.count <= probes)
        let before = space.memory.calls.count
        space.heal()
        #expect(await space.settle().isEmpty)
        #expect(space.memory.calls[before...].count { $0.kind == .put } == 100)
        #expect(space.keys.count == 120)
    }

    @Test("A new file that is given up is gone, also after a crash")
    func newFile() async throws {
        let space = try waiting()
        try await space.mkdir("d")
        try await space.write("d/a", "new")
        try await space.write("keep", "kept")
        #expect(try space.volume.discardable(path: "d/a").map(\.path) == ["d/a"])
        #expect(try await space.read("d/a") == "new")
        try await giveUp("d", space)
        #expect(try await space.list("") == ["keep"])
        let second = try Space(.local, after: space)
        #expect(try await second.list("") == ["keep"])
        #expect(await second.settle().isEmpty)
        #expect(second.keys == ["keep"])
    }

    @Test("A changed file that is given up is shown as S3 has it, also without a network")
    func changedFile() async throws {
        let space = try waiting()
        space.foreign("a", "theirs")
        _ = try await space.read("a")
        let file = try await space.open("a", O_WRONLY)
        try await file.write("XX")
        try await file.close()
        #expect(try await space.read("a") == "XXeirs")
        try space.volume.discard(path: "a")
        #expect(space.notices.all.contains("entry a"))
        #expect(try await space.read("a") == "theirs")
        #expect(await space.settle().isEmpty)
        #expect(space.text("a") == "theirs")
        #expect(try await space.stat("a").size == 6)
    }

    @Test("An edit of a part whose other part was replaced elsewhere can be given up")
    func lostBase() async throws {
        let space = try waiting()
        space.foreign("a", "0123456789")
        _ = try await space.stat("a")
        let file = try await space.open("a", O_WRONLY)
        try await file.write("XX")
        try await file.close()
        space.foreign("a", "replaced")
        let failed = await space.settle()
        #expect(failed.map(\.path) == ["a"])
        try space.volume.discard(path: "a")
        space.expire()
        #expect(try await space.read("a") == "replaced")
        #expect(space.volume.report().changes.isEmpty)
    }

    @Test("A rename that is given up is undone, a directory's too")
    func rename() async throws {
        let space = try waiting()
        for name in ["d/x", "d/sub/y", "z"] { space.foreign(name, name) }
        for name in ["", "d", "d/sub"] { _ = try await space.list(name) }
        try await space.rename("d", "e")
        try await space.rename("z", "zz")
        // Whichever of the two names is given.
        try space.volume.discard(path: "z")
        try space.volume.discard(path: "e")
        #expect(space.volume.report().changes.isEmpty)
        space.fail(.unavailable) { _ in true }
        #expect(try await space.list("") == ["d", "z"])
        space.heal()
        #expect(try await space.list("d") == ["sub", "x"])
        #expect(try await space.read("d/sub/y") == "d/sub/y")
        #expect(await space.settle().isEmpty)
        #expect(space.keys.sorted() == ["d/sub/y", "d/x", "z"])
    }

    @Test("Swapped names are given up together")
    func swapped() async throws {
        let space = try waiting()
        space.foreign("a", "A")
        space.foreign("b", "B")
        _ = try await space.list("")
        try await space.rename("a", "b", .exchange)
        try space.volume.discard(path: "a")
        #expect(space.volume.report().changes.isEmpty)
        #expect(try await space.read("a") == "A")
        #expect(try await space.read("b") == "B")
        await space.settle()
        #expect(space.keys.sorted() == ["a", "b"])
    }

    @Test("A renamed file whose old name has new contents is not given up before those")
    func neededBy() async throws {
        let space = try waiting()
        space.foreign("a", "old")
        _ = try await space.list("")
        try await space.rename("a", "b")
        try await space.write("a", "new")
        #expect(refusal { try space.volume.discard(path: "b") } == .neededBy(path: "a"))
        try space.volume.discard(path: "a")
        #expect(try await space.read("b") == "old")
        #expect(try await space.read("a") == "old")
        try space.volume.discard(path: "b")
        #expect(try await space.list("") == ["a"])
        await space.settle()
        #expect(space.keys == ["a"])
    }

    @Test("A deletion that is given up brings the file back")
    func deletion() async throws {
        let space = try waiting()
        space.foreign("d/a", "A")
        _ = try await space.list("d")
        space.fail(.unavailable) { $0.kind == .delete }
        try await space.unlink("d/a")
        try await giveUp("d/a", space)
        space.heal()
        #expect(try await space.read("d/a") == "A")
        await space.settle()
        #expect(space.text("d/a") == "A")
    }

    @Test("Changed attributes that are given up are S3's again")
    func attributes() async throws {
        let space = try waiting()
        space.foreign("a", "A", metadata: ["mode": "33184"])
        _ = try await space.read("a")
        try await space.set("a", AttributeChanges(mode: 0o777))
        try space.volume.discard(path: "a")
        await space.settle()
        #expect(space.stored("a")?.attributes.metadata["mode"] == "33184")
        _ = try await space.read("a")
        #expect(try await space.stat("a").mode & 0o777 != 0o777)
    }

    @Test("What is being written is not given up, and what is being read is read to its end")
    func openFiles() async throws {
        let space = try waiting()
        try await space.write("a", "ours")
        let writer = try await space.open("a", O_WRONLY)
        #expect(refusal { try space.volume.discard(path: "a") } == .open(path: "a"))
        try await writer.close()
        let reader = try await space.open("a")
        try space.volume.discard(path: "")
        #expect(try await reader.readAll() == "ours")
        #expect(try await space.list("") == [])
        await reader.release()
        await space.settle()
        #expect(space.keys == [])
        #expect(space.forgotten == [])
    }

    @Test("What was synced and never closed can be given up too")
    func syncedOnly() async throws {
        let first = try waiting()
        let file = try await first.create("db")
        try await file.write("synced")
        try await first.volume.fsync(file.inode, file.handle, dataOnly: false).value()
        let second = try Space(.local, after: first)
        #expect(try await second.read("db") == "synced")
        #expect(try second.volume.discard(path: "db").map(\.total) == [6])
        #expect(try await second.list("") == [])
    }

    @Test("What a crash kept from being closed is told, by path and size, until somebody closes it, and sent then")
    func unclosed() async throws {
        let first = try waiting()
        try await first.mkdir("d")
        for (path, text) in [("d/a", "one"), ("b", "three"), ("c", "x")] {
            let file = try await first.create(path)
            try await file.write(text)
            try await first.volume.fsync(file.inode, file.handle, dataOnly: false).value()
        }
        try await first.write("closed", "closed")
        // It is being written: nothing has gone wrong.
        #expect(first.volume.unclosed().isEmpty)
        let copy = try first.copiedJournal()
        #expect(QueuedChanges(in: copy.path.appending("journal"), key: nil) == .count(2, unclosed: 3))
        let second = try Space(.local, after: first)
        let told = second.volume.unclosed()
        #expect(told.map(\.path) == ["b", "c", "d/a"] && told.map(\.size) == [5, 1, 3])
        #expect(await second.settle().isEmpty)
        #expect(!second.keys.contains("b"))
        // As a shell does with `: >> FILE`.
        let appending = try await second.open("b", O_WRONLY | O_APPEND)
        #expect(second.volume.unclosed().map(\.path) == ["c", "d/a"])
        try await appending.close()
        try second.volume.discard(path: "c")
        #expect(second.volume.unclosed().map(\.path) == ["d/a"])
        await second.settle()
        #expect(second.text("b") == "three")
    }

    @Test("A journal that nobody has open tells how many changes it holds; one that is mounted is left alone")
    func counted() async throws {
        let space = try waiting()
        try await space.write("a", "A")
        try await space.write("b", "B")
        try await space.unlink("b")
        #expect(QueuedChanges(in: space.journalPath, key: nil) == .inUse)
        let copy = try space.copiedJournal()
        #expect(QueuedChanges(in: copy.path.appending("journal"), key: nil) == .count(1))
        #expect(QueuedChanges(in: copy.path.appending("journal"), key: nil) == .count(1))
        #expect(QueuedChanges(in: copy.path.appending("nothing"), key: nil) == .none)
    }
}
