import Cognito
import HTTPTransport
import Logging
import MountRuntime
import Settings
import SystemPackage

/// The parts that `login`, `logout` and `whoami` work with.
struct SignIn {
    let client: CognitoClient
    let store: AuthSessionStore
    let paths: StatePaths
    let settings: MountSettings

    /// Checks the settings; opens no connection yet.
    init(_ arguments: SettingsArguments) throws {
        let loaded = try arguments.load()
        do {
            try loaded.settings.validateSignIn()
        } catch {
            throw loaded.explained(error)
        }
        settings = loaded.settings
        paths = loaded.paths
        var logger = Logger(label: "cognitofs") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .warning
        let transport = try CurlTransport(
            .init(
                connectionsPerHost: 2, caFile: settings.caFile.isEmpty ? nil : settings.caFile,
                userAgent: "cognitofs/\(programVersion)"),
            logger: logger)
        client = CognitoClient(
            configuration: try Self.configuration(settings), transport: transport, logger: logger)
        store = AuthSessionStore(
            keyDirectory: FilePath(paths.keys), sessionDirectory: FilePath(paths.session))
    }

    private static func configuration(_ settings: MountSettings) throws(CognitoError) -> CognitoConfiguration {
        try CognitoConfiguration(
            userPoolID: settings.userPoolID, clientID: settings.appClientID,
            clientSecret: settings.appClientSecret.isEmpty ? nil : Secret(settings.appClientSecret),
            identityPoolID: settings.identityPoolID, userPoolEndpoint: settings.userPoolEndpoint,
            identityPoolEndpoint: settings.identityPoolEndpoint, allowInsecure: settings.allowInsecure)
    }

    /// What `identity` has on this machine that S3 doesn't have yet.
    func queues(of identity: IdentityID) -> [LeftQueue] {
        LeftQueue.all(
            of: identity, in: store, journals: paths.journal, sockets: Mounts.directories(paths.stateRoot))
    }

    /// `s3://BUCKET/PREFIX` of `identity`; empty while no bucket is set.
    func space(of identity: IdentityID) -> String {
        guard !settings.bucket.isEmpty else { return "" }
        let prefix = settings.prefix.replacing(PrefixTemplate.placeholder, with: identity.text)
        return "s3://\(settings.bucket)/\(prefix)"
    }
}
