import Glibc
import ObjectStore
import SystemPackage
import Testing

@testable import FileSystemCore

/// Files as a program uses them, and what S3 holds then.
@Suite struct FileTests {
    @Test("What was written is in the cache after the last close, also what it kept of the version before")
    func writtenBytesAreCached() async throws {
        let space = try Space(cached: true)
        try await space.write("new.txt", "written here")
        space.foreign("old.txt", "made elsewhere")
        let file = try await space.open("old.txt", O_RDWR)
        try await file.write("M")
        try await file.close()
        for name in ["new.txt", "old.txt"] { try await space.untilCached(name) }
        let reads = space.memory.callCount(.get)
        #expect(try await space.read("new.txt") == "written here")
        #expect(try await space.read("old.txt") == "Made elsewhere")
        #expect(space.memory.callCount(.get) == reads)
    }

    @Test("A closed file is on S3 with its bytes, its attributes and the type of its name, after one PUT")
    func create() async throws {
        let space = try Space()
        try await space.write("photo.jpg", "light")
        let object = try #require(space.stored("photo.jpg"))
        #expect(object.bytes == Array("light".utf8))
        #expect(object.attributes.contentType == "image/jpeg")
        #expect(object.attributes.metadata["mode"] == String(0o100644))
        #expect(object.attributes.metadata["uid"] == "1000")
        #expect(space.memory.callCount(.put) == 1)
        #expect(space.memory.callCount(.head) == 0)
        #expect(space.memory.callCount(.get) == 0)
    }

    @Test("Many new files cost one PUT each, no HEAD, and an idle volume sends nothing")
    func requestCounts() async throws {
        let space = try Space(freshness: .seconds(1000))
        _ = try await space.list("")
        for number in 0..<20 { try await space.write("\(number).txt", "\(number)") }
        #expect(space.memory.callCount(.put) == 20)
        #expect(space.memory.callCount(.head) == 0)
        space.memory.forgetCalls()
        _ = try await space.list("")
        for number in 0..<20 { _ = try await space.stat("\(number).txt") }
        #expect(space.memory.calls.isEmpty)
    }

    @Test("Rewriting keeps the app's content type, headers and metadata, and the mode that was stored")
    func rewriting() async throws {
        let space = try Space()
        let body = String(repeating: "a", count: 5000)
        space.memory.foreignPut(
            Space.key("a.jpg"), Array(body.utf8),
            ObjectAttributes(
                contentType: "image/special", headers: ["cache-control": "max-age=1"],
                metadata: ["album": "spring", "mode": String(0o100755), "uid": "7"]))
        let file = try await space.open("a.jpg", O_WRONLY)
        try await file.write("b", at: 1)
        try await file.close()
        let object = try #require(space.stored("a.jpg"))
        #expect(object.bytes.count == 5000 && object.bytes[1] == UInt8(ascii: "b"))
        #expect(object.attributes.contentType == "image/special")
        #expect(object.attributes.headers["cache-control"] == "max-age=1")
        #expect(object.attributes.metadata["album"] == "spring")
        #expect(object.attributes.metadata["mode"] == String(0o100755))
        #expect(object.attributes.metadata["uid"] == "7")
    }

    @Test("chmod of a file nobody has asked about keeps its owner, its time and the rest, without sending its bytes")
    func chmod() async throws {
        let space = try Space()
        space.foreign("a", "x", metadata: ["uid": "7", "gid": "8", "mtime": "12.5", "k": "v", "xattr": "{other}"])
        try await space.set("a", AttributeChanges(mode: 0o640))
        await space.settle()
        let metadata = try #require(space.stored("a")).attributes.metadata
        #expect(metadata["mode"] == String(0o100640))
        #expect(metadata["uid"] == "7" && metadata["gid"] == "8" && metadata["mtime"] == "12.5" && metadata["k"] == "v")
        #expect(metadata["xattr"] == "{other}")
        #expect(space.memory.callCount(.put) == 0 && space.memory.callCount(.copy) == 1)
    }

