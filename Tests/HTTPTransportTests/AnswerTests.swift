import Bytes
import HTTPTransport
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2)))
struct Answers {
    let server: TestServer
    let transport: CurlTransport

    init() throws {
        server = try TestServer.plain.get()
        transport = try makeTransport()
    }

    @Test("An answer over the caller's limit fails, announced or not", arguments: ["/bytes/1001", "/chunked/1001"])
    func overLimit(_ path: String) async {
        var request = HTTPRequest(.get, server.url(path))
        request.sink = .collect(limit: 1000)
        #expect(await failure(transport, request) == .badAnswer)
    }

    @Test("An answer larger than the buffer's room fails", arguments: ["/bytes/1001", "/chunked/200000"])
    func overRoom(_ path: String) async {
        let buffer = ByteBuffer([UInt8](repeating: 7, count: 2000))
        var request = HTTPRequest(.get, server.url(path))
        request.sink = .store(buffer, offset: 1000, accept: { _ in true }, progress: { _ in })
        #expect(await failure(transport, request) == .badAnswer)
        #expect(buffer.withBytes(0..<1000) { $0.allSatisfy { $0 == 7 } })
    }

    @Test("An answer that ends early is a lost connection", arguments: ["/half", "/cut-chunks", "/drop"])
    func endsEarly(_ path: String) async throws {
        let buffer = ByteBuffer(capacity: 1000)
        var request = HTTPRequest(.get, server.url(path))
        request.sink = .store(buffer, offset: 0, accept: { _ in true }, progress: { _ in })
        #expect(await failure(transport, request) == .connectionLost)
    }

    @Test("What is not HTTP, or too much head, is a bad answer", arguments: ["/garbage", "/many-headers"])
    func notHTTP(_ path: String) async {
        #expect(await failure(transport, HTTPRequest(.get, server.url(path))) == .badAnswer)
    }

    @Test("An answer that the caller does not accept is not stored")
    func notAccepted() async {
        let buffer = ByteBuffer([UInt8](repeating: 7, count: 1000))
        var request = HTTPRequest(.get, server.url("/bytes/1000"))
        request.sink = .store(buffer, offset: 0, accept: { $0["etag"] != "\"1\"" }, progress: { _ in })
        #expect(await failure(transport, request) == .refused)
        #expect(buffer.withBytes(0..<1000) { $0.allSatisfy { $0 == 7 } })
    }

    @Test("An error's body is collected, not stored, and nobody is asked")
    func errorBody() async throws {
        let buffer = ByteBuffer([UInt8](repeating: 7, count: 1000))
        var request = HTTPRequest(.get, server.url("/status/412/900"))
        request.sink = .store(
            buffer, offset: 0,
            accept: { _ in
                Issue.record("asked about an error")
                return true
            },
            progress: { _ in Issue.record("progress of an error") })
        let response = try await transport.send(request)
        #expect(response.status == 412)
        #expect(response.body == pattern(900))
        #expect(buffer.withBytes(0..<1000) { $0.allSatisfy { $0 == 7 } })
    }

    @Test("An error's body over 1 MiB is a bad answer")
    func hugeErrorBody() async throws {
        let full = try await transport.send(HTTPRequest(.get, server.url("/status/500/1048576")))
        #expect(full.body.count == 1 << 20)
        #expect(await failure(transport, HTTPRequest(.get, server.url("/status/500/1048577"))) == .badAnswer)
    }

    static let sizes = [0, 1, 100_000, 64 << 20]

    @Test("Bytes are stored from the offset on, and progress only grows", arguments: sizes, [false, true])
    func stored(_ size: Int, chunked: Bool) async throws {
        let seen = Mutex<[Int]>([])
        let buffer = ByteBuffer(capacity: size + 10)
        buffer.writable.initializeMemory(as: UInt8.self, repeating: 7)
        var request = HTTPRequest(.get, server.url("/\(chunked ? "chunked" : "bytes")/\(size)"))
        request.sink = .store(
            buffer, offset: 5, accept: { _ in true }, progress: { count in seen.withLock { $0.append(count) } })
        let response = try await transport.send(request)
        #expect(response.status == 200)
        #expect(response.body.isEmpty)
        #expect(buffer.withBytes(5..<5 + size) { isPattern($0) })
        #expect(buffer.withBytes(0..<5) { $0.allSatisfy { $0 == 7 } })
        #expect(buffer.withBytes(size + 5..<size + 10) { $0.allSatisfy { $0 == 7 } })
        let counts = seen.withLock { $0 }
        #expect(zip(counts, counts.dropFirst()).allSatisfy { $0 < $1 })
        #expect(counts.last ?? 0 == size)
    }

    @Test("Small answers are collected", arguments: ["/bytes/100000", "/chunked/100000"])
    func collected(_ path: String) async throws {
        #expect(try await transport.send(HTTPRequest(.get, server.url(path))).body == pattern(100_000))
    }

    @Test("Bytes beyond the announced length are not taken, and the connection is not used again")
    func beyondLength() async throws {
        let answer = try await transport.send(HTTPRequest(.get, server.url("/more")))
        #expect(answer.body == pattern(10))
        #expect(try await transport.send(HTTPRequest(.get, server.url("/bytes/3"))).body == pattern(3))
    }

    @Test("The answer to HEAD has no body, whatever length it announces")
    func head() async throws {
        let answer = try await transport.send(HTTPRequest(.head, server.url("/huge-head")))
        #expect(answer["content-length"] == "1000000000000")
        #expect(answer.body.isEmpty)
    }

    @Test("Interim heads are dropped, trailers ignored, names found in any case")
    func interim() async throws {
        let answer = try await transport.send(HTTPRequest(.get, server.url("/interim")))
        #expect(answer.status == 200)
        #expect(answer["x-final"] == "yes")
        #expect(answer["Link"] == nil)
        #expect(answer.text == "final")
        #expect(try await transport.send(HTTPRequest(.get, server.url("/chunked/5")))["X-Trailer"] == nil)
    }

    @Test("A redirect is an answer like any other")
    func redirect() async throws {
        let answer = try await transport.send(HTTPRequest(.get, server.url("/redirect")))
        #expect(answer.status == 307)
        #expect(answer["location"] == "/bytes/1")
        #expect(answer.text == "elsewhere")
    }
}
