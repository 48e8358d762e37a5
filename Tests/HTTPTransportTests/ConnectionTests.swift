import Bytes
import HTTPTransport
import Testing

@Suite(.timeLimit(.minutes(2)))
struct Connections {
    let server: TestServer
    /// For asking the server things beside the transport that is tested.
    let control: CurlTransport

    init() throws {
        server = try TestServer.plain.get()
        control = try makeTransport()
    }

    private func ask(_ path: String) async throws -> String {
        try await control.send(HTTPRequest(.get, server.url(path))).text
    }

    private func hold(
        _ transport: CurlTransport, _ gate: String, _ order: String, priority: Int
    ) -> Task<HTTPResponse, any Error> {
        var request = HTTPRequest(.get, server.url("/hold/\(gate)/\(order)"))
        request.priority = priority
        return Task { [request] in try await transport.send(request) }
    }

    @Test("Requests in a row use one connection")
    func kept() async throws {
        let transport = try makeTransport()
        var numbers: Set<String> = []
        for _ in 0..<20 {
            numbers.insert(try await transport.send(HTTPRequest(.get, server.url("/connection"))).text)
        }
        #expect(numbers.count == 1)
    }

    @Test("A request that went out twice says so")
    func resent() async throws {
        let transport = try makeTransport()
        let first = try await transport.send(HTTPRequest(.get, server.url("/drop-second")))
        #expect(!first.wasResent)
        var request = HTTPRequest(.put, server.url("/drop-second"))
        request.body = ByteSlice(pattern(1 << 20))
        let second = try await transport.send(request)
        #expect(second.status == 200)
        #expect(second.wasResent)
        #expect(second.text != first.text)
    }

    @Test("A request that went out may have been received, though the server is gone when it goes out again")
    func vanished() async throws {
        let transport = try makeTransport()
        let mortal = try TestServer()
        var request = HTTPRequest(.put, mortal.url("/vanish-second"))
        request.body = ByteSlice(pattern(1000))
        #expect(try await transport.send(request).status == 200)
        #expect(await failure(transport, request) == .connectionLost)
        #expect(await failure(transport, request) == .notConnected)
    }

    @Test("A server that was restarted is found again, and while it is away nothing is received")
    func restarted() async throws {
        let transport = try makeTransport()
        var mortal: TestServer? = try TestServer()
        let port = try #require(mortal?.port)
        let url = "http://127.0.0.1:\(port)/check"
        var upload = HTTPRequest(.put, url)
        upload.body = ByteSlice(pattern(100_000))
        #expect(try await transport.send(upload).text == "100000 same")
        mortal = nil
        #expect(await failure(transport, upload) == .notConnected)
        mortal = try TestServer(port: port)
        #expect(try await transport.send(upload).text == "100000 same")
    }

    @Test("Whether a server takes connections is known from the first attempt on, and one that stood is remembered")
    func reach() async throws {
        let transport = try makeTransport()
        #expect(transport.reach == .unknown)
        var mortal: TestServer? = try TestServer()
        let port = try #require(mortal?.port)
        mortal = nil
        let gone = HTTPRequest(.get, "http://127.0.0.1:\(port)/check")
        #expect(await failure(transport, gone) == .notConnected)
        #expect(transport.reach == .refused)
        _ = try await transport.send(HTTPRequest(.get, server.url("/connection")))
        #expect(transport.reach == .connected)
        #expect(await failure(transport, gone) == .notConnected)
        #expect(transport.reach == .connected)
    }

    @Test("A server that has not answered yet is known to be there")
    func reachWithoutAnswer() async throws {
        let transport = try makeTransport()
        let waiting = hold(transport, "reach", "-", priority: 0)
        _ = try await ask("/arrived/reach")
        while transport.reach == .unknown {}
        #expect(transport.reach == .connected)
        _ = try await ask("/release/reach")
        _ = try await waiting.value
    }

    @Test("No more requests run on a host than it has connections; the rest follow")
    func bounded() async throws {
        let transport = try makeTransport(connections: 3)
        let held = (0..<8).map { hold(transport, "bounded", "\($0)", priority: 0) }
        try await untilPending(8, transport)
        // Another host is not held up by this one.
        let other = try await transport.send(HTTPRequest(.get, "http://localhost:\(server.port)/bytes/1"))
        #expect(other.status == 200)
        while try await ask("/arrivals/bounded").split(separator: ",").count < 3 {}
        #expect(try await ask("/arrivals/bounded").split(separator: ",").count == 3)
        _ = try await ask("/release/bounded")
        for task in held { #expect(try await task.value.status == 200) }
        #expect(transport.pendingCount == 0)
    }

    @Test("When a connection becomes free the most urgent request gets it")
    func urgent() async throws {
        let transport = try makeTransport(connections: 1)
        let blocker = hold(transport, "urgent-blocker", "-", priority: 0)
        _ = try await ask("/arrived/urgent-blocker")
        let held = [3, 1, 2, 0].map { hold(transport, "urgent", "\($0)", priority: $0) }
        try await untilPending(5, transport)
        _ = try await ask("/release/urgent")
        _ = try await ask("/release/urgent-blocker")
        for task in held + [blocker] { _ = try await task.value }
        #expect(try await ask("/arrivals/urgent") == "0,1,2,3")
    }

    @Test("Uploads never take the last two connections from a demand read")
    func reserved() async throws {
        let transport = try makeTransport(connections: 4)
        let uploads = (0..<6).map { hold(transport, "reserved", "\($0)", priority: 2) }
        try await untilPending(6, transport)
        var read = HTTPRequest(.get, server.url("/bytes/10"))
        read.priority = 0
        #expect(try await transport.send(read).body == pattern(10))
        #expect(try await ask("/arrivals/reserved").split(separator: ",").count == 2)
        _ = try await ask("/release/reserved")
        for task in uploads { #expect(try await task.value.status == 200) }
    }

    @Test("A thousand requests at once are all answered")
    func thousand() async throws {
        let transport = try makeTransport()
        let url = server.url("/bytes/1000")
        let good = try await withThrowingTaskGroup(of: Bool.self) { group in
            for index in 0..<1000 {
                group.addTask {
                    var request = HTTPRequest(.get, url)
                    request.priority = index % 4
                    return try await transport.send(request).body.withUnsafeBytes(isPattern)
                }
            }
            return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(good == 1000)
    }
}
