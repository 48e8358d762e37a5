import Bytes
import HTTPTransport
import Logging
import ObjectStore
import Synchronization
import Testing

@testable import S3

/// A server that misbehaves on purpose: a script answers each request. Stores bodies as the real transport does.
final class ScriptedTransport: HTTPTransport {
    typealias Script = @Sendable (HTTPRequest, Int) throws(HTTPError) -> ScriptedAnswer

    private let script: Script
    private let seen = Mutex<[HTTPRequest]>([])

    init(_ script: @escaping Script) { self.script = script }

    var requests: [HTTPRequest] { seen.withLock { $0 } }

    func send(_ request: HTTPRequest) async throws(HTTPError) -> HTTPResponse {
        let number = seen.withLock { seen in
            seen.append(request)
            return seen.count - 1
        }
        let answer = try script(request, number)
        let response = HTTPResponse(status: answer.status, headers: answer.headers, body: answer.body)
        guard (200..<300).contains(answer.status) else { return response }
        if case .store(let buffer, let offset, let accept, let progress) = request.sink {
            let head = HTTPResponse(status: answer.status, headers: answer.headers, body: [])
            guard accept(head) else { throw HTTPError(.refused, "refused") }
            let body = answer.body.prefix(answer.cutAfter ?? .max)
            UnsafeMutableRawBufferPointer(rebasing: buffer.writable[offset...]).copyBytes(from: body)
            progress(body.count)
            if answer.cutAfter != nil { throw HTTPError(.connectionLost, "the connection broke") }
            return head
        }
        if answer.cutAfter != nil { throw HTTPError(.connectionLost, "the connection broke") }
        return response
    }
}

struct ScriptedAnswer: Sendable {
    var status: Int
    var headers: [(name: String, value: String)] = []
    var body: [UInt8] = []
    /// The connection breaks after so many bytes of the body.
    var cutAfter: Int?

    static func answer(
        _ status: Int, _ headers: [(name: String, value: String)] = [], _ body: [UInt8] = [], cutAfter: Int? = nil
    ) -> ScriptedAnswer {
        ScriptedAnswer(status: status, headers: headers, body: body, cutAfter: cutAfter)
    }

    static func xml(_ text: String) -> ScriptedAnswer { .answer(200, [], Array(text.utf8)) }

    static func error(_ status: Int, _ code: String, _ more: String = "") -> ScriptedAnswer {
        .answer(
            status, [("x-amz-request-id", "REQ1"), ("Date", "Sat, 21 Nov 2026 08:05:09 GMT")],
            Array("<Error><Code>\(code)</Code><Message>because</Message>\(more)</Error>".utf8))
    }

    /// What a HEAD of these bytes answers.
    static func head(_ bytes: [UInt8], eTag: String, metadata: [String: String] = [:]) -> ScriptedAnswer {
        .answer(
            200,
            [
                ("ETag", "\"\(eTag)\""), ("Content-Length", "\(bytes.count)"), ("Content-Type", "text/plain"),
                ("x-amz-checksum-crc32c", CRC32C(ByteSlice(bytes)).base64), ("x-amz-checksum-type", "FULL_OBJECT"),
            ] + metadata.map { (name: "x-amz-meta-\($0.key)", value: $0.value) })
    }

    static func listing(_ entries: String = "", more: String = "") -> ScriptedAnswer {
        .xml("<ListBucketResult><IsTruncated>false</IsTruncated>\(more)\(entries)</ListBucketResult>")
    }

    static func entry(_ key: String, eTag: String, size: Int = 1) -> String {
        "<Contents><Key>\(key)</Key><LastModified>2026-11-21T08:05:09.000Z</LastModified><ETag>&quot;\(eTag)&quot;</ETag>"
            + "<Size>\(size)</Size></Contents>"
    }
}

/// Time that passes only by sleeping.
final class StoppedTime: Sendable {
    private let state = Mutex((elapsed: Duration.zero, sleeps: [Duration]()))
    let wall: Int64

    /// 2026-11-21T08:05:09Z unless told otherwise.
    init(wall: Int64 = 1_795_248_309) { self.wall = wall }

    var sleeps: [Duration] { state.withLock { $0.sleeps } }
    func pass(_ time: Duration) { state.withLock { $0.elapsed += time } }

    var surroundings: S3Surroundings {
        S3Surroundings(
            wallClock: { self.wall }, elapsed: { self.state.withLock { $0.elapsed } },
            sleep: { wait in
                try Task.checkCancellation()
                self.state.withLock { state in
                    state.elapsed += wait
                    state.sleeps.append(wait)
                }
            }, random: { 0.5 })
    }
}

/// A store on a scripted server; encrypted, so that bodies need no hash.
func scriptedStore(
    _ transport: ScriptedTransport, endpoint: S3Endpoint = .aws(), time: StoppedTime = StoppedTime(),
    credentials: any CredentialsSource = FixedCredentials(), options: S3Options = S3Options()
) -> S3ObjectStore {
    S3ObjectStore(
        endpoint: endpoint, bucket: "files", region: "eu-central-1", credentials: credentials, transport: transport,
        logger: quietLogger, options: options, surroundings: time.surroundings)
}

func key(_ text: String) throws -> ObjectKey { try #require(ObjectKey(text)) }

func plain(_ metadata: [String: String] = [:]) -> ObjectAttributes {
    ObjectAttributes(contentType: "text/plain", metadata: metadata)
}

/// The code of the error that `body` throws; nil when it throws none.
func code(_ body: () async throws -> Void) async -> ObjectStoreError.Code? {
    do {
        try await body()
        return nil
    } catch { return (error as? ObjectStoreError)?.code }
}
