import ObjectStore
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import FileSystemCore

@Suite struct WalkingTests {
    @Test("Who looks into one directory after another costs a flat listing, not a listing each")
    func find() async throws {
        let space = try Space(freshness: .seconds(1000))
        space.time.stop()
        for number in 0..<200 { for name in ["a", "b/c"] { space.foreign("d/\(number)/\(name)", "x") } }
        space.memory.forgetCalls()
        for number in try await space.list("d") {
            #expect(try await space.list("d/\(number)") == ["a", "b"])
            #expect(try await space.list("d/\(number)/b") == ["c"])
        }
        #expect(space.memory.callCount(.list) < 20)
        #expect(space.memory.callCount(.head) == 0)
    }

    @Test("Looks that are far apart list what is looked at, and nothing else")
    func person() async throws {
        let space = try Space(freshness: .seconds(1000))
        space.time.stop()
        for number in 0..<20 { for file in 0..<20 { space.foreign("d/\(number)/sub/\(file)", "x") } }
        _ = try await space.list("d")
        space.memory.forgetCalls()
        for number in 0..<6 {
            space.time.advance(by: .seconds(10))
            _ = try await space.list("d/\(number)")
        }
        let asked = space.memory.calls.filter { $0.kind == .list }.map(\.name)
        #expect(asked == (0..<6).map { "s/d/\($0)/" })
    }

    @Test("In a space too large for one flat listing a walk costs a few requests a directory, never ten")
    func large() async throws {
        let space = try Space(freshness: .seconds(1000))
        space.time.stop()
        for number in 0..<60 { for file in 0..<250 { space.foreign("d/\(number)/\(file)", "x") } }
        let names = try await space.list("d")
        space.memory.forgetCalls()
        for name in names { #expect(try await space.list("d/\(name)").count == 250) }
        #expect(space.memory.callCount(.list) <= 2 * names.count)
    }

    @Test("Who looks at every file of a large directory costs its listing, however long that took")
    func largeDirectory() async throws {
        let space = try Space(freshness: .seconds(5))
        space.time.stop()
        for number in 0..<4500 { space.foreign("d/\(number)", "x") }
        space.faulty.setScript { call, _ in
            if call.kind == .list { space.time.advance(by: .seconds(2)) }
            return nil
        }
        let names = try await space.list("d")
        space.memory.forgetCalls()
        for name in names { _ = try await space.stat("d/\(name)") }
        // The directories above have become old meanwhile.
        #expect(space.memory.callCount(.list) < 5)
        // What has become old is asked for by name until that has cost a listing.
        space.time.advance(by: .seconds(100))
        space.memory.forgetCalls()
        _ = try await space.stat("d/0")
        #expect(space.memory.callCount(.list) < 5)
        for name in names { _ = try await space.stat("d/\(name)") }
        #expect(space.memory.callCount(.list) < 30, "\(space.memory.calls.map { "\($0.kind) \($0.name)" })")
    }

    @Test("Without a network nobody waits for a flat listing")
    func offline() async throws {
        let space = try Space(freshness: .seconds(1))
        space.time.stop()
        for number in 0..<10 { space.foreign("d/\(number)/a", "x") }
        for number in try await space.list("d") { _ = try await space.list("d/\(number)") }
        space.fail(.unreachable) { _ in true }
        space.expire()
        _ = try await space.list("d")
        space.memory.forgetCalls()
        let tried = Mutex(0)
        space.faulty.setScript { call, _ in
            // Who looks for the network asks about the space.
            if call.name.hasPrefix("s/d/") { tried.withLock { $0 += 1 } }
            return .failBefore(Space.error(.unreachable))
        }
        for number in 0..<10 { #expect(try await space.list("d/\(number)") == ["a"]) }
        #expect(tried.withLock { $0 } == 0, "nothing is asked while the network is known to be down")
    }

    @Test("Sorted out of a flat listing, directories are what their own listings say", arguments: 0..<30)
    func sorted(_ seed: UInt64) async throws {
        var random = Seeded(seed)
        let store = InMemoryObjectStore()
        let parts = ["a", "b", "a.", "a-", ".", "..", "", "é", "\u{0}", String(repeating: "n", count: 256)]
        for _ in 0..<40 {
            let depth = Int.random(in: 1...4, using: &random)
            var path = (0..<depth).map { _ in parts[Int.random(in: 0..<parts.count, using: &random)] }
                .joined(separator: "/")
            if Bool.random(using: &random) { path += "/" }
            if let key = ObjectKey("s/" + path) {
                _ = store.foreignPut(key, [1], ObjectAttributes(contentType: "text/plain"))
            }
        }
        let top = try #require(KeyPrefix("s/"))
        // From the start, or from a directory on.
        let start = Bool.random(using: &random) ? nil : ObjectKey("s/" + ["a", "b", "a/b", "é"][Int(seed % 4)])
        var flat = FlatListing(top, after: start)
        var request = ListRequest(
            prefix: top.bytes, delimited: false, startAfter: start, maxKeys: Int.random(in: 1...10, using: &random))
        repeat {
            let page = try await store.list(request, .metadata)
            flat.add(page)
            request.continuation = page.continuation
            // Stopped anywhere, what is called complete is.
            for (prefix, directory) in flat.complete(isEnd: page.continuation == nil) {
                var own = Base.Directory()
                own.add(
                    try await store.list(ListRequest(prefix: prefix.bytes, delimited: true), .metadata), below: prefix)
                own.settle(below: prefix)
                #expect(directory.objects == own.objects && directory.directories == own.directories, "\(prefix)")
                #expect(directory.marker == own.marker && directory.hidden == own.hidden, "\(prefix)")
            }
        } while request.continuation != nil
    }
}
