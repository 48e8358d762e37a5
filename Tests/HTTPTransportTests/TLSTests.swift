import HTTPTransport
import Testing

@Suite(.timeLimit(.minutes(2)))
struct TLS {
    let server: TestServer

    init() throws { server = try TestServer.tls.get() }

    private var request: HTTPRequest { HTTPRequest(.get, "https://localhost:\(server.port)/bytes/100000") }

    @Test("A certificate of an unknown authority is refused")
    func unknownAuthority() async throws {
        #expect(await failure(try makeTransport(), request) == .tlsFailed)
    }

    @Test("A certificate for another host is refused")
    func wrongHost() async throws {
        let other = HTTPRequest(.get, "https://127.0.0.1:\(server.port)/bytes/1")
        #expect(await failure(try makeTransport(caFile: server.caFile), other) == .tlsFailed)
    }

    @Test("A file of authorities that is not there trusts nobody")
    func missingFile() async throws {
        #expect(await failure(try makeTransport(caFile: server.caFile + ".not"), request) == .tlsFailed)
    }

    @Test("A certificate of the given authority is accepted")
    func ownAuthority() async throws {
        let transport = try makeTransport(caFile: server.caFile)
        for _ in 0..<3 { #expect(try await transport.send(request).body == pattern(100_000)) }
    }
}
