import Bytes
import HTTPTransport
import Testing

@Suite(.timeLimit(.minutes(2)))
struct Cancellation {
    let server: TestServer
    let transport: CurlTransport
    let control: CurlTransport

    init() throws {
        server = try TestServer.plain.get()
        transport = try makeTransport(connections: 1)
        control = try makeTransport()
    }

    private func ask(_ path: String) async throws {
        _ = try await control.send(HTTPRequest(.get, server.url(path)))
    }

    private func start(_ request: HTTPRequest) -> Task<HTTPError.Code?, Never> {
        Task { [transport] in await failure(transport, request) }
    }

    @Test("A task that is cancelled already sends nothing")
    func before() async {
        let request = HTTPRequest(.get, server.url("/hold/cancelled-before/1"))
        let task = Task { [transport] in
            withUnsafeCurrentTask { $0?.cancel() }
            return await failure(transport, request)
        }
        #expect(await task.value == .cancelled)
        #expect(transport.pendingCount == 0)
    }

    @Test("A request that waits for a connection leaves the queue")
    func queued() async throws {
        let url = server.url("/hold/cancel-queued/1")
        let running = Task { [transport] in try await transport.send(HTTPRequest(.get, url)) }
        try await ask("/arrived/cancel-queued")
        let waiting = start(HTTPRequest(.get, server.url("/bytes/1")))
        try await untilPending(2, transport)
        waiting.cancel()
        #expect(await waiting.value == .cancelled)
        try await ask("/release/cancel-queued")
        #expect(try await running.value.status == 200)
    }

    @Test("A request that makes its connection is given up")
    func connecting() async throws {
        let task = start(HTTPRequest(.get, "https://127.0.0.1:\(server.port)/bytes/1"))
        try await untilPending(1, transport)
        task.cancel()
        #expect(await task.value == .cancelled)
    }

    @Test("A transfer is given up, and nothing touches its buffer afterwards")
    func transferring() async throws {
        let buffer = ByteBuffer(capacity: 200_000)
        buffer.writable.initializeMemory(as: UInt8.self, repeating: 7)
        var request = HTTPRequest(.get, server.url("/pause/cancel-transfer"))
        let (progress, announce) = AsyncStream.makeStream(of: Int.self)
        request.sink = .store(buffer, offset: 0, accept: { _ in true }, progress: { announce.yield($0) })
        let task = start(request)
        for await count in progress where count == 100_000 { break }
        task.cancel()
        #expect(await task.value == .cancelled)
        try await ask("/release/cancel-transfer")
        #expect(try await transport.send(HTTPRequest(.get, server.url("/bytes/3"))).body == pattern(3))
        #expect(buffer.withBytes(100_000..<200_000) { $0.allSatisfy { $0 == 7 } })
    }

    @Test("Requests that are cancelled at random leave the rest alone")
    func random() async throws {
        let transport = try makeTransport(connections: 4)
        let url = server.url("/bytes/50000")
        let tasks = (0..<400).map { index in
            Task {
                let buffer = ByteBuffer(capacity: 50_000)
                var request = HTTPRequest(.get, url)
                request.sink = .store(buffer, offset: 0, accept: { _ in true }, progress: { _ in })
                _ = try await transport.send(request)
                return buffer.withBytes(0..<50_000) { isPattern($0) }
            }
        }
        for (index, task) in tasks.enumerated() where index % 3 == 0 {
            if index % 2 == 0 { await Task.yield() }
            task.cancel()
        }
        for (index, task) in tasks.enumerated() {
            switch await task.result {
            case .success(let isWhole): #expect(isWhole)
            case .failure(let error): #expect((error as? HTTPError)?.code == .cancelled && index % 3 == 0)
            }
        }
        #expect(transport.pendingCount == 0)
    }

    @Test("Shutting down ends what runs, what waits and what comes later")
    func shutdown() async throws {
        let running = start(HTTPRequest(.get, server.url("/hold/shutdown/1")))
        try await ask("/arrived/shutdown")
        let waiting = start(HTTPRequest(.get, server.url("/bytes/1")))
        try await untilPending(2, transport)
        transport.shutdown()
        #expect(await running.value == .cancelled)
        #expect(await waiting.value == .cancelled)
        #expect(await failure(transport, HTTPRequest(.get, server.url("/bytes/1"))) == .cancelled)
        transport.shutdown()
        try await ask("/release/shutdown")
    }
}
