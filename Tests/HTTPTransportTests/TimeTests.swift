import Bytes
import HTTPTransport
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2)))
struct Time {
    let server: TestServer
    let transport: CurlTransport

    init() throws {
        server = try TestServer.plain.get()
        transport = try makeTransport(connections: 1)
    }

    private func release(_ gate: String) async throws {
        _ = try await makeTransport().send(HTTPRequest(.get, server.url("/release/\(gate)")))
    }

    @Test("A server that takes the request and says nothing times out by stalling")
    func silence() async {
        let request = HTTPRequest(.get, server.url("/silence"), stall: .milliseconds(200))
        #expect(await failure(transport, request) == .timedOut)
    }

    @Test("An answer that stops half-way times out by stalling, and what had come was announced")
    func stalledAnswer() async throws {
        let buffer = ByteBuffer(capacity: 200_000)
        let announced = Mutex(0)
        var request = HTTPRequest(.get, server.url("/pause/stalled"), stall: .seconds(1))
        request.sink = .store(
            buffer, offset: 0, accept: { _ in true }, progress: { count in announced.withLock { $0 = count } })
        #expect(await failure(transport, request) == .timedOut)
        let count = announced.withLock { $0 }
        #expect((1...100_000).contains(count))
        #expect(buffer.withBytes(0..<count) { isPattern($0) })
        try await release("stalled")
    }

    @Test("An upload that the server does not read times out by stalling")
    func stalledUpload() async throws {
        var request = HTTPRequest(.put, server.url("/sip/stalled-upload"), stall: .milliseconds(300))
        request.body = ByteSlice(ByteBuffer(capacity: 64 << 20), 0..<64 << 20)
        #expect(await failure(transport, request) == .timedOut)
        try await release("stalled-upload")
    }

    @Test("A stall is noticed when it is due, not only when connecting or the whole exchange would have ended")
    func stallIsNoticedFirst() async throws {
        let patient = try makeTransport(connections: 2)
        let waiting = Task { await failure(patient, HTTPRequest(.get, server.url("/silence"), timeout: .seconds(9))) }
        try await untilPending(1, patient)
        let request = HTTPRequest(.get, server.url("/silence"), stall: .milliseconds(50))
        #expect(await failure(patient, request) == .timedOut)
        #expect(patient.pendingCount == 1, "the one that was to end after nine seconds has ended before")
        waiting.cancel()
        #expect(await waiting.value == .cancelled)
    }

    @Test("The whole exchange is bounded though nothing stalls by its own measure")
    func whole() async {
        let request = HTTPRequest(.get, server.url("/silence"), timeout: .milliseconds(200))
        #expect(await failure(transport, request) == .timedOut)
    }

    @Test("Waiting for a connection counts, and the one that waits does not disturb the one that runs")
    func queued() async throws {
        let url = server.url("/hold/queued/1")
        let running = Task { [transport] in try await transport.send(HTTPRequest(.get, url)) }
        try await untilPending(1, transport)
        let waiting = HTTPRequest(.get, server.url("/bytes/1"), timeout: .milliseconds(100))
        #expect(await failure(transport, waiting) == .timedOut)
        try await release("queued")
        #expect(try await running.value.status == 200)
    }

    @Test("A connection that is not made in time was certainly not used")
    func connecting() async {
        // The server waits for a request in plain text; the TLS handshake never gets an answer.
        let request = HTTPRequest(.get, "https://127.0.0.1:\(server.port)/bytes/1", timeout: .milliseconds(300))
        #expect(await failure(transport, request) == .notConnected)
    }

    @Test("After a time-out the connection's place is free again")
    func afterwards() async throws {
        #expect(
            await failure(transport, HTTPRequest(.get, server.url("/silence"), stall: .milliseconds(50))) == .timedOut)
        #expect(try await transport.send(HTTPRequest(.get, server.url("/bytes/2"))).body == pattern(2))
        #expect(transport.pendingCount == 0)
    }
}
