import Disk
import Glibc
import Journal
import ObjectStore
import SystemPackage
import Testing

@testable import FileSystemCore

/// What a new process finds after the old one was killed.
@Suite struct RecoveryTests {
    private static let long = Duration.seconds(1000)

    /// A space whose queue stands still, so that everything is found in the journal.
    private func space() throws -> Space { try Space(.local, quietTime: Self.long) }

    private func killed(_ space: Space) throws -> Space { try Space(.local, after: space) }

    @Test("A file that was closed is there with its bytes, mode and time, and goes to S3")
    func closedFile() async throws {
        let first = try space()
        try await first.write("a.txt", "hello")
        try await first.set("a.txt", AttributeChanges(mode: 0o640, modified: .at(Timestamp(seconds: 1000))))
        #expect(first.keys == [])
        let second = try killed(first)
        #expect(try await second.read("a.txt") == "hello")
        let found = try await second.stat("a.txt")
        #expect(found.mode & 0o7777 == 0o640 && found.modified.seconds == 1000)
        #expect(await second.settle().isEmpty)
        #expect(second.text("a.txt") == "hello")
        #expect(second.stored("a.txt")?.attributes.metadata["mtime"] == "1000")
    }

    @Test("What was never closed is gone, and what it was to replace is there")
    func unclosed() async throws {
        let first = try space()
        first.foreign("old.txt", "old")
        let new = try await first.create("new.txt")
        try await new.write("half")
        let old = try await first.open("old.txt", O_WRONLY)
        try await old.write("XX")
        let second = try killed(first)
        #expect(try await second.list("") == ["old.txt"])
        #expect(try await second.read("old.txt") == "old")
        #expect(await second.settle().isEmpty)
        #expect(second.keys == ["old.txt"])
        #expect(second.text("old.txt") == "old")
    }

    @Test("What was synced and not closed is there, and is not published")
    func syncedOnly() async throws {
        let first = try space()
        let file = try await first.create("db")
        try await file.write("synced")
        try await first.volume.fsync(file.inode, file.handle, dataOnly: false).value()
        try await file.write("later!", at: 6)
        let second = try killed(first)
        #expect(try await second.read("db") == "synced")
        await second.settle()
        #expect(second.keys == [])
    }

    @Test(
        "While somebody writes on, what is published is what was closed, also after a kill", arguments: [false, true])
    func closedThenWritten(_ isSynced: Bool) async throws {
        let first = try space()
        try await first.write("a", "closed")
        let file = try await first.open("a", O_WRONLY)
        try await file.write("W")
        if isSynced { try await first.volume.fsync(file.inode, file.handle, dataOnly: false).value() }
        let second = try killed(first)
        #expect(try await second.read("a") == (isSynced ? "Wlosed" : "closed"))
        await second.settle()
        #expect(second.text("a") == "closed")
        first.heal()
        await first.settle()
        #expect(first.text("a") == "closed")
        try await file.close()
        await first.settle()
        #expect(first.text("a") == "Wlosed")
    }

    @Test("Names that were made, moved and removed stay so, and S3 follows in their order")
    func names() async throws {
        let first = try space()
        first.foreign("d/x", "x")
        first.foreign("d/y", "y")
        first.foreign("z", "z")
        _ = try await first.list("")
        _ = try await first.list("d")
        try await first.mkdir("e")
        try await first.mkdir("empty")
        try await first.write("e/new", "new")
        try await first.rename("d", "moved")
        try await first.rename("moved/x", "e/x2")
        try await first.unlink("z")
        try await first.rename("e/new", "e/newer")
        let second = try killed(first)
        // Nothing is asked of S3 for what is known.
        second.fail(.unavailable) { _ in true }
        #expect(try await second.list("") == ["e", "empty", "moved"])
        #expect(try await second.list("e") == ["newer", "x2"])
        #expect(try await second.list("moved") == ["y"])
        second.heal()
        #expect(try await second.read("e/x2") == "x")
        #expect(await second.settle().isEmpty)
        #expect(second.keys == ["e/newer", "e/x2", "empty/", "moved/y"])
        #expect(second.text("e/x2") == "x" && second.text("moved/y") == "y")
        second.expire()
        #expect(try await second.list("moved") == ["y"])
    }

    @Test("A write that S3 had got is not taken for somebody else's")
    func lostAnswer() async throws {
        let first = try Space(.local)
        first.faulty.setScript { call, _ in call.kind.isWrite ? .failAfter(Space.error(.unavailable)) : nil }
        try await first.write("a", "one")
        for _ in 0..<2000 where first.text("a") == nil { try await Task.sleep(for: .milliseconds(1)) }
        #expect(first.text("a") == "one")
        let second = try killed(first)
        try await second.write("a", "two")
        #expect(await second.settle().isEmpty)
        #expect(second.keys == ["a"])
        #expect(second.text("a") == "two")
    }

