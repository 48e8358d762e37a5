import Bytes
import HTTPTransport
import Testing

@Suite(.timeLimit(.minutes(2)))
struct Sending {
    let server: TestServer
    let transport: CurlTransport

    init() throws {
        server = try TestServer.plain.get()
        transport = try makeTransport()
    }

    @Test(
        "A header that would begin another one is not sent", arguments: ["a\r\nX-Other: b", "a\nb", "a\0b", "a\u{7F}"])
    func injection(_ value: String) async {
        var request = HTTPRequest(.get, server.url("/echo"))
        request.headers = [("X-Amz-Meta-Name", value)]
        #expect(await failure(transport, request) == .notConnected)
    }

    @Test(
        "An address that is not plain http or https is not connected to",
        arguments: [
            "file:///etc/passwd", "ftp://localhost/", "localhost/a", "http://", "http:///a", "http://user@localhost/",
            "http://local host/", "http://localhost/ä", "",
        ])
    func badAddress(_ url: String) async {
        #expect(await failure(transport, HTTPRequest(.get, url)) == .notConnected)
    }

    @Test("An upload that is refused before it was read gives the refusal")
    func earlyRefusal() async throws {
        var request = HTTPRequest(.put, server.url("/early"))
        request.body = ByteSlice(pattern(100_000))
        let answer = try await transport.send(request)
        #expect(answer.status == 403)
        #expect(answer.text == "denied")
    }

    @Test("Bodies of every size arrive whole", arguments: [0, 1, 100_000, 64 << 20], [HTTPRequest.Method.put, .post])
    func bodies(_ size: Int, _ method: HTTPRequest.Method) async throws {
        var request = HTTPRequest(method, server.url("/check"))
        request.body = ByteSlice(ByteBuffer(pattern(size + 7)), 0..<size)
        #expect(try await transport.send(request).text == "\(size) same")
    }

    @Test("A body can be a part of a buffer")
    func slice() async throws {
        var request = HTTPRequest(.put, server.url("/check"))
        request.body = ByteSlice(ByteBuffer([9, 9, 9] + pattern(5000) + [9]), 3..<5003)
        #expect(try await transport.send(request).text == "5000 same")
    }

    @Test("The request has the caller's headers in order and nothing that was not asked for")
    func exactHead() async throws {
        var request = HTTPRequest(.put, server.url("/echo/a/../b//./%2F%20+?x=%2E&y"))
        request.headers = [("X-Amz-Date", "20240101T000000Z"), ("x-empty", ""), ("If-Match", "\"ä\"")]
        request.body = ByteSlice(pattern(3))
        let lines = try await transport.send(request).text.split(separator: "\r\n").map(String.init)
        #expect(
            lines == [
                "PUT /echo/a/../b//./%2F%20+?x=%2E&y HTTP/1.1", "Host: 127.0.0.1:\(server.port)",
                "User-Agent: cognitofs", "X-Amz-Date: 20240101T000000Z", "x-empty:", "If-Match: \"ä\"",
                "Content-Length: 3",
            ])
    }

    @Test(
        "Methods go out as they are called, and an empty upload says that it is empty",
        arguments: [HTTPRequest.Method.get, .head, .put, .post, .delete])
    func methods(_ method: HTTPRequest.Method) async throws {
        let lines = try await transport.send(HTTPRequest(method, server.url("/echo"))).text.split(separator: "\r\n")
        guard method != .head else { return #expect(lines.isEmpty) }
        #expect(lines.first == "\(method.rawValue) /echo HTTP/1.1")
        #expect(lines.contains("Content-Length: 0") == (method == .put || method == .post))
        #expect(!lines.contains { $0.hasPrefix("Content-Type") || $0.hasPrefix("Accept") || $0.hasPrefix("Expect") })
    }
}
