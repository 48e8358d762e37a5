import Testing

@testable import HTTPTransport

struct Heads {
    private func take(_ lines: [String]) -> (ResponseHead, ResponseHead.Step) {
        var head = ResponseHead()
        var step = ResponseHead.Step.incomplete
        for line in lines { Array(line.utf8).withUnsafeBytes { step = head.take($0) } }
        return (head, step)
    }

    @Test(
        "A head that is none is malformed",
        arguments: [
            ["HTTP/1.1\r\n"], ["HTTP/1.1 2x0 OK\r\n"], ["HTTP/1.1 99\r\n"], ["no colon\r\n"], [": v\r\n"], ["\r\n"],
        ])
    func malformed(_ lines: [String]) {
        #expect(take(lines).1 == .malformed)
    }

    @Test("The head is bounded over all its lines")
    func bounded() {
        let line = "X-Filler: " + String(repeating: "x", count: 990) + "\r\n"
        #expect(take(["HTTP/1.1 200\r\n"] + Array(repeating: line, count: 66)).1 == .tooLarge)
    }

    @Test("Blanks around a value go, folded lines join, repeated fields stay apart")
    func fields() {
        let (head, step) = take([
            "HTTP/1.1 206 Partial Content\n", "A: \t one  two \r\n", "B:\r\n", "A:three\r\n", " four\r\n", "\r\n",
        ])
        #expect(step == .complete)
        #expect(head.status == 206)
        #expect(head.headers.map(\.name) == ["A", "B", "A"])
        #expect(head.headers.map(\.value) == ["one  two", "", "three four"])
    }
}

struct Queue {
    private let here = Origin(url: "https://a.example/x?y")
    private let there = Origin(url: "https://b.example")

    @Test("What an origin is made of")
    func origins() throws {
        #expect(try #require(here).text == "https://a.example")
        #expect("\(try #require(here))" == "a.example")
        #expect(Origin(url: "http://a.example:8080?x")?.text == "http://a.example:8080")
    }

    @Test("The smaller priority goes first, the older among equals, and a withdrawn one not at all")
    func order() throws {
        let origin = try #require(here)
        var queue = RequestQueue(connectionsPerHost: 10)
        for (id, priority) in [(1, 1), (2, 0), (3, 1), (4, 0), (5, 1)] {
            queue.add(UInt64(id), to: origin, priority: priority)
        }
        queue.withdraw(3, from: origin)
        #expect((0..<5).map { _ in queue.startNext(at: origin) } == [2, 4, 1, 5, nil])
    }

    @Test("Background work leaves two connections; hosts do not count together; an end frees a place")
    func bounds() throws {
        let (origin, other) = (try #require(here), try #require(there))
        var queue = RequestQueue(connectionsPerHost: 3)
        for id in 1...3 { queue.add(UInt64(id), to: origin, priority: 2) }
        queue.add(4, to: other, priority: 3)
        #expect(queue.startNext(at: origin) == 1)
        #expect(queue.startNext(at: origin) == nil)
        #expect(queue.startNext(at: other) == 4)
        for id in 5...7 { queue.add(UInt64(id), to: origin, priority: 0) }
        #expect((0..<3).map { _ in queue.startNext(at: origin) } == [5, 6, nil])
        queue.end(at: origin)
        #expect((0..<2).map { _ in queue.startNext(at: origin) } == [7, nil])
        for _ in 0..<3 { queue.end(at: origin) }
        #expect(queue.startNext(at: origin) == 2)
    }

    @Test("A host with one connection still gets its background work done", arguments: [1, 2])
    func narrow(_ connections: Int) throws {
        let origin = try #require(here)
        var queue = RequestQueue(connectionsPerHost: connections)
        queue.add(1, to: origin, priority: 3)
        #expect(queue.startNext(at: origin) == 1)
    }
}
