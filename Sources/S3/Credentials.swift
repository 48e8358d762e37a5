import Glibc
import ObjectStore

/// A text that must not be read by people: however it is printed, interpolated, dumped or logged, it says `<redacted>`.
public struct RedactedText: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    let text: String

    public init(_ text: String) { self.text = text }

    public var description: String { "<redacted>" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// What a request is signed with. The access key id is public; the rest prints as `<redacted>`.
public struct Credentials: Hashable, Sendable {
    public let accessKeyID: String
    public let secretAccessKey: RedactedText
    /// Present for temporary credentials.
    public let sessionToken: RedactedText?

    public init(accessKeyID: String, secretAccessKey: RedactedText, sessionToken: RedactedText?) {
        self.accessKeyID = accessKeyID
        self.secretAccessKey = secretAccessKey
        self.sessionToken = sessionToken
    }
}

/// Where credentials come from. S3 does not know who signs in, or how.
///
/// Asked before every attempt of every request, so an answer from memory should be quick. A failure must not be
/// remembered: the next request asks again.
public protocol CredentialsSource: Sendable {
    /// Credentials that are good for some minutes more.
    /// Throws `.signInNeeded` when only a person can help, `.unreachable` or `.unavailable` when time may.
    func credentials() async throws(ObjectStoreError) -> Credentials

    /// The server no longer takes `rejected`: new ones, fetched once for everybody who asks at the same time.
    func renew(after rejected: Credentials) async throws(ObjectStoreError) -> Credentials
}

/// The usual variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if there, `AWS_SESSION_TOKEN`; for servers and
/// for measuring. Read once, when made.
public struct EnvironmentCredentials: CredentialsSource {
    private let fixed: Credentials

    /// Throws `.signInNeeded` when a variable is missing. `variable` looks one up; the default asks the process's own.
    public init(
        variable: (String) -> String? = { getenv($0).map { String(cString: $0) } }
    ) throws(ObjectStoreError) {
        func needed(_ name: String) throws(ObjectStoreError) -> String {
            guard let value = variable(name), !value.isEmpty else {
                throw ObjectStoreError(
                    .signInNeeded, "The environment variable \(name) is not set; set it and try again.")
            }
            return value
        }
        let token = variable("AWS_SESSION_TOKEN").flatMap { $0.isEmpty ? nil : RedactedText($0) }
        fixed = Credentials(
            accessKeyID: try needed("AWS_ACCESS_KEY_ID"),
            secretAccessKey: RedactedText(try needed("AWS_SECRET_ACCESS_KEY")), sessionToken: token)
    }

    public func credentials() async throws(ObjectStoreError) -> Credentials { fixed }

    public func renew(after rejected: Credentials) async throws(ObjectStoreError) -> Credentials {
        throw ObjectStoreError(
            .signInNeeded,
            "The server no longer accepts access key \(rejected.accessKeyID) from the environment; "
                + "set new AWS_* variables and mount again.")
    }
}
