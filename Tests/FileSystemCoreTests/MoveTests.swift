import Glibc
import ObjectStore
import Synchronization
import SystemPackage
import Testing

@testable import FileSystemCore

/// Renames: at once here, as copies and deletes on S3, and never a delete without its copy.
@Suite struct MoveTests {
    @Test("A clean file moves by a copy on the server, keeping what is stored beside it")
    func clean() async throws {
        let space = try Space()
        space.foreign("a.txt", "x", metadata: ["k": "v"])
        try await space.rename("a.txt", "b.txt")
        #expect(space.keys == ["b.txt"])
        #expect(space.stored("b.txt")?.attributes.metadata == ["k": "v"])
        #expect(space.memory.callCount(.get) == 0 && space.memory.callCount(.put) == 0)
    }

    @Test("A new extension changes the type, and nothing else that the app had stored")
    func newType() async throws {
        let space = try Space()
        space.foreign("a.jpg", "x", type: "image/jpeg", metadata: ["k": "v", "mode": String(0o100600)])
        try await space.rename("a.jpg", "a.png")
        let attributes = try #require(space.stored("a.png")).attributes
        #expect(attributes.contentType == "image/png")
        #expect(attributes.metadata["k"] == "v" && attributes.metadata["mode"] == String(0o100600))
    }

    @Test("A photograph saved through a temporary name gets the type of its final name")
    func temporaryName() async throws {
        let space = try Space()
        try await space.write("a.jpg.tmp", "x")
        try await space.rename("a.jpg.tmp", "a.jpg")
        #expect(space.keys == ["a.jpg"])
        #expect(space.stored("a.jpg")?.attributes.contentType == "image/jpeg")
    }

    @Test("A file that was never closed moves without a request")
    func pending() async throws {
        let space = try Space()
        let file = try await space.create("a")
        try await file.write("x")
        try await space.rename("a", "b")
        #expect(space.memory.calls.allSatisfy { !$0.kind.isWrite })
        try await file.close()
        #expect(space.keys == ["b"] && space.memory.callCount(.put) == 1)
    }

    @Test("Over an existing file, through two names, and by exchange")
    func shapes() async throws {
        let space = try Space()
        space.foreign("a", "A")
        space.foreign("b", "B")
        space.foreign("c", "C")
        try await space.rename("a", "b", .exchange)
        #expect(space.text("a") == "B" && space.text("b") == "A")
        try await space.rename("a", "b")
        try await space.rename("b", "d")
        #expect(space.keys == ["c", "d"] && space.text("d") == "B")
        #expect(await failure { () async throws(Errno) in try await space.rename("c", "d", .noReplace) } == .fileExists)
        #expect(try await space.list("") == ["c", "d"])
    }

    @Test("A changed file whose name another takes, between two exchanges of directories, keeps its bytes")
    func exchangedAfterChange() async throws {
        let space = try Space(.local, quietTime: .seconds(1000))
        space.foreign("a", "old")
        try await space.mkdir("e")
        try await space.mkdir("e/s")
        try await space.write("a", "mine")
        try await space.write("empty", "")
        try await space.rename("a", "b")
        try await space.write("a", "second")
        try await space.rename("b", "e/s/b")
        try await space.write("b", "third")
        let file = try await space.open("e/s/b", O_WRONLY)
        try await space.rename("e/s", "b", .exchange)
        try await file.close()
        try await space.rename("empty", "b", .exchange)
        #expect(await space.settle().isEmpty)
        #expect(space.text("empty/b") == "mine" && space.text("a") == "second")
        #expect(space.text("e/s") == "third" && space.text("b") == "")
        #expect(try await space.read("empty/b") == "mine")
    }

    @Test("A file that is changed and renamed right after an exchange keeps its bytes wherever it goes next")
    func changedAfterExchange() async throws {
        let space = try Space(.local, quietTime: .seconds(1000))
        for path in ["d/a", "d/s", "e/b", "x"] { space.foreign(path, path) }
        try await space.rename("d/a", "d/s", .exchange)
        try await space.write("d/a", "mine")
        try await space.rename("d/a", "d/b")
        try await space.write("d/a", "new")
        try await space.rename("x", "d/s")
        try await space.rename("d", "e", .exchange)
        // The first of the copies comes last.
        space.fail(.unavailable) { $0.kind == .copy && $0.name.hasPrefix("s/d/.cognitofs-exchange") }
        for _ in 0..<100 {
            space.volume.hurry()
            try await Task.sleep(for: .milliseconds(1))
        }
        space.heal()
        #expect(await space.settle().isEmpty)
        #expect(space.keys == ["d/b", "e/a", "e/b", "e/s"])
        #expect(space.text("e/b") == "mine" && space.text("e/a") == "new")
        #expect(space.text("e/s") == "x" && space.text("d/b") == "e/b")
        #expect(try await space.read("e/b") == "mine")
    }

    @Test("A copy that S3 refuses twice, since somebody asked for another try meanwhile, deletes nothing")
    func refusedAgain() async throws {
        let space = try Space()
        space.foreign("a", "x")
        let inode = try await space.inode("a")
        let volume = space.volume
        let tries = Mutex(0)
        space.faulty.setScript { call, _ in
            guard call.kind == .copy else { return nil }
            let isFirst = tries.withLock { count in
                count += 1
                return count == 1
            }
            if isFirst {
                // The kernel forgets the file, so that nothing is left of it here once it is taken away.
                volume.update { $0.tree[unkept: inode]?.lookupCount = 0 }
                volume.hurry(retryFailed: true)
            }
            return .failBefore(Space.error(.accessDenied))
        }
        #expect(await failure { () async throws(Errno) in try await space.rename("a", "b") } == .permissionDenied)
        await space.settle()
        #expect(tries.withLock { $0 } == 2)
        #expect(space.keys == ["a"] && space.text("a") == "x")
        #expect(try await space.list("") == ["a"])
        space.heal()
    }

