import Glibc
import ObjectStore
import SystemPackage
import TestSupport
import Testing

@testable import FileSystemCore

/// What becomes of changes that S3 refuses for good, apart from contents.
@Suite struct RefusalTests {
    @Test("That the space is gone is told by the first look, and by the network's return when that came too late")
    func goneSpace() async throws {
        let first = try Space(.local)
        first.fail(.noSuchBucket) { _ in true }
        await #expect(throws: ObjectStoreError.self) { try await first.volume.begin() }
        #expect(first.volume.report().lastError?.code == .noSuchBucket)

        let second = try Space(.local, after: first)
        second.fail(.noSuchBucket) { _ in true }
        second.volume.noteSilence()
        while second.volume.report().isOffline { try await Task.sleep(for: .milliseconds(1)) }
        #expect(second.volume.report().lastError?.code == .noSuchBucket)
    }

    @Test(
        "What S3 would not delete stays deleted here, is told, and goes when it is tried again, by the next mount too")
    func refusedDeletion() async throws {
        let space = try Space(.local)
        space.foreign("d/a", "A")
        space.foreign("b", "B")
        _ = try await space.list("d")
        space.fail(.accessDenied) { $0.kind == .delete }
        try await space.unlink("d/a")
        try await space.unlink("b")
        let failed = await space.settle()
        #expect(failed.map(\.path).sorted() == ["b", "d/a"] && failed.allSatisfy { $0.kind == .deletion })
        #expect(failed.allSatisfy { $0.failure == "refused by the test" })
        space.expire()
        #expect(try await space.list("d") == [])
        #expect(try await space.list("") == ["d"])
        // Nobody asked for it: nothing is tried again.
        space.volume.hurry()
        #expect(space.volume.report().changes.allSatisfy { $0.failure != nil && !$0.isRunning })
        let second = try Space(.local, after: space)
        second.fail(.accessDenied) { $0.kind == .delete }
        second.volume.start()
        #expect(await second.settle().filter { $0.failure != nil }.count == 2)
        #expect(second.keys.filter { !$0.hasSuffix("/") }.sorted() == ["b", "d/a"])
        second.heal()
        #expect(second.volume.retry(path: "d") == 1)
        #expect(await second.settle().map(\.path) == ["b"])
        let third = try Space(.local, after: second)
        third.volume.start()
        #expect(await third.settle().isEmpty)
        #expect(third.keys.filter { !$0.hasSuffix("/") } == [])
    }

    @Test("A rename that S3 refuses while the file is open and changed in part leaves its bytes where they are")
    func refusedRenameOfChanged() async throws {
        let space = try Space()
        space.foreign("a", "0123456789")
        _ = try await space.list("")
        let file = try await space.open("a", O_RDWR)
        try await file.write("x", at: 3)
        space.fail(.accessDenied) { $0.kind == .copy }
        #expect(await failure { () async throws(Errno) in try await space.rename("a", "b") } == .permissionDenied)
        await space.settle()
        #expect(space.keys == ["a"])
        #expect(try await space.list("") == ["a"], "it is undone")
        space.heal()
        try await file.flush()
        await file.release()
        await space.settle()
        #expect(space.keys == ["a"] && space.text("a") == "012x456789")
    }

    @Test("What S3 would not delete can be given up: the file, or the tree, is shown again as S3 has it")
    func givenUpDeletion() async throws {
        let space = try Space(.local)
        for name in ["d/", "d/a", "d/e/b"] { space.foreign(name, name) }
        for name in ["d", "d/e"] { _ = try await space.list(name) }
        space.fail(.accessDenied) { $0.kind == .delete }
        for name in ["d/a", "d/e/b"] { try await space.unlink(name) }
        for name in ["d/e", "d"] { try await space.rmdir(name) }
        #expect(await space.settle().allSatisfy { $0.failure != nil })
        #expect(try await space.list("") == [])
        try space.volume.discard(path: "d/e/b")
        #expect(try await space.list("d/e") == ["b"])
        #expect(try await space.read("d/e/b") == "d/e/b")
        try space.volume.discard(path: "d")
        #expect(space.volume.report().changes.isEmpty)
        space.expire()
        #expect(try await space.list("d") == ["a", "e"])
        space.heal()
        await space.settle()
        #expect(space.keys.sorted() == ["d/", "d/a", "d/e/b"])
    }