    @Test("A changed part that S3 had got is read, and changed again, over what S3 has", arguments: 0..<4)
    func lostAnswerOfAPart(_ variant: Int) async throws {
        let (first, gate) = (try Space(.local), Gate())
        first.foreign("a", "0123456789")
        first.faulty.setScript { call, _ in call.kind.isWrite ? .holdAfter(gate) : nil }
        let file = try await first.open("a", O_WRONLY)
        try await file.write("XX", at: 3)
        try await file.close()
        for _ in 0..<5000 where first.text("a") == "0123456789" { try await Task.sleep(for: .milliseconds(1)) }
        #expect(first.text("a") == "012XX56789")
        // Neither by who waits for the answer, nor by the next process.
        if variant & 1 == 0 { #expect(try await first.read("a") == "012XX56789") }
        let second = try killed(first)
        if variant & 2 == 0 { #expect(try await second.read("a") == "012XX56789") }
        let again = try await second.open("a", O_WRONLY)
        try await again.write("YY", at: 6)
        try await again.close()
        #expect(await second.settle().isEmpty)
        #expect(second.keys == ["a"])
        #expect(second.text("a") == "012XX5YY89")
        gate.open()
    }

    @Test("A copy that S3 had got is found when its source was replaced since", arguments: [false, true])
    func finishedCopy(_ isChanged: Bool) async throws {
        let first = try space()
        first.foreign("a", "0123456789")
        try await first.rename("a", "b")
        if isChanged {
            let file = try await first.open("b", O_WRONLY)
            try await file.write("ABC", at: 2)
            try await file.close()
        }
        // The copy whose end the journal does not tell.
        let version = ObjectVersion(key: Space.key("a"), eTag: try #require(first.stored("a")).eTag)
        _ = try await first.memory.copy(version, size: 10, to: Space.key("b"), nil, .absent, .upload)
        first.foreign("a", "theirs")
        let second = try killed(first)
        #expect(await second.settle().isEmpty)
        #expect(second.text("b") == (isChanged ? "01ABC56789" : "0123456789"))
        #expect(second.keys == ["a", "b"] && second.text("a") == "theirs")
        #expect(try await second.read("b") == second.text("b"))
        #expect(try await second.list("") == ["a", "b"])
    }

    @Test("A journal that was rewritten says the same")
    func rewritten() async throws {
        let first = try space()
        first.foreign("d/clean", "c")
        _ = try await first.list("")
        _ = try await first.list("d")
        try await first.write("d/f", "1")
        try await first.rename("d", "e")
        first.volume.rewriteJournal { _ in true }
        try await first.write("e/g", "2")
        let second = try killed(first)
        #expect(try await second.list("e") == ["clean", "f", "g"])
        #expect(await second.settle().isEmpty)
        #expect(second.keys == ["e/clean", "e/f", "e/g"])
    }

    @Test("A journal that has grown is made short behind the changes, and has all that came meanwhile")
    func grown() async throws {
        let first = try Space(.local, quietTime: .seconds(1000))
        for number in 0..<50 { first.foreign("d/\(number)", "\(number)") }
        #expect(try await first.list("d").count == 50)
        let deep = "s/" + String(repeating: String(repeating: "x", count: 200) + "/", count: 4)
        var dead = RowBatch()
        for number in 0..<5000 { dead.set(RowKind.listed.name(Array("\(deep)\(number)/".utf8)), []) }
        for number in 0..<5000 { dead.remove(RowKind.listed.name(Array("\(deep)\(number)/".utf8))) }
        first.volume.journal.rows.enqueue(dead)
        // More than 4 MiB, and nearly all of it dead.
        var number = 0
        repeat {
            first.foreign("e\(number)/there", "there")
            try await first.write("e\(number)/here", "here")
            first.expire()
            number += 1
        } while first.volume.journal.rows.size > 4 << 20
        let second = try Space(.local, after: first)
        for past in 0..<number { #expect(try await second.list("e\(past)") == ["here", "there"]) }
        #expect(await second.settle().isEmpty)
    }

    @Test("Renames of one file that has not moved yet are one copy; two names are exchanged right")
    func coalesced() async throws {
        let space = try space()
        space.foreign("a", "A")
        space.foreign("x", "X")
        space.foreign("y", "Y")
        _ = try await space.list("")
        try await space.rename("a", "b")
        try await space.rename("b", "c")
        try await space.rename("x", "y", .exchange)
        await space.settle()
        #expect(space.keys == ["c", "x", "y"])
        #expect(space.text("c") == "A" && space.text("x") == "Y" && space.text("y") == "X")
        #expect(space.memory.calls.filter { $0.kind == .copy && $0.name == "s/c" }.count == 1)
        #expect(!space.memory.calls.contains { $0.name == "s/b" && $0.kind.isWrite })
    }

    @Test("A save by a temporary name is one put; a file that is made and removed is no request")
    func saves() async throws {
        let space = try space()
        space.foreign("text", "old")
        _ = try await space.list("")
        let reads = space.memory.calls.count
        for number in 0..<10 {
            let file = try await space.create("text~")
            try await file.write("new \(number)")
            try await space.volume.fsync(file.inode, file.handle, dataOnly: false).value()
            try await file.close()
            try await space.rename("text~", "text")
        }
        try await space.write("temporary", "x")
        try await space.unlink("temporary")
        await space.settle()
        #expect(space.keys == ["text"] && space.text("text") == "new 9")
        #expect(space.memory.calls[reads...].filter { $0.kind.isWrite }.map(\.kind) == [.put])
    }
}

@Suite struct DamagedJournalTests {
    @Test("Behind a damaged record changes are put aside with their bytes; what stood before it goes on")
    func damaged() async throws {
        let first = try Space(.local, quietTime: .seconds(1000))
        try await first.write("a", "one")
        let size = try OpenFile(first.journalPath.appending("rows.log"), O_RDONLY).status().size
        try await first.write("b", "two")
        try await first.write("c", "three")
        let log = try OpenFile(first.journalPath.appending("rows.log"), O_RDWR)
        try [UInt8](repeating: 0xFF, count: 4).withUnsafeBytes { try log.write($0, at: size + 70) }
        let second = try Space(.local, after: first)
        #expect(try await second.list("") == ["a"])
        let aside = try #require(second.volume.asides().first)
        #expect(second.volume.asides().count == 1)
        // Those of b and c, and a copy of a's as it was before it was cut at the close that is known.
        #expect(try Directory.names(aside.path.appending("staged")).count == 3)
        #expect(await second.settle().isEmpty)
        #expect(second.text("a") == "one")
    }

    @Test("Where the row of a file cannot be read, nothing is deleted that was to go once the file was stored")
    func unreadableRow() async throws {
        let first = try Space(.local, quietTime: .seconds(1000))
        first.foreign("old", "before")
        try await first.rename("old", "new")
        try await first.write("new", "after")
        let inode = try await first.stat("new").inode
        var damage = RowBatch()
        damage.set(RowKind.node.name(inode.value), [0xFF])
        first.volume.journal.rows.enqueue(damage)
        try first.volume.journal.rows.flush()
        let second = try Space(.local, after: first)
        #expect(await second.settle().isEmpty)
        #expect(second.text("old") == "before")
    }
}

@Suite struct EmptyDirectoryTests {
    @Test("A file that has changed names with a directory is there after a kill")
    func exchanged() async throws {
        let first = try Space(.local, quietTime: .milliseconds(10))
        first.foreign("d/s/a", "other")
        try await first.write("d/b.txt", "text")
        try await first.mkdir("e")
        try await first.write("e/f", "")
        await first.settle()
        try await first.rename("e/f", "d/b.txt", .exchange)
        try await first.unlink("d/b.txt")
        try await first.write("e/f", "new")
        try await first.rename("d", "e/f", .exchange)
        await first.settle()
        #expect(first.keys.filter { !$0.hasSuffix("/") } == ["d", "e/f/s/a"])
        let second = try Space(.local, after: first)
        #expect(try await second.list("") == ["d", "e"])
    }

    @Test("A directory that was moved and then lost its last file is there after a kill", arguments: 0..<16)
    func moved(_ variant: Int) async throws {
        let first = try Space(.local, quietTime: .milliseconds(variant & 1 == 0 ? 0 : 100_000))
        try await first.mkdir("old")
        try await first.write("old/f", "x")
        if variant & 2 == 0 { await first.settle() }
        if variant & 4 == 0 {
            first.expire()
            _ = try await first.list("old")
            _ = try await first.list("")
        }
        try await first.rename("old", "new")
        if variant & 8 == 0 { for _ in 0..<50 { await Task.yield() } }
        try await first.unlink("new/f")
        let second = try Space(.local, after: first)
        #expect(try await second.list("") == ["new"], "variant \(variant)")
        #expect(await second.settle().isEmpty)
        second.expire()
        #expect(try await second.list("") == ["new"], "variant \(variant) after all is stored")
        #expect(second.keys == ["new/"])
    }

    @Test(
        "A directory that is renamed while its marker is on the way has one where it comes to be",
        arguments: [false, true])
    func renamedMeanwhile(_ comesBack: Bool) async throws {
        let space = try Space(.local)
        let gate = Gate()
        space.faulty.setScript { call, _ in call.kind == .put && call.name == "s/old/" ? .holdAfter(gate) : nil }
        try await space.mkdir("old")
        space.volume.hurry()
        while space.keys.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
        try await space.rename("old", "new")
        if comesBack { try await space.rename("new", "old") }
        gate.open()
        #expect(await space.settle().isEmpty)
        let name = comesBack ? "old" : "new"
        #expect(space.keys == [name + "/"])
        space.expire()
        #expect(try await space.list("") == [name])
    }

    @Test("A directory that is removed and made again before S3 has heard of either is there")
    func madeAgain() async throws {
        let space = try Space(.local)
        space.fail(.unavailable) { $0.kind == .put }
        try await space.mkdir("d")
        space.volume.hurry()
        while space.volume.update({ $0.lastError == nil }) {
            try await Task.sleep(for: .milliseconds(1))
        }
        try await space.rmdir("d")
        try await space.mkdir("d")
        space.heal()
        #expect(await space.settle().isEmpty)
        #expect(space.keys == ["d/"])
        space.expire()
        #expect(try await space.list("") == ["d"])
    }
}
