import ObjectStore
import Synchronization
import SystemPackage
import Testing

@testable import FileSystemCore

/// What a program is told that asks about a file.
@Suite struct FactTests {
    private func fact(_ name: String, _ path: String, _ space: Space) async throws -> String? {
        let inode = try await space.inode(path)
        return try space.volume.look { state throws(Errno) in state.fact("user.cognitofs." + name, of: inode) }
    }

    @Test("A file is synced, pending, uploading or refused, and its progress goes with that")
    func states() async throws {
        let space = try Space(.local, quietTime: .seconds(1000))
        space.foreign("old", "x")
        #expect(try await fact("state", "old", space) == "synced")
        #expect(try await fact("progress", "old", space) == "100")
        try await space.write("new", "y")
        #expect(try await fact("state", "new", space) == "pending")
        #expect(try await fact("progress", "new", space) == "0")
        let gate = Gate()
        space.faulty.setScript { call, _ in call.kind == .put ? .holdBefore(gate) : nil }
        space.volume.hurry()
        await gate.arrived()
        #expect(try await fact("state", "new", space) == "uploading")
        gate.open()
        await space.settle()
        #expect(try await fact("state", "new", space) == "synced")
        #expect(try await fact("progress", "new", space) == "100")
        space.fail(.accessDenied) { $0.kind == .put }
        try await space.write("new", "z")
        await space.settle()
        #expect(try await fact("state", "new", space) == "failed")
    }

    @Test("A large file on its way tells how much of it S3 has")
    func progress() async throws {
        let space = try Space(.local)
        let gate = Gate()
        // Only the first of the parts comes through.
        let count = Int(PartPlan.singlePut) * 3
        let parts = Mutex(0)
        space.faulty.setScript { call, _ in
            guard call.kind == .uploadPart else { return nil }
            return parts.withLock { count in
                count += 1
                return count > 1 ? .holdBefore(gate) : nil
            }
        }
        let file = try await space.create("large")
        try await file.write([UInt8](repeating: 7, count: count), at: 0)
        try await file.close()
        space.volume.hurry()
        await gate.arrived()
        var percent = 0
        for _ in 0..<5000 where percent == 0 {
            percent = Int(try await fact("progress", "large", space) ?? "") ?? -1
            try await Task.sleep(for: .milliseconds(1))
        }
        #expect((1..<100).contains(percent))
        gate.open()
        #expect(await space.settle().isEmpty)
        #expect(try await fact("progress", "large", space) == "100")
    }

    @Test("Every file of a renamed directory is pending until it has moved")
    func moving() async throws {
        let space = try Space(.local, quietTime: .seconds(1000))
        for number in 0..<300 { space.foreign("d/\(number)", "x") }
        try await space.rename("d", "e")
        for number in [0, 150, 299] { #expect(try await fact("state", "e/\(number)", space) == "pending") }
        #expect(await space.settle().isEmpty)
        for number in [0, 150, 299] { #expect(try await fact("state", "e/\(number)", space) == "synced") }
    }

    @Test("A file that a conflict has named says so, until somebody gives it another name")
    func conflict() async throws {
        let space = try Space(.local)
        space.foreign("a", "base")
        let file = try await space.open("a", 1)
        try await file.write("ours")
        space.foreign("a", "theirs")
        try await file.close()
        await space.settle()
        let ours = try #require(space.keys.first { $0 != "a" })
        #expect(try await fact("state", ours, space) == "conflict")
        #expect(try await fact("state", "a", space) == "synced")
        try await space.rename(ours, "b")
        await space.settle()
        #expect(try await fact("state", "b", space) == "synced")
    }
}
