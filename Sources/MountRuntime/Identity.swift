import Cognito
import Glibc
import HTTPTransport
import Logging
import ObjectStore
import S3
import Sealing
import Settings
import SystemPackage

/// Whose space is mounted: credentials for S3, the key that seals what is kept on this disk, and names to show.
struct Identity: Sendable {
    let credentials: any CredentialsSource
    /// Seals the cache and the staged files.
    let key: SealingKey
    /// Empty for credentials from the environment.
    let user: String
    let identityID: String
    /// Tells whether somebody must sign in; nil for credentials from the environment.
    let provider: CredentialsProvider?

    static func resolve(
        _ settings: MountSettings, _ paths: StatePaths, _ transport: any HTTPTransport, _ logger: Logger
    ) throws(MountFailure) -> Identity {
        switch settings.credentials {
        case .environment: try fromEnvironment(settings)
        case .cognito: try fromSession(settings, paths, transport, logger)
        }
    }

    private static func fromSession(
        _ settings: MountSettings, _ paths: StatePaths, _ transport: any HTTPTransport, _ logger: Logger
    ) throws(MountFailure) -> Identity {
        do {
            let store = AuthSessionStore(
                keyDirectory: FilePath(paths.keys), sessionDirectory: FilePath(paths.session))
            let session = try store.load()
            let client = CognitoClient(
                configuration: try CognitoConfiguration(settings), transport: transport, logger: logger)
            let provider = try CredentialsProvider(client: client, store: store, session: session, logger: logger)
            return Identity(
                credentials: CognitoCredentialsSource(provider: provider),
                key: try store.dataKey(for: session.identityID), user: session.signInName,
                identityID: session.identityID.text, provider: provider)
        } catch {
            throw MountFailure(error)
        }
    }

    /// The key follows from the secret: nothing is stored, and another secret opens nothing.
    static var environmentKey: SealingKey? {
        let secret = getenv("AWS_SECRET_ACCESS_KEY").map { String(cString: $0) } ?? ""
        return SealingKey(HMACSHA256.authenticate(key: Array(secret.utf8), message: Array("cognitofs data".utf8)))
    }

    private static func fromEnvironment(_ settings: MountSettings) throws(MountFailure) -> Identity {
        do {
            let credentials = try EnvironmentCredentials()
            guard let key = environmentKey else { throw MountFailure(.internalError, "No key could be derived.") }
            return Identity(credentials: credentials, key: key, user: "", identityID: "", provider: nil)
        } catch let error as ObjectStoreError {
            throw MountFailure(error)
        } catch let failure as MountFailure {
            throw failure
        } catch {
            throw MountFailure(.internalError, "\(error)")
        }
    }
}

extension CognitoConfiguration {
    /// The Cognito side of the settings.
    public init(_ settings: MountSettings) throws(CognitoError) {
        try self.init(
            userPoolID: settings.userPoolID, clientID: settings.appClientID,
            clientSecret: settings.appClientSecret.isEmpty ? nil : Secret(settings.appClientSecret),
            identityPoolID: settings.identityPoolID, userPoolEndpoint: settings.userPoolEndpoint,
            identityPoolEndpoint: settings.identityPoolEndpoint, allowInsecure: settings.allowInsecure)
    }
}

extension MountFailure {
    public init(_ error: CognitoError) {
        let kind: Kind =
            switch error.code {
            case .configuration, .identityMismatch, .loginTokenRefused: .configuration
            case .unreachable: .network
            case .unavailable, .invalidAnswer, .tooManyTries: .temporary
            case .storeFailed: .disk
            case .cancelled: .cancelled
            case .refusedByApp: .accessDenied
            default: .signInNeeded
            }
        self.init(kind, error.description)
    }

    public init(_ error: ObjectStoreError) {
        let kind: Kind =
            switch error.code {
            case .accessDenied, .archived: .accessDenied
            case .noSuchBucket, .unsupported, .invalidAnswer, .tooLarge: .configuration
            case .signInNeeded: .signInNeeded
            case .unreachable: .network
            case .unavailable, .corrupted: .temporary
            case .cancelled: .cancelled
            case .notFound, .noSuchUpload, .preconditionFailed, .sourceChanged: .internalError
            }
        self.init(kind, error.description)
    }
}