    @Test(
        "What a rename was to replace stays where the renamed bytes are gone", arguments: [Durability.local, .remote])
    func lostBetweenRenames(_ durability: Durability) async throws {
        let space = try Space(durability)
        space.foreign("a", "mine")
        space.foreign("b", "old")
        _ = try await space.list("")
        let gate = Gate()
        space.faulty.setScript { call, number in call.kind == .copy ? .holdBefore(gate) : nil }
        let first = Task { await failure { () async throws(Errno) in try await space.rename("a", "b") } }
        space.volume.hurry()
        await gate.arrived()
        let second = Task { await failure { () async throws(Errno) in try await space.rename("b", "c") } }
        while space.volume.report().changes.count < 3 { try await Task.sleep(for: .milliseconds(1)) }
        space.foreign("a", "theirs")
        gate.open()
        let (one, other) = await (first.value, second.value)
        #expect((one != nil && other != nil) == (durability == .remote))
        #expect(await space.settle().isEmpty)
        #expect(space.text("a") == "theirs" && space.text("b") == "old")
        space.expire()
        #expect(try await space.list("") == ["a", "b"])
    }

    @Test("A directory moves with its children and its marker")
    func directory() async throws {
        let space = try Space()
        for path in ["d/1", "d/e/2", "d/e/f/3"] { space.foreign(path, path) }
        space.foreign("d/", "")
        try await space.rename("d", "n")
        await space.settle()
        #expect(space.keys == ["n/1", "n/e/2", "n/e/f/3"] || space.keys == ["n/", "n/1", "n/e/2", "n/e/f/3"])
        #expect(try await space.list("n/e") == ["2", "f"])
        #expect(try await space.read("n/e/f/3") == "d/e/f/3")
        space.expire()
        #expect(try await space.list("") == ["n"])
    }

    @Test("A copy that S3 refuses never lets the source be deleted, and the old name comes back")
    func refusedCopy() async throws {
        let space = try Space()
        space.foreign("a", "x")
        space.fail(.accessDenied) { $0.kind == .copy }
        #expect(await failure { () async throws(Errno) in try await space.rename("a", "b") } == .permissionDenied)
        await space.settle()
        #expect(space.keys == ["a"])
        #expect(try await space.list("") == ["a"])
    }

    @Test("A put under a new name that S3 refuses never lets the old bytes be deleted, however often it is renamed")
    func refusedPut() async throws {
        let space = try Space()
        space.foreign("a", "old")
        space.fail(.unavailable) { $0.kind == .put }
        _ = await failure { () async throws(Errno) in try await space.write("a", "new") }
        _ = await failure { () async throws(Errno) in try await space.rename("a", "b") }
        _ = await failure { () async throws(Errno) in try await space.rename("b", "c") }
        #expect(space.text("a") == "old")
        #expect(try await space.list("") == ["c"])
        space.heal()
        await space.settle()
        #expect(space.keys == ["c"] && space.text("c") == "new")
    }

    @Test("Back to the first name before anything was stored")
    func thereAndBack() async throws {
        let space = try Space()
        space.foreign("a", "old")
        space.fail(.unavailable) { $0.kind == .put || $0.kind == .copy }
        _ = await failure { () async throws(Errno) in try await space.write("a", "new") }
        _ = await failure { () async throws(Errno) in try await space.rename("a", "b") }
        _ = await failure { () async throws(Errno) in try await space.write("a", "other") }
        _ = await failure { () async throws(Errno) in try await space.rename("b", "a") }
        space.heal()
        #expect(await space.settle().isEmpty)
        #expect(space.keys == ["a"] && space.text("a") == "new")
    }

    @Test("The target vanishes elsewhere while a rename over it is under way: nothing is lost")
    func targetVanishes() async throws {
        let space = try Space()
        space.foreign("a", "mine")
        space.foreign("b", "theirs")
        _ = try await space.list("")
        space.memory.foreignDelete(Space.key("b"))
        try await space.rename("a", "b")
        await space.settle()
        #expect(space.keys == ["b"] && space.text("b") == "mine")
    }

    @Test("An empty directory that lost its last child keeps existing, and rmdir takes its marker away")
    func markers() async throws {
        let space = try Space()
        try await space.mkdir("d")
        await space.settle()
        #expect(space.keys == ["d/"])
        try await space.mkdir("e")
        try await space.write("e/1", "1")
        await space.settle()
        #expect(space.keys == ["d/", "e/1"])
        try await space.unlink("e/1")
        await space.settle()
        #expect(space.keys == ["d/", "e/"])
        #expect(await failure { () async throws(Errno) in try await space.rmdir("") } != nil)
        try await space.rmdir("e")
        try await space.rmdir("d")
        await space.settle()
        #expect(space.keys == [])
    }

    @Test("A name too long below a renamed directory: nothing moves")
    func tooLong() async throws {
        let space = try Space()
        let long = String(repeating: "n", count: 250)
        space.foreign("d/\(long)/\(long)/\(long)/\(long)", "x")
        try await space.mkdir("e")
        try await space.mkdir(long)
        #expect(
            await failure { () async throws(Errno) in try await space.rename("d", "\(long)/d") } == .fileNameTooLong)
        #expect(await failure { () async throws(Errno) in try await space.rename("d", long) } == .fileNameTooLong)
        #expect(try await space.list("") == ["d", "e", long])
    }
}