    @Test("What is stored under the name of something that S3 would not delete replaces it")
    func replacedRefusal() async throws {
        let space = try Space(.local)
        for name in ["a", "b", "c"] { space.foreign(name, name) }
        _ = try await space.list("")
        space.fail(.accessDenied) { $0.kind == .delete && $0.name != "s/c" }
        try await space.unlink("a")
        try await space.unlink("b")
        #expect(await space.settle().count == 2)
        try await space.write("a", "new")
        try await space.rename("c", "b")
        #expect(await space.settle().isEmpty)
        #expect(space.keys.sorted() == ["a", "b"] && space.text("a") == "new" && space.text("b") == "c")
    }

    @Test("A rename that S3 refuses stays as it was made; given up, the file has its old name again")
    func refusedRename() async throws {
        let space = try Space(.local)
        for name in ["a", "d/x", "d/y"] { space.foreign(name, name) }
        for name in ["", "d"] { _ = try await space.list(name) }
        space.fail(.accessDenied) { $0.kind == .copy }
        try await space.rename("a", "b")
        try await space.rename("d", "e")
        for _ in 0..<20_000 where space.volume.report().changes.count(where: { $0.failure != nil }) < 3 {
            space.volume.hurry()
            try await Task.sleep(for: .milliseconds(1))
        }
        let failed = space.volume.report().changes.filter { $0.failure != nil }
        #expect(failed.map(\.path).sorted() == ["b", "e/x", "e/y"])
        #expect(failed.map(\.source).compactMap { $0 }.sorted() == ["a", "d/x", "d/y"])
        #expect(space.volume.report().changes.allSatisfy { $0.isStuck })
        space.expire()
        #expect(try await space.list("") == ["b", "e"])
        #expect(try await space.list("e") == ["x", "y"])
        #expect(try await space.read("b") == "a")
        #expect(try await space.read("e/x") == "d/x")
        #expect(space.keys.sorted() == ["a", "d/x", "d/y"])
        let second = try Space(.local, after: space)
        #expect(try await second.list("") == ["b", "e"])
        #expect(try await second.read("e/y") == "d/y")
        try second.volume.discard(path: "b")
        try second.volume.discard(path: "d")
        #expect(second.volume.report().changes.isEmpty)
        second.expire()
        #expect(try await second.list("") == ["a", "d"])
        #expect(try await second.list("d") == ["x", "y"])
        space.heal()
        #expect(space.volume.retry(path: "") == 3)
        #expect(await space.settle().isEmpty)
        #expect(space.keys.sorted() == ["b", "e/x", "e/y"])
    }

    @Test("A rename given up when somebody has taken the old name: the old name has theirs, the new one nothing")
    func refusedRenameOfTakenName() async throws {
        let space = try Space(.local)
        space.foreign("a", "ours")
        _ = try await space.list("")
        space.fail(.accessDenied) { $0.kind == .copy || $0.kind == .delete }
        try await space.rename("a", "b")
        while !space.volume.report().changes.contains(where: { $0.failure != nil }) { await Task.yield() }
        space.foreign("a", "theirs")
        try space.volume.discard(path: "b")
        space.expire()
        #expect(try await space.list("") == ["a"])
        #expect(try await space.read("a") == "theirs")
        #expect(space.volume.report().changes.isEmpty)
    }

    @Test("A renamed file whose old object S3 would not delete: given up, both names are there, as on S3")
    func refusedRemovalOfOldName() async throws {
        let space = try Space(.local)
        space.foreign("a", "A")
        _ = try await space.list("")
        space.fail(.accessDenied) { $0.kind == .delete }
        try await space.rename("a", "b")
        let failed = await space.settle()
        #expect(failed.map(\.path) == ["a"] && failed.map(\.kind) == [.deletion])
        #expect(try await space.list("") == ["b"])
        try space.volume.discard(path: "a")
        #expect(try await space.list("") == ["a", "b"])
        #expect(try await space.read("a") == "A")
        #expect(try await space.read("b") == "A")
    }

