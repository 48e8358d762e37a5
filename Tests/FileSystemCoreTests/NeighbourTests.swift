import ObjectStore
import Testing

@testable import FileSystemCore

@Suite struct NeighbourTests {
    /// A directory of files with these names, listed.
    private func directory(_ names: [String], size: Int = 1000) async throws -> Space {
        let space = try Space(freshness: .seconds(1000))
        for name in names { space.foreign("d/\(name)", String(repeating: "x", count: size)) }
        _ = try await space.list("d")
        space.memory.forgetCalls()
        return space
    }

    @Test("Who reads one file after another finds the next ones fetched, each once")
    func inOrder() async throws {
        let names = (100..<200).map { "\($0)" }
        let space = try await directory(names)
        for name in names.prefix(10) { #expect(try await space.read("d/\(name)").utf8.count == 1000) }
        #expect(space.memory.callCount(.get) > 20)
        for name in names.dropFirst(10) { #expect(try await space.read("d/\(name)").utf8.count == 1000) }
        #expect(space.memory.callCount(.get) == names.count)
    }

    @Test("Who reads a file here and there gets those, and so does who goes backwards or through large files")
    func outOfOrder() async throws {
        let names = (100..<200).map { "\($0)" }
        let space = try await directory(names)
        for step in 0..<30 { _ = try await space.read("d/\(100 + step * 37 % 100)") }
        #expect(space.memory.callCount(.get) == 30)
        let backwards = try await directory(names)
        for name in names.reversed() { _ = try await backwards.read("d/\(name)") }
        #expect(backwards.memory.callCount(.get) == names.count)
        let large = try await directory(Array(names.prefix(6)), size: 2 << 20)
        for name in names.prefix(4) { _ = try await large.read("d/\(name)") }
        #expect(Set(large.memory.calls.filter { $0.kind == .get }.map(\.name)).count == 4)
    }

    @Test("What is fetched ahead is bounded in files and bytes, and leaves out what need not be fetched")
    func bounds() {
        let files = (10..<1000).map { InodeNumber($0) }
        func ahead(_ bytes: Int64, _ isMeant: (UInt64) -> Bool = { _ in true }) -> [InodeNumber] {
            var neighbours = Neighbours()
            var wanted: [InodeNumber] = []
            for inode in files.prefix(100) {
                wanted += neighbours.noteRead(inode, in: .root) { isMeant($0.value) ? bytes : nil }
                let open = wanted.filter { $0.value > inode.value }
                #expect(open.count <= 32 && Int64(open.count) * bytes <= 9 << 20)
            }
            #expect(wanted == wanted.sorted { $0.value < $1.value } && Set(wanted).count == wanted.count)
            return wanted
        }
        #expect(ahead(100).count > 100)
        #expect(ahead(1 << 20).count > 90)
        #expect(ahead(100) { $0 % 2 == 0 }.allSatisfy { $0.value % 2 == 0 })
    }
}
