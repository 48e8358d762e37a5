import FoundationEssentials
import HTTPTransport
import Logging
import ObjectStore
import Synchronization

@testable import S3

/// One real S3 server for the whole run. It ends when this process does, since that closes its standard input.
struct LocalServer: Decodable, Sendable {
    struct Key: Decodable, Sendable {
        var id: String
        var secret: String
        var token: String?
    }
    var port: Int
    var owner: Key
    /// The owner's, for a while: with a session token.
    var session: Key
    /// May read, write and delete below `own/`, and list nothing.
    var guest: Key

    private static let started = Result {
        let program = try TestPython.start(PackageResources.local_s3_py, [])
        guard let line = TestPython.readLine(program.output) else {
            throw ProgramFailure(description: "the local S3 server did not start; see its words above")
        }
        return try JSONDecoder().decode(LocalServer.self, from: Data(line))
    }

    static func shared() throws -> LocalServer { try started.get() }

    private static let transport = Result {
        try CurlTransport(CurlTransport.Configuration(), logger: quietLogger)
    }

    func store(_ key: Key? = nil, options: S3Options = S3Options(), region: String = "eu-central-1") throws
        -> S3ObjectStore
    {
        let key = key ?? owner
        return S3ObjectStore(
            endpoint: try .custom(url: "http://127.0.0.1:\(port)"), bucket: "files", region: region,
            credentials: FixedCredentials(id: key.id, secret: key.secret, token: key.token),
            transport: try Self.transport.get(),
            logger: quietLogger, options: options)
    }
}

let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Credentials that count how often they were renewed.
final class FixedCredentials: CredentialsSource {
    private let state: Mutex<(current: Credentials, renewals: Int)>
    private let next: @Sendable (Int) throws(ObjectStoreError) -> Credentials

    init(
        id: String = "AKIDEXAMPLE", secret: String = "secret", token: String? = nil,
        next: @escaping @Sendable (Int) throws(ObjectStoreError) -> Credentials = { number in
            Credentials(accessKeyID: "AKIDNEW\(number)", secretAccessKey: RedactedText("new"), sessionToken: nil)
        }
    ) {
        let first = Credentials(
            accessKeyID: id, secretAccessKey: RedactedText(secret), sessionToken: token.map { RedactedText($0) })
        state = Mutex((first, 0))
        self.next = next
    }

    var renewals: Int { state.withLock { $0.renewals } }

    func credentials() async throws(ObjectStoreError) -> Credentials { state.withLock { $0.current } }

    func renew(after rejected: Credentials) async throws(ObjectStoreError) -> Credentials {
        try state.withLock { state throws(ObjectStoreError) in
            state.renewals += 1
            state.current = try next(state.renewals)
            return state.current
        }
    }
}
