import Glibc
import ObjectStore
import SystemPackage
import TestSupport
import Testing

@testable import FileSystemCore

/// Renamed directories: at once in the view, file by file behind it.
@Suite struct DirectoryMoveTests {
    private func space(_ count: Int = 300) async throws -> Space {
        let space = try Space(.local, quietTime: .seconds(1000))
        for number in 0..<count { space.foreign("d/\(number % 3)/f\(number)", "\(number)") }
        _ = try await space.list("")
        for name in try await space.list("d") { _ = try await space.list("d/\(name)") }
        return space
    }

    private func expectAll(_ space: Space, below top: String, _ count: Int = 300) async throws {
        #expect(await space.settle().isEmpty)
        #expect(space.keys.count == count)
        for number in 0..<count { #expect(space.text("\(top)/\(number % 3)/f\(number)") == "\(number)") }
    }

    @Test("Killed at any moment after it, the renamed directory is found, and S3 follows", arguments: [0, 1, 20, 400])
    func killed(_ yields: Int) async throws {
        let first = try await space()
        try await first.rename("d", "e")
        for _ in 0..<yields { await Task.yield() }
        let second = try Space(.local, after: first)
        second.fail(.unavailable) { _ in true }
        #expect(try await second.list("") == ["e"])
        #expect(try await second.list("e/1").count == 100)
        second.heal()
        #expect(try await second.read("e/2/f5") == "5")
        try await expectAll(second, below: "e")
    }

    @Test("Renamed again while it is on its way, and a part of it out of it, then killed")
    func again() async throws {
        let first = try await space()
        try await first.rename("d", "e")
        try await first.rename("e", "g")
        try await first.rename("g/1", "part")
        try await first.rename("part/f1", "one")
        let second = try Space(.local, after: first)
        #expect(try await second.list("") == ["g", "one", "part"])
        #expect(try await second.list("g") == ["0", "2"])
        #expect(await second.settle().isEmpty)
        #expect(second.keys.count == 300)
        #expect(second.text("one") == "1" && second.text("part/f4") == "4" && second.text("g/2/f2") == "2")
    }

    @Test("The files of a renamed directory are copied side by side")
    func parallel() async throws {
        let space = try Space(.local)
        for number in 0..<100 { space.foreign("d/\(number)", "x") }
        let gate = Gate()
        space.faulty.setScript { call, _ in call.kind == .copy ? .holdBefore(gate) : nil }
        try await space.rename("d", "e")
        space.volume.hurry()
        await gate.arrived(8)
        gate.open()
        #expect(await space.settle().isEmpty)
        #expect(space.keys.count == 100 && space.keys.allSatisfy { $0.hasPrefix("e/") })
    }

    @Test(
        "Where S3 must have it, fsync of a directory brings the directories made in it there", arguments: [true, false])
    func synced(_ isEmpty: Bool) async throws {
        let space = try Space(.remote)
        try await space.mkdir("d")
        if !isEmpty { try await space.write("d/f", "x") }
        let handle = try await space.volume.opendir(.root).value().handle
        try await space.volume.fsyncdir(.root, handle).value()
        #expect(space.keys == (isEmpty ? ["d/"] : ["d/f"]))
    }

    @Test("Directories that change places in a ring keep their files apart")
    func ring() async throws {
        for isExchanged in [true, false] {
            let space = try Space(.local, quietTime: .seconds(1000))
            for name in ["a", "b"] { for number in 0..<50 { space.foreign("\(name)/\(number)", name) } }
            for name in try await space.list("") { _ = try await space.list(name) }
            if isExchanged {
                try await space.rename("a", "b", .exchange)
            } else {
                try await space.rename("a", "x")
                try await space.rename("b", "a")
                try await space.rename("x", "b")
            }
            #expect(await space.settle().isEmpty)
            #expect(space.keys.count == 100)
            for number in 0..<50 { #expect(space.text("a/\(number)") == "b" && space.text("b/\(number)") == "a") }
        }
    }

    @Test("What is done to a file of a renamed directory, or under its old name, comes in its order")
    func touched() async throws {
        let space = try await space(30)
        try await space.rename("d", "e")
        try await space.mkdir("d")
        try await space.mkdir("d/0")
        try await space.write("d/0/f0", "new at the old name")
        try await space.write("e/0/f3", "changed")
        try await space.unlink("e/0/f6")
        try await space.set("e/0/f9", AttributeChanges(mode: 0o600))
        try await space.rename("e/0/f12", "d/0/f12")
        #expect(await space.settle().isEmpty)
        #expect(space.text("d/0/f0") == "new at the old name" && space.text("e/0/f0") == "0")
        #expect(space.text("e/0/f3") == "changed" && space.text("e/0/f6") == nil && space.text("d/0/f6") == nil)
        #expect(space.stored("e/0/f9")?.attributes.metadata["mode"] == String(0o100600))
        #expect(space.text("d/0/f12") == "12" && space.text("e/0/f12") == nil)
        #expect(space.keys.count == 30)
    }

    @Test("A copy inside the space has its bytes though the file it was made of is gone at once")
    func copied() async throws {
        let space = try Space(.local, quietTime: .seconds(1000))
        space.foreign("a", "bytes")
        _ = try await space.list("")
        let from = try await space.open("a")
        let to = try await space.create("b")
        let count = try await space.volume.copyFileRange(
            from: from.inode, from.handle, offset: 0, to: to.inode, to.handle, offset: 0, count: 5
        ).value()
        #expect(count == 5)
        try await to.close()
        await from.release()
        try await space.unlink("a")
        #expect(await space.settle().isEmpty)
        #expect(space.keys == ["b"] && space.text("b") == "bytes")
    }
}
