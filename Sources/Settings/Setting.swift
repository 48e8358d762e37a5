/// One thing that can be set: where it lives, what it may be, what it means.
///
/// `Setting.all` is the single source: reading `mount.conf`, reading `-o`, writing a commented file and the check of
/// `mount.example.conf` all walk it.
public struct Setting: Sendable {
    public enum Section: String, Sendable, CaseIterable {
        case app, mount, cache, network

        var meaning: String {
            switch self {
            case .app: "The app whose files are mounted: its Cognito and its S3 bucket."
            case .mount: "How the directory behaves."
            case .cache: "What is kept on this machine's disk, and where."
            case .network: "How the servers are reached."
            }
        }
    }

    public let section: Section
    /// Unlike that of every other setting, whatever its section.
    public let name: String
    /// Other spellings that `-o` takes, where no section gives the name its meaning.
    let aliases: [String]
    let form: SettingForm
    /// Never shown, and never taken from a command line.
    public let isSecret: Bool
    /// Sentences for `mount.example.conf`.
    public let meaning: String

    init(
        _ section: Section, _ name: String, _ form: SettingForm, aliases: [String] = [], isSecret: Bool = false,
        _ meaning: String
    ) {
        self.section = section
        self.name = name
        self.aliases = aliases
        self.form = form
        self.isSecret = isSecret
        self.meaning = meaning
    }

    /// "mount.freshness".
    public var qualifiedName: String { "\(section.rawValue).\(name)" }

    /// What the setting may be, with its unit and range.
    public var expectation: String { form.expectation }

    /// The value in `settings` as `mount.conf` spells it; nil when it is unset.
    public func text(in settings: MountSettings) -> String? { form.text(in: settings) }

    /// The value of a setting that nobody set; nil when it is unset.
    public var defaultText: String? { form.text(in: MountSettings()) }

    /// The setting of that name, with or without its section.
    static func named(_ name: String) -> Setting? {
        all.first { $0.name == name || $0.qualifiedName == name }
    }
}

extension Setting {
    /// Every setting, in the order of `mount.example.conf`.
    public static let all: [Setting] = app + mount + cache + network

    private static let app: [Setting] = [
        Setting(
            .app, "user_pool_id", .text(\.userPoolID, .userPoolID), "The Cognito user pool that people sign in to."),
        Setting(.app, "app_client_id", .text(\.appClientID, .appClientID), "The user pool's app client."),
        Setting(
            .app, "app_client_secret", .text(\.appClientSecret, .appClientSecret), isSecret: true,
            "Only for an app client that has a secret. A file with it must be readable by its owner alone."),
        Setting(
            .app, "identity_pool_id", .text(\.identityPoolID, .identityPoolID),
            "The Cognito identity pool that turns a sign-in into AWS credentials."),
        Setting(.app, "bucket", .text(\.bucket, .bucket), "The S3 bucket that holds the files."),
        Setting(.app, "region", .text(\.region, .region), "The bucket's region."),
        Setting(
            .app, "prefix", .text(\.prefix, .prefix),
            "The space: all keys that begin so. {identity_id} stands for the signed-in user's identity id."),
        Setting(
            .app, "s3_endpoint", .text(\.s3Endpoint, .endpoint), aliases: ["endpoint"],
            "Another S3 server than AWS's own for the region. Keys then go into the path, as with path_style."),
        Setting(
            .app, "user_pool_endpoint", .text(\.userPoolEndpoint, .endpoint),
            "Another server for the user pool than AWS's own."),
        Setting(
            .app, "identity_pool_endpoint", .text(\.identityPoolEndpoint, .endpoint),
            "Another server for the identity pool than AWS's own."),
        Setting(
            .app, "path_style", .flag(\.pathStyle), "Put the bucket into the path of addresses, not into the host name."
        ),
        Setting(
            .app, "credentials",
            .choice(
                MountSettings.CredentialsKind.allCases.map(\.rawValue),
                get: { $0.credentials.rawValue },
                set: { settings, word in MountSettings.CredentialsKind(rawValue: word).map { settings.credentials = $0 }
                }
            ),
            "Where AWS credentials come from: a Cognito sign-in, or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
                + "AWS_SESSION_TOKEN in the environment."),
    ]

    private static let mount: [Setting] = [
        Setting(
            .mount, "durability",
            .choice(
                MountSettings.Durability.allCases.map(\.rawValue),
                get: { $0.durability.rawValue },
                set: { settings, word in MountSettings.Durability(rawValue: word).map { settings.durability = $0 } }),
            "When close and fsync return: \"local\" is when this disk has the bytes, which go to S3 in the background; "
                + "\"remote\" is when S3 has them."),
        Setting(
            .mount, "freshness", .seconds(\.freshness, 0...86_400),
            "How old a listing may be before S3 is asked again."),
        Setting(
            .mount, "umask", .octal(\.umask),
            "Permission bits taken from files and directories that have none stored. Unset: files have 0600, "
                + "directories 0700."),
        Setting(.mount, "uid", .identifier(\.uid), "Who owns what has no stored owner. Unset: whoever mounts."),
        Setting(
            .mount, "gid", .identifier(\.gid), "The group of what has no stored group. Unset: that of whoever mounts."),
        Setting(
            .mount, "allow_other", .flag(\.allowOther),
            "Let other users of this machine in, as far as permissions allow. Needs user_allow_other in "
                + "/etc/fuse.conf, unless root mounts."),
        Setting(.mount, "read_only", .flag(\.readOnly), "Refuse every change."),
        Setting(
            .mount, "quota", .size(\.quota, 0...(1 << 60)),
            "The size of the space that df shows; it limits nothing. 0: 1 PiB."),
        Setting(
            .mount, "drain", .seconds(\.drain, 0...86_400),
            "How long uploads may go on after a plain umount."),
    ]

    private static let cache: [Setting] = [
        Setting(
            .cache, "directory", .text(\.cacheDirectory, .path), aliases: ["cache_dir", "cache_directory"],
            "Where cached files are. Unset: $XDG_CACHE_HOME/cognitofs (~/.cache/cognitofs); for root "
                + "/var/cache/cognitofs."),
        Setting(
            .cache, "state_directory", .text(\.stateDirectory, .path), aliases: ["state_dir"],
            "Where the sign-in and changes on their way are. Unset: $XDG_STATE_HOME/cognitofs "
                + "(~/.local/state/cognitofs); for root /var/lib/cognitofs."),
        Setting(
            .cache, "size", .size(\.cacheSize, (1 << 20)...(1 << 50)), aliases: ["cache_size"],
            "The most that cached files may take on disk."),
        Setting(
            .cache, "seal", .flag(\.sealCache), aliases: ["seal_cache"],
            "Encrypt cached files and changes on their way. False leaves only a checksum, and what is there stays "
                + "readable after `cognitofs logout`: for measuring, and for disks that are encrypted."),
    ]

    private static let network: [Setting] = [
        Setting(
            .network, "ca_file", .text(\.caFile, .path),
            "A PEM file of certificate authorities to trust instead of the system's."),
        Setting(
            .network, "allow_insecure", .flag(\.allowInsecure),
            "Allow http:// endpoints on other machines. Files and credentials then travel in the clear."),
        Setting(.network, "connections", .count(\.connections, 1...256), "The most connections to one server."),
        Setting(
            .network, "memory", .size(\.memory, (16 << 20)...(1 << 40)),
            "The most memory for buffers, read-ahead and waiting requests."),
    ]
}
