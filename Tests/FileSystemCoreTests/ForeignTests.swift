import Glibc
import ObjectStore
import SystemPackage
import Testing

@testable import FileSystemCore

/// Other devices: what they do is seen, and never undone or overwritten unseen.
@Suite struct ForeignTests {
    private func conflicts(_ names: [String]) -> [String] { names.filter { $0.contains("(conflict from desk ") } }

    @Test("An edit here and an edit elsewhere: both stay, also when a listing has shown theirs before")
    func bothEdited() async throws {
        for looks in [false, true] {
            let space = try Space()
            space.foreign("a.txt", "base")
            let file = try await space.open("a.txt", O_WRONLY)
            try await file.write("ours")
            space.foreign("a.txt", "theirs")
            if looks {
                space.expire()
                _ = try await space.list("")
            }
            try await file.close()
            await space.settle()
            #expect(space.text("a.txt") == "theirs")
            let ours = conflicts(space.keys)
            #expect(ours.count == 1 && ours.first?.hasSuffix(").txt") == true)
            #expect(ours.first.map { space.text($0) } == "ours")
            #expect(try await space.list("") == (["a.txt"] + ours).sorted())
            #expect(try await space.read("a.txt") == "theirs")
        }
    }

    @Test("A rename onto a name that has appeared elsewhere: both stay", arguments: [Durability.local, .remote])
    func renamedOnto(_ durability: Durability) async throws {
        let space = try Space(durability)
        space.foreign("a", "ours")
        _ = try await space.list("")
        space.foreign("b", "theirs")
        try await space.rename("a", "b")
        await space.settle()
        let ours = conflicts(space.keys)
        #expect(space.keys.sorted() == (["b"] + ours).sorted() && ours.count == 1)
        #expect(space.text("b") == "theirs" && ours.first.map { space.text($0) } == "ours")
        space.expire()
        #expect(try await space.list("") == (["b"] + ours).sorted())
    }

    @Test("A file here where another device has made a directory of the name: what is in either is there")
    func fileOverDirectory() async throws {
        let space = try Space(.local, quietTime: .seconds(1000))
        _ = try await space.list("")
        try await space.write("x", "ours")
        space.foreign("x/y", "theirs")
        #expect(await space.settle().isEmpty)
        #expect(space.keys == ["x", "x/y"])
        // One name shows one of them; the other is told, and comes up once that has gone.
        space.expire()
        let shown = try await space.list("")
        #expect(shown == ["x"])
        let isDirectory = try await space.stat("x").mode & UInt32(S_IFMT) == UInt32(S_IFDIR)
        try await space.rename("x", "moved")
        await space.settle()
        space.expire()
        #expect(try await space.list("") == ["moved", "x"])
        #expect(try await space.read(isDirectory ? "x" : "moved") == "ours")
        #expect(try await space.read(isDirectory ? "moved/y" : "x/y") == "theirs")
    }

    @Test("A directory here where another device has made a file of the name: what is in either is there")
    func directoryOverFile() async throws {
        let space = try Space(.local, quietTime: .seconds(1000))
        _ = try await space.list("")
        try await space.mkdir("x")
        try await space.write("x/y", "ours")
        space.foreign("x", "theirs")
        #expect(await space.settle().isEmpty)
        #expect(space.text("x") == "theirs" && space.text("x/y") == "ours")
        space.expire()
        #expect(try await space.list("") == ["x"])
        try await space.rename("x", "moved")
        await space.settle()
        space.expire()
        #expect(try await space.list("") == ["moved", "x"])
        #expect(try await space.read("moved/y") == "ours")
        #expect(try await space.read("x") == "theirs")
    }

    @Test("Equal bytes are no conflict, and a write made meanwhile is stored")
    func equalBytes() async throws {
        let space = try Space()
        space.foreign("a", "base")
        let file = try await space.open("a", O_WRONLY)
        try await file.write("same")
        space.foreign("a", "same")
        let gate = Gate()
        space.faulty.setScript { call, _ in call.kind == .get && call.name == "s/a" ? .holdAfter(gate) : nil }
        let flushed = Task { await failure { () async throws(Errno) in try await file.flush() } }
        await gate.arrived()
        try await file.write("next")
        gate.open()
        #expect(await flushed.value == nil)
        try await file.close()
        #expect(space.keys == ["a"] && space.text("a") == "next")
    }