    @Test("chmod while the contents are on their way is stored after them")
    func chmodDuringPut() async throws {
        let space = try Space()
        let gate = Gate()
        space.faulty.setScript { call, _ in call.kind == .put ? .holdAfter(gate) : nil }
        let file = try await space.create("a")
        try await file.write("x")
        async let flushed: Void? = try? file.flush()
        await gate.arrived()
        try await space.set("a", AttributeChanges(mode: 0o600))
        gate.open()
        await flushed
        await file.release()
        await space.settle()
        #expect(space.stored("a")?.attributes.metadata["mode"] == String(0o100600))
        #expect(try await space.stat("a").mode & 0o777 == 0o600)
    }

    @Test("An extended attribute and a time are stored beside the bytes")
    func attributes() async throws {
        let space = try Space()
        try await space.write("a", "x")
        let inode = try await space.inode("a")
        try await space.volume.setxattr(inode, Array("user.tag".utf8), [1, 2], .create).value()
        try await space.set("a", AttributeChanges(modified: .at(Timestamp(seconds: -1, nanoseconds: 500_000_000))))
        await space.settle()
        let stored = StoredAttributes(try #require(space.stored("a")).attributes.metadata)
        #expect(stored.xattrs == ["user.tag": [1, 2]])
        #expect(stored.modified == Timestamp(seconds: -1, nanoseconds: 500_000_000))
        #expect(
            await failure { () async throws(Errno) in
                try await space.volume.setxattr(inode, Array("user.big".utf8), Array(repeating: 0, count: 2000), .any)
                    .value()
            } == .noSpace)
    }

    @Test("An unlinked file is read until its last close; only then S3 forgets it")
    func unlinkOpen() async throws {
        let space = try Space()
        space.foreign("a", "old")
        let file = try await space.open("a")
        try await space.unlink("a")
        #expect(try await space.list("") == [])
        #expect(try await space.volume.fsyncdir(.root, FileHandle(0)).value() == ())
        #expect(space.text("a") == "old")
        #expect(try await file.readAll() == "old")
        await file.release()
        await space.settle()
        #expect(space.keys == [])
    }

    @Test("A file renamed and unlinked while it is open is still read")
    func renameUnlinkOpen() async throws {
        let space = try Space()
        space.foreign("a", String(repeating: "x", count: 8192))
        let file = try await space.open("a")
        space.fail(.unavailable) { $0.kind == .copy }
        #expect(await failure { () async throws(Errno) in try await space.rename("a", "b") } == .resourceBusy)
        space.heal()
        _ = await failure { () async throws(Errno) in try await space.unlink("b") }
        await space.settle()
        #expect(try await file.readAll().count == 8192)
        await file.release()
        await space.settle()
        #expect(space.keys == [])
    }

    @Test("A put that S3 refuses for good fails the close, stays in the queue, and a later close tries again")
    func refusedPut() async throws {
        let space = try Space()
        space.fail(.accessDenied) { $0.kind == .put }
        #expect(await failure { () async throws(Errno) in try await space.write("a", "mine") } == .permissionDenied)
        #expect(space.volume.report().changes.map { $0.failure } == ["refused by the test"])
        #expect(try await space.read("a") == "mine")
        // Nothing hangs behind it.
        #expect(await failure { () async throws(Errno) in try await space.write("a", "more") } == .permissionDenied)
        #expect(space.forgotten == [])
        space.heal()
        try await space.write("a", "again")
        #expect(space.text("a") == "again")
        #expect(space.volume.report().changes.isEmpty)
    }