    @Test("Attributes that S3 refuses stay, over a crash too, until they are tried again, set anew or given up")
    func refusedAttributes() async throws {
        let space = try Space(.local)
        for name in ["a", "b", "c"] { space.foreign(name, name, metadata: ["mode": "33184"]) }
        for name in ["a", "b", "c"] { _ = try await space.read(name) }
        space.fail(.accessDenied) { $0.kind == .copy }
        for name in ["a", "b", "c"] { try await space.set(name, AttributeChanges(mode: 0o777)) }
        let failed = await space.settle()
        #expect(failed.map(\.path).sorted() == ["a", "b", "c"] && failed.allSatisfy { $0.kind == .attributes })
        let second = try Space(.local, after: space)
        #expect(try await second.stat("a").mode & 0o777 == 0o777)
        second.fail(.accessDenied) { $0.kind == .copy }
        second.volume.start()
        #expect(await second.settle().count == 3)
        try second.volume.discard(path: "b")
        _ = try await second.read("b")
        #expect(try await second.stat("b").mode & 0o777 == 0o640)
        second.heal()
        second.volume.retry(path: "a")
        try await second.set("c", AttributeChanges(mode: 0o711))
        #expect(await second.settle().isEmpty)
        let modes = ["a", "b", "c"].map { second.stored($0)?.attributes.metadata["mode"] }
        #expect(modes == ["33279", "33184", "33225"])
    }

    @Test("A directory whose marker S3 refuses stays until that is tried again or given up")
    func refusedMarker() async throws {
        let space = try Space(.local)
        space.foreign("known/", "", metadata: ["mode": "16877"])
        _ = try await space.list("")
        space.fail(.accessDenied) { $0.kind == .put }
        try await space.mkdir("d")
        try await space.mkdir("e")
        try await space.set("known", AttributeChanges(mode: 0o700))
        let failed = await space.settle()
        #expect(failed.map(\.path).sorted() == ["d/", "e/", "known/"])
        #expect(failed.allSatisfy { $0.kind == .directory })
        space.expire()
        #expect(try await space.list("") == ["d", "e", "known"])
        try space.volume.discard(path: "d")
        try space.volume.discard(path: "known")
        #expect(try await space.list("") == ["e", "known"])
        space.heal()
        space.volume.retry(path: "e")
        #expect(await space.settle().isEmpty)
        #expect(space.keys == ["e/", "known/"])
        #expect(space.stored("known/")?.attributes.metadata["mode"] == "16877")
    }

    @Test("In remote durability a refused call fails and is undone; what had been promised before it stays")
    func remoteRefusals() async throws {
        let space = try Space(.remote)
        for name in ["a", "b", "d/x"] { space.foreign(name, name) }
        for name in ["", "d"] { _ = try await space.list(name) }
        space.fail(.accessDenied) { $0.kind == .delete || $0.kind == .copy }
        #expect(await failure { () async throws(Errno) in try await space.unlink("a") } == .permissionDenied)
        #expect(await failure { () async throws(Errno) in try await space.rename("a", "c") } == .permissionDenied)
        #expect(try await space.list("") == ["a", "b", "d"])
        #expect(space.volume.report().changes.isEmpty)
        try await space.set("b", AttributeChanges(mode: 0o600))
        try await space.rename("d", "e")
        while space.volume.report().changes.count(where: { $0.failure != nil }) < 2 {
            space.volume.hurry()
            await Task.yield()
        }
        #expect(await failure { () async throws(Errno) in try await space.rename("b", "c") } == .permissionDenied)
        let failed = space.volume.report().changes.filter { $0.failure != nil }
        #expect(failed.contains { $0.path == "e/x" && $0.kind == .name })
        space.heal()
        space.volume.retry(path: "")
        #expect(await space.settle().isEmpty)
        #expect(space.keys.contains("e/x"))
        #expect(["b", "c"].contains { space.stored($0)?.attributes.metadata["mode"] == "33152" })
    }
}
