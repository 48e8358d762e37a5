import Bytes
import FoundationEssentials
import HTTPTransport
import Synchronization

@testable import Cognito

/// Both services as a test scripts them: one closure for each operation, faults of the network included.
final class FakeService: HTTPTransport {
    enum Reply: Sendable {
        case json(String)
        case fault(String, String, status: Int = 400)
        case status(Int)
        case lost(HTTPError.Code)
    }
    typealias Script = @Sendable (_ body: Body) async -> Reply

    /// A request's body, read as text where a test needs it.
    struct Body: Sendable {
        var text: String
        func contains(_ part: String) -> Bool { text.contains(part) }
    }

    private struct State {
        var scripts: [Operation: Script] = [:]
        var calls: [Operation] = []
        var date: String?
    }
    private let state = Mutex(State())

    func on(_ operation: Operation, _ script: @escaping Script) { state.withLock { $0.scripts[operation] = script } }
    func setDate(_ date: String?) { state.withLock { $0.date = date } }

    /// The operations received so far, in order.
    var calls: [Operation] { state.withLock { $0.calls } }
    func count(_ operation: Operation) -> Int { calls.filter { $0 == operation }.count }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        let target = request.headers.first { $0.name == "X-Amz-Target" }?.value ?? ""
        let text = String(decoding: request.body.array(), as: UTF8.self)
        let operation: Operation? =
            text.contains("REFRESH_TOKEN_AUTH") ? .refreshTokenAuth : Operation.allCases.first { $0.target == target }
        guard let operation else { throw HTTPError(.badAnswer, "unknown target \(target)") }
        let (script, date) = state.withLock { state in
            state.calls.append(operation)
            return (state.scripts[operation], state.date)
        }
        guard let script else { throw HTTPError(.notConnected, "no script for \(operation)") }
        let headers = date.map { [(name: "date", value: $0)] } ?? []
        switch await script(Body(text: text)) {
        case .json(let json): return HTTPResponse(status: 200, headers: headers, body: Array(json.utf8))
        case .fault(let type, let message, let status):
            let json = #"{"__type":"com.amazonaws#\#(type)","message":"\#(message)"}"#
            return HTTPResponse(status: status, headers: headers, body: Array(json.utf8))
        case .status(let status): return HTTPResponse(status: status, headers: headers, body: [])
        case .lost(let code): throw HTTPError(code, "the network is gone")
        }
    }
}
