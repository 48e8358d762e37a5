import Bytes
import FoundationEssentials
import HTTPTransport
import Logging

/// Sends calls of the JSON 1.1 protocol, repeats what may be repeated, and tells faults from answers.
struct JSONService: Sendable {
    /// How often one call is sent at most.
    static let maximumAttempts = 3
    /// The longest one call takes, repeats included: what a caller that lists a directory waits for
    /// (docs/SEMANTICS.md, "Without a network").
    static let budget = Duration.seconds(9)
    static let attemptTimeout = Duration.seconds(5)
    /// Tokens with many groups are some ten KiB; anything near this is not an answer.
    static let maximumAnswerBytes = 256 << 10

    let configuration: CognitoConfiguration
    let transport: any HTTPTransport
    let clock: ServerClock
    let random: @Sendable (Int) -> [UInt8]
    let logger: Logger

    func call<Answer: Decodable>(
        _ operation: Operation, _ fields: JSONFields, as answer: Answer.Type
    ) async throws(CognitoError) -> Answer {
        let bytes = try await call(operation, fields)
        guard let decoded = try? WireDecoder.decode(Answer.self, from: bytes) else {
            throw .invalidAnswer("\(operation.rawValue) without what it should hold")
        }
        return decoded
    }

    /// The body of the answer.
    @discardableResult
    func call(_ operation: Operation, _ fields: JSONFields) async throws(CognitoError) -> [UInt8] {
        let start = ContinuousClock.now
        var attempt = 1
        while true {
            let left = Self.budget - (ContinuousClock.now - start)
            let outcome = await send(operation, fields, timeout: min(Self.attemptTimeout, left))
            switch outcome {
            case .answer(let body): return body
            case .failure(let error, let mayRepeat):
                let pause = pause(after: attempt)
                let spent = ContinuousClock.now - start
                guard mayRepeat, attempt < Self.maximumAttempts, spent + pause + .seconds(1) < Self.budget,
                    !Task.isCancelled
                else { throw error }
                logger.debug(
                    "Repeating a call to the sign-in service",
                    metadata: [
                        "operation": "\(operation.rawValue)", "reason": "\(error.code)", "attempt": "\(attempt)",
                    ])
                await clock.local.sleep(pause)
                if Task.isCancelled { throw .cancelled }
                attempt += 1
            }
        }
    }

    private enum Outcome {
        case answer([UInt8])
        case failure(CognitoError, mayRepeat: Bool)
    }

    private func send(_ operation: Operation, _ fields: JSONFields, timeout: Duration) async -> Outcome {
        guard var json = try? JSONEncoder().encode(fields) else {
            return .failure(CognitoError(.configuration, "A request could not be written."), mayRepeat: false)
        }
        let body = ByteSlice(json)
        json.resetBytes(in: 0..<json.count)
        // The exchange is over when `send` returns: nobody reads the body after it is wiped.
        defer { body.buffer.writable.initializeMemory(as: UInt8.self, repeating: 0) }
        let request = HTTPRequest(
            method: .post,
            url: (operation.isIdentityPool ? configuration.identityPoolEndpoint : configuration.userPoolEndpoint) + "/",
            headers: [
                ("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", operation.target),
                ("Cache-Control", "no-store"),
            ],
            body: body, sink: .collect(limit: Self.maximumAnswerBytes), priority: 0, timeout: timeout,
            stallTimeout: timeout)
        do {
            let response = try await transport.send(request)
            clock.observe(response)
            return judge(response, of: operation)
        } catch {
            return judge(error, of: operation)
        }
    }

    private func judge(_ response: HTTPResponse, of operation: Operation) -> Outcome {
        if response.status == 200 { return .answer(response.body) }
        let error = CognitoError(ServiceFault(response), during: operation)
        return .failure(error, mayRepeat: error.code == .unavailable && operation.mayRepeat)
    }

    private func judge(_ error: HTTPError, of operation: Operation) -> Outcome {
        switch error.code {
        case .cancelled: .failure(.cancelled, mayRepeat: false)
        case .notConnected: .failure(Self.unreachable(error), mayRepeat: true)
        case .timedOut, .connectionLost: .failure(Self.unreachable(error), mayRepeat: operation.mayRepeat)
        case .tlsFailed: .failure(Self.unreachable(error), mayRepeat: false)
        case .badAnswer, .refused: .failure(.invalidAnswer(error.message), mayRepeat: false)
        }
    }

    private static func unreachable(_ error: HTTPError) -> CognitoError {
        CognitoError(
            .unreachable, "The sign-in service can't be reached: \(error.message)", remedy: "Check the network.")
    }

    /// Full jitter over 0.2 s, 0.4 s and so on.
    private func pause(after attempt: Int) -> Duration {
        .milliseconds(Int64(fraction(random) * Double(200 << (attempt - 1))))
    }
}

/// A number from 0 up to, but not including, 1.
func fraction(_ random: @Sendable (Int) -> [UInt8]) -> Double {
    let bits = random(4).prefix(4).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return Double(bits & 0xFFFF_FFFF) / 4_294_967_296
}