    @Test("A file edited here and deleted elsewhere is made again")
    func editedAndDeleted() async throws {
        let space = try Space()
        space.foreign("a", "base")
        let file = try await space.open("a", O_WRONLY)
        try await file.write("ours")
        space.memory.foreignDelete(Space.key("a"))
        try await file.close()
        #expect(space.keys == ["a"] && space.text("a") == "ours")
    }

    @Test("A file deleted here and changed elsewhere stays, and is shown again")
    func deletedAndEdited() async throws {
        let space = try Space()
        space.foreign("a", "base")
        _ = try await space.list("")
        space.foreign("a", "theirs")
        _ = await failure { () async throws(Errno) in try await space.unlink("a") }
        await space.settle()
        #expect(space.text("a") == "theirs")
        #expect(try await space.list("") == ["a"])
        #expect(try await space.read("a") == "theirs")
    }

    @Test(
        "A new file here, a new file elsewhere, and ours renamed or unlinked meanwhile: theirs stays",
        arguments: [false, true])
    func conflictDuringPut(_ unlinks: Bool) async throws {
        let space = try Space()
        let gate = Gate()
        space.faulty.setScript { call, _ in call.kind == .put && call.name == "s/a" ? .holdBefore(gate) : nil }
        let file = try await space.create("a")
        try await file.write("ours")
        let flushed = Task { await failure { () async throws(Errno) in try await file.flush() } }
        await gate.arrived()
        let changed = Task {
            await failure { () async throws(Errno) in
                if unlinks { try await space.unlink("a") } else { try await space.rename("a", "b") }
            }
        }
        while await failure({ () async throws(Errno) in try await space.stat("a") }) == nil { await Task.yield() }
        space.foreign("a", "theirs")
        gate.open()
        _ = await (flushed.value, changed.value)
        await file.release()
        await space.settle()
        #expect(space.text("a") == "theirs")
        #expect(space.keys == (unlinks ? ["a"] : ["a", "b"]))
        if !unlinks { #expect(space.text("b") == "ours") }
        space.expire()
        #expect(try await space.list("") == space.keys)
    }

    @Test("A conflict while the source's name is used again: all three stay")
    func conflictAndNewSource() async throws {
        let space = try Space()
        space.foreign("a", "first")
        space.foreign("b", "seen")
        _ = try await space.list("")
        space.foreign("b", "theirs")
        let gate = Gate()
        space.faulty.setScript { call, _ in call.kind == .copy && call.name == "s/b" ? .holdBefore(gate) : nil }
        let renamed = Task { await failure { () async throws(Errno) in try await space.rename("a", "b") } }
        await gate.arrived()
        let second = Task { await failure { () async throws(Errno) in try await space.write("a", "second") } }
        while await failure({ () async throws(Errno) in try await space.stat("a") }) != nil { await Task.yield() }
        gate.open()
        _ = await (renamed.value, second.value)
        await space.settle()
        #expect(space.text("a") == "second" && space.text("b") == "theirs")
        #expect(conflicts(space.keys).first.map { space.text($0) } == "first")
    }

    @Test("An open handle keeps its version: cached bytes are read, others are ESTALE, never the new ones")
    func changedWhileOpen() async throws {
        let space = try Space()
        space.foreign("a", String(repeating: "1", count: 8192))
        space.foreign("b", String(repeating: "1", count: 8192))
        let (cached, uncached) = (try await space.open("a"), try await space.open("b"))
        _ = try await cached.readAll()
        space.foreign("a", String(repeating: "2", count: 8192))
        space.foreign("b", String(repeating: "2", count: 8192))
        space.expire()
        _ = try await space.list("")
        #expect(try await cached.readAll() == String(repeating: "1", count: 8192))
        #expect(await failure { () async throws(Errno) in try await uncached.readAll() } == .staleNFSFileHandle)
        #expect(try await space.read("a") == String(repeating: "2", count: 8192))
        #expect(space.notices.all.contains("entry a"))
    }

    @Test("A listing that began before a change never undoes it")
    func listingInFlight() async throws {
        let space = try Space()
        for name in ["gone", "moved", "stays"] { space.foreign(name, name) }
        _ = try await space.list("")
        space.expire()
        let gate = Gate()
        space.faulty.setScript { call, _ in call.kind == .list ? .holdAfter(gate) : nil }
        let listing = Task { try await space.volume.opendir(.root).value() }
        await gate.arrived()
        space.heal()
        let volume = space.volume
        func name(_ text: String) -> FileName { FileName(Array(text.utf8)) }
        try await volume.unlink(.root, name("gone")).value()
        try await volume.rename(.root, name("moved"), to: .root, name("there"), .replace).value()
        let made = try await volume.create(.root, name("new"), mode: 0o644, flags: O_WRONLY, Space.caller).value()
        let inode = try #require(made.entry.attributes?.inode)
        try await File(space, inode, made.opened.handle).close()
        gate.open()
        _ = try await listing.value
        #expect(try await space.list("") == ["new", "stays", "there"])
        space.expire()
        #expect(try await space.list("") == ["new", "stays", "there"])
    }

    @Test("Where listing is refused, readdir is EACCES, names are found, files are made, and no directory vanishes")
    func blind() async throws {
        let space = try Space()
        space.foreign("known/1", "1")
        space.foreign("a", "x")
        _ = try await space.list("")
        space.expire()
        space.fail(.accessDenied) { $0.kind == .list }
        #expect(await failure { () async throws(Errno) in try await space.list("") } == .permissionDenied)
        #expect(try await space.stat("a").size == 1)
        #expect(try await space.stat("known").mode & FileMode.typeMask == FileMode.directory)
        try await space.write("new", "n")
        #expect(space.text("new") == "n")
    }

    @Test("Without a network what was listed is shown, and what was not is ENETUNREACH")
    func unreachable() async throws {
        let space = try Space()
        space.foreign("d/1", "1")
        space.foreign("e/1", "1")
        _ = try await space.list("d")
        space.expire()
        space.fail(.unreachable) { _ in true }
        #expect(try await space.list("d") == ["1"])
        #expect(await failure { () async throws(Errno) in try await space.list("e") } == .networkUnreachable)
        #expect(await failure { () async throws(Errno) in try await space.write("d/2", "2") } == .networkUnreachable)
        #expect(try await space.list("d") == ["1", "2"])
        space.heal()
        await space.settle()
        #expect(space.text("d/2") == "2")
    }

    @Test("A lost answer is no conflict, and what it left is deleted with the file")
    func lostAnswer() async throws {
        let space = try Space()
        space.faulty.setScript { call, _ in call.kind == .put ? .failAfter(Space.error(.unavailable)) : nil }
        _ = await failure { () async throws(Errno) in try await space.write("a", "x") }
        _ = await failure { () async throws(Errno) in try await space.write("b", "x") }
        #expect(space.keys == ["a", "b"])
        _ = await failure { () async throws(Errno) in try await space.unlink("a") }
        _ = await failure { () async throws(Errno) in try await space.rename("b", "c") }
        space.heal()
        await space.settle()
        #expect(space.keys == ["c"])
    }

    @Test("An overwrite whose answer was lost is no conflict for the next one")
    func lostOverwrite() async throws {
        let space = try Space()
        try await space.write("a", "first")
        space.faulty.setScript { call, number in call.kind == .put ? .failAfter(Space.error(.unavailable)) : nil }
        _ = await failure { () async throws(Errno) in try await space.write("a", "second") }
        space.heal()
        try await space.write("a", "third")
        await space.settle()
        #expect(space.keys == ["a"] && space.text("a") == "third")
    }

    @Test("What another device made under a name whose put never came through is not deleted")
    func foreignUnderUnansweredName() async throws {
        let space = try Space()
        space.fail(.unavailable) { $0.kind == .put }
        _ = await failure { () async throws(Errno) in try await space.write("a", "ours") }
        space.foreign("a", "theirs")
        _ = await failure { () async throws(Errno) in try await space.unlink("a") }
        space.heal()
        await space.settle()
        #expect(space.text("a") == "theirs")
    }
}
