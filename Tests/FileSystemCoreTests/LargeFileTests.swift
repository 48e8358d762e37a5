import Glibc
import ObjectStore
import Synchronization
import SystemPackage
import Testing

@testable import FileSystemCore

/// Files that go to S3 in parts.
@Suite struct LargeFileTests {
    private func block(_ value: UInt8) -> [UInt8] { Array(repeating: value, count: 1 << 20) }

    @Test("A big file is sent while it is written; a part that is overwritten or cut meanwhile is sent again")
    func streaming() async throws {
        let space = try Space()
        let file = try await space.create("big")
        for index in 0..<40 { try await file.write(block(UInt8(index)), at: Int64(index) << 20) }
        while space.memory.callCount(.uploadPart) == 0 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(space.memory.object(Space.key("big")) == nil)
        try await file.write(block(200), at: 3 << 20)
        try await file.truncate(20 << 20)
        try await file.write(block(201), at: 21 << 20)
        try await file.close()
        var expected: [UInt8] = []
        for index in 0..<22 {
            let value = index == 3 ? 200 : index == 20 ? 0 : index == 21 ? 201 : index
            expected += block(UInt8(value))
        }
        #expect(space.stored("big")?.bytes == expected)
        #expect(space.memory.callCount(.createUpload) == 1 && space.memory.callCount(.put) == 0)
        #expect(space.memory.openUploads == 0)
    }

    @Test("A file that is emptied is sent while it is written anew, and keeps what the app stored beside it")
    func overwritten() async throws {
        let space = try Space()
        space.foreign("film.mp4", "old", type: "video/quicktime", metadata: ["camera": "x100"])
        let file = try await space.open("film.mp4", O_WRONLY | O_TRUNC)
        for index in 0..<40 { try await file.write(block(UInt8(index)), at: Int64(index) << 20) }
        while space.memory.callCount(.uploadPart) == 0 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(space.text("film.mp4") == "old")
        try await file.close()
        #expect(space.stored("film.mp4")?.bytes == (0..<40).flatMap { block(UInt8($0)) })
        #expect(space.stored("film.mp4")?.attributes.contentType == "video/quicktime")
        #expect(space.stored("film.mp4")?.attributes.metadata["camera"] == "x100")
        // Known before the upload began, so the object needs no copy onto itself.
        #expect(space.memory.callCount(.copy) == 0 && space.memory.callCount(.createUpload) == 1)
    }

    @Test("What somebody else stored while an existing file was sent in parts stays beside ours")
    func overwrittenElsewhere() async throws {
        let space = try Space()
        space.foreign("big", "old")
        let file = try await space.open("big", O_WRONLY | O_TRUNC)
        for index in 0..<30 { try await file.write(block(1), at: Int64(index) << 20) }
        while space.memory.callCount(.uploadPart) == 0 { try await Task.sleep(for: .milliseconds(1)) }
        space.foreign("big", "theirs")
        try await file.close()
        #expect(space.text("big") == "theirs")
        let ours = space.keys.filter { $0.hasPrefix("big (conflict") }
        #expect(ours.count == 1 && ours.first.flatMap { space.stored($0)?.bytes.count } == 30 << 20)
    }

    @Test("A part that changes while it is sent is not taken for the new bytes")
    func changedWhileSent() async throws {
        let space = try Space()
        let gate = Gate()
        space.faulty.setScript { call, _ in call.kind == .createUpload ? .holdAfter(gate) : nil }
        let file = try await space.create("big")
        for index in 0..<25 { try await file.write(block(UInt8(index)), at: Int64(index) << 20) }
        await gate.arrived()
        try await file.write(block(99), at: 0)
        gate.open()
        try await file.close()
        #expect(space.stored("big")?.bytes.first == 99)
        #expect(space.stored("big")?.bytes.count == 25 << 20)
    }

    @Test("Unlinking gives an upload up, and nothing is left of it", arguments: [false, true])
    func unlinked(_ renames: Bool) async throws {
        let space = try Space()
        let file = try await space.create("big")
        for index in 0..<30 { try await file.write(block(1), at: Int64(index) << 20) }
        while space.memory.callCount(.uploadPart) == 0 { try await Task.sleep(for: .milliseconds(1)) }
        if renames { try await space.rename("big", "other") } else { try await space.unlink("big") }
        try await file.close()
        await space.settle()
        #expect(space.keys == (renames ? ["other"] : []))
        for _ in 0..<20_000 where space.memory.openUploads > 0 { try await Task.sleep(for: .milliseconds(1)) }
        #expect(space.memory.openUploads == 0)
    }

    @Test("A big file changed in one place keeps the rest, copied on the server")
    func partial() async throws {
        let space = try Space()
        let size = 33 << 20
        space.memory.foreignPut(Space.key("big"), Array(repeating: 7, count: size))
        let file = try await space.open("big", O_WRONLY)
        try await file.write([1, 2, 3], at: 9 << 20)
        try await file.close()
        var expected = [UInt8](repeating: 7, count: size)
        expected.replaceSubrange((9 << 20)..<(9 << 20) + 3, with: [1, 2, 3])
        #expect(space.stored("big")?.bytes == expected)
        #expect(space.memory.callCount(.copyPart) >= 3)
    }

    @Test(
        "An upload that stops in the middle goes on with the parts that S3 has, also in another process",
        arguments: [false, true])
    func resumed(_ isChanged: Bool) async throws {
        let first = try Space(.local, quietTime: .seconds(1000))
        let sent = Mutex(0)
        first.faulty.setScript { call, _ in
            guard call.kind == .uploadPart else { return nil }
            let number = sent.withLock { sent in
                sent += 1
                return sent
            }
            return number > 3 ? .failBefore(Space.error(.unavailable)) : nil
        }
        let file = try await first.create("big")
        for index in 0..<64 { try await file.write(block(UInt8(index)), at: Int64(index) << 20) }
        try await file.close()
        first.volume.hurry()
        while first.volume.report().lastError == nil { try await Task.sleep(for: .milliseconds(1)) }
        #expect(first.memory.callCount(.uploadPart) == 3)
        let second = try Space(.local, quietTime: .seconds(1000), after: first)
        if isChanged {
            // In the middle of a part that S3 has.
            let file = try await second.open("big", O_WRONLY)
            try await file.write(block(200), at: 3 << 20)
            try await file.close()
        }
        #expect(await second.settle().isEmpty)
        var expected = (0..<64).map { UInt8($0) }
        if isChanged { expected[3] = 200 }
        #expect(second.stored("big")?.bytes == expected.flatMap { block($0) })
        #expect(second.memory.callCount(.createUpload) == 1)
        #expect(second.memory.callCount(.uploadPart) <= (isChanged ? 9 : 8))
        #expect(second.memory.openUploads == 0)
    }
}