    @Test("A file whose put was refused is kept when its old name is used again")
    func refusedPutUnderOldName() async throws {
        let space = try Space()
        let gate = Gate()
        space.faulty.setScript { call, _ in
            call.kind == .put ? .holdBefore(gate) : nil
        }
        let file = try await space.create("a")
        try await file.write("first")
        async let flushed: Errno? = failure { () async throws(Errno) in try await file.flush() }
        await gate.arrived()
        async let renamed: Errno? = failure { () async throws(Errno) in try await space.rename("a", "b") }
        while await failure({ () async throws(Errno) in try await space.stat("b") }) != nil { await Task.yield() }
        space.fail(.accessDenied) { $0.kind == .put }
        gate.open()
        _ = await (flushed, renamed)
        await file.release()
        _ = await failure { () async throws(Errno) in try await space.write("a", "second") }
        space.heal()
        space.volume.hurry(retryFailed: true)
        await space.settle()
        #expect(space.forgotten == [])
        #expect(space.keys == ["a", "b"])
        #expect(space.volume.report().changes.isEmpty)
        #expect(space.text("a") == "second" && space.text("b") == "first")
    }

    @Test("A waiting close is interrupted with EINTR, and the bytes reach S3 all the same")
    func interruption() async throws {
        let space = try Space()
        let gate = Gate()
        space.faulty.setScript { call, _ in call.kind == .put ? .holdBefore(gate) : nil }
        let file = try await space.create("a")
        try await file.write("x")
        let close = Task { await failure { () async throws(Errno) in try await file.flush() } }
        await gate.arrived()
        close.cancel()
        #expect(await close.value == .interrupted)
        gate.open()
        await file.release()
        await space.settle()
        #expect(space.text("a") == "x")
    }

    @Test("A waiting read is interrupted with EINTR")
    func interruptedRead() async throws {
        let space = try Space()
        space.foreign("a", String(repeating: "x", count: 8192))
        let file = try await space.open("a")
        let gate = Gate()
        space.faulty.setScript { call, _ in call.kind == .get ? .holdBefore(gate) : nil }
        let read = Task { await failure { () async throws(Errno) in try await file.readAll() } }
        await gate.arrived()
        read.cancel()
        #expect(await read.value == .interrupted)
        gate.open()
        #expect(try await file.readAll().count == 8192)
    }

    @Test("copy_file_range of a clean file sends and fetches no bytes, and the copy has the type of its own name")
    func serverCopy() async throws {
        let space = try Space()
        space.foreign("a.jpg", String(repeating: "x", count: 8192), type: "image/jpeg", metadata: ["k": "v"])
        let source = try await space.open("a.jpg")
        let copy = try await space.create("b.txt")
        let count = try await space.volume.copyFileRange(
            from: source.inode, source.handle, offset: 0, to: copy.inode, copy.handle, offset: 0, count: 1 << 20
        ).value()
        #expect(count == 8192)
        try await copy.close()
        #expect(space.stored("b.txt")?.bytes.count == 8192)
        #expect(space.stored("b.txt")?.attributes.contentType == "text/plain")
        #expect(space.memory.callCount(.put) == 0 && space.memory.callCount(.get) == 0)
    }

    @Test("A metadata-only truncate to the same size sends nothing")
    func sameSize() async throws {
        let space = try Space()
        space.foreign("a", "abc")
        try await space.set("a", AttributeChanges(size: 3))
        #expect(space.memory.callCount(.put) == 0 && space.memory.callCount(.get) == 0)
        try await space.set("a", AttributeChanges(size: 5))
        #expect(space.stored("a")?.bytes == Array("abc".utf8) + [0, 0])
    }

    @Test("A write during the upload of the same file is not lost")
    func writeDuringPut() async throws {
        let space = try Space()
        let gate = Gate()
        space.faulty.setScript { call, number in call.kind == .put && number < 2 ? .holdAfter(gate) : nil }
        let file = try await space.create("a")
        try await file.write("one")
        let flushed = Task { await failure { () async throws(Errno) in try await file.flush() } }
        await gate.arrived()
        try await file.write("two")
        gate.open()
        #expect(await flushed.value == nil)
        try await file.close()
        #expect(space.text("a") == "two")
    }
}
