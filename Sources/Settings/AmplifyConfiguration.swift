/// What an app's own Amplify configuration says about its Cognito and its S3, whatever the generation of Amplify.
///
/// Nothing is fetched and no program is run: only plain values count.
public struct AmplifyConfiguration: Sendable, Equatable {
    /// Which of the known forms the file has.
    public enum Form: String, Sendable {
        case outputs = "amplify_outputs.json (Gen 2)"
        case exports = "aws-exports.js or amplifyconfiguration.json of a web app (Gen 1)"
        case native = "amplifyconfiguration of an iOS, Android or Flutter app (Gen 1)"
        case handWritten = "Amplify.configure({…})"
    }

    /// A space that the app's storage rules give each user.
    public struct Space: Sendable, Equatable {
        public var bucket: String
        public var region: String
        public var prefix: String
    }

    public var form: Form
    public var userPoolID = ""
    public var appClientID = ""
    public var appClientSecret = ""
    public var identityPoolID = ""
    public var bucket = ""
    public var region = ""
    public var s3Endpoint = ""
    public var userPoolEndpoint = ""
    public var identityPoolEndpoint = ""
    public var pathStyle = false
    /// Where the files of a user can be; empty when the file doesn't say.
    public var spaces: [Space] = []
    /// Settings that are there, but as code: what a person must look up.
    public var unreadable: [String] = []

    init(form: Form) { self.form = form }

    /// Reads one of the app's files.
    public static func read(file path: String) throws(SettingsError) -> AmplifyConfiguration {
        try AmplifyConfiguration(SettingsFile(path: path))
    }

    /// What a mount needs and this file doesn't have, in words.
    public var missing: [String] {
        [
            (userPoolID, "user_pool_id", "no user pool"), (appClientID, "app_client_id", "no app client"),
            (identityPoolID, "identity_pool_id", "no identity pool"), (bucket, "bucket", "no storage bucket"),
            (region, "region", "no region of the bucket"),
        ].compactMap { value, name, words in
            guard value.isEmpty, spaces.isEmpty || (name != "bucket" && name != "region") else { return nil }
            return unreadable.contains(name) ? "\(words) as plain text" : words
        }
    }

    /// Puts what the file says into `settings`. `prefix` chooses among several spaces, or names one that the file doesn't.
    /// Returns what a person should know.
    public func apply(to settings: inout MountSettings, prefix: String?) throws(SettingsError) -> [String] {
        settings.userPoolID = userPoolID
        settings.appClientID = appClientID
        settings.appClientSecret = appClientSecret
        settings.identityPoolID = identityPoolID
        settings.bucket = bucket
        settings.region = region
        settings.s3Endpoint = s3Endpoint
        settings.userPoolEndpoint = userPoolEndpoint
        settings.identityPoolEndpoint = identityPoolEndpoint
        settings.pathStyle = pathStyle
        try checkShapes(settings)
        if let prefix, let wanted = PrefixTemplate.normalized(prefix) {
            if let space = spaces.first(where: { $0.prefix == wanted }) { take(space, into: &settings) }
            settings.prefix = wanted
            return []
        }
        guard let only = spaces.first else {
            return ["The file doesn't say below which prefix the app keeps a user's files; taking \(settings.prefix)."]
        }
        guard spaces.count == 1 else { throw ambiguity }
        take(only, into: &settings)
        return []
    }

    private var ambiguity: SettingsError {
        let list = spaces.map { "\($0.prefix) in \($0.bucket)" }.joined(separator: "; ")
        return SettingsError(.ambiguous, "The app gives each user several places: \(list). Choose one with --prefix.")
    }

    private func take(_ space: Space, into settings: inout MountSettings) {
        settings.bucket = space.bucket
        settings.region = space.region
        settings.prefix = space.prefix
    }

    private func checkShapes(_ settings: MountSettings) throws(SettingsError) {
        for setting in Setting.all where setting.section == .app {
            guard case .text(let field, let shape) = setting.form else { continue }
            guard shape.normalized(settings[keyPath: field]) == nil else { continue }
            let found = setting.isSecret ? "what it has" : RawValue.text(settings[keyPath: field]).shown
            throw SettingsError(
                .badValue,
                "The app's configuration has \(found) where \(setting.name) should be: \(setting.expectation).")
        }
    }
}
