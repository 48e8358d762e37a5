/// Where the sign-in, the keys, the cache and the changes on their way of one app are on this machine.
///
/// Each app, that is each pair of user pool and app client, has a directory of its own below the two roots, so that two
/// apps don't mix. Nothing here creates a directory.
public struct StatePaths: Sendable, Equatable {
    /// Below which all apps keep their state.
    public let stateRoot: String
    public let cacheRoot: String
    /// A file name for the app.
    public let profile: String

    /// For the app of `settings`; the roots are those that it sets, or else those of `directories`.
    public init(_ settings: MountSettings, _ directories: Directories) {
        stateRoot = settings.stateDirectory.isEmpty ? directories.stateRoot : settings.stateDirectory
        cacheRoot = settings.cacheDirectory.isEmpty ? directories.cacheRoot : settings.cacheDirectory
        switch settings.credentials {
        case .cognito: profile = Self.fileName(settings.userPoolID + "-" + settings.appClientID)
        case .environment:
            let place = StableHash.hex(settings.s3Endpoint + "\n" + settings.region + "\n" + settings.bucket)
            profile = Self.fileName("environment-" + settings.bucket + "-" + place)
        }
    }

    /// For the app that has `profile` below `stateRoot`.
    public init(stateRoot: String, profile: String, _ directories: Directories) {
        self.stateRoot = stateRoot
        self.profile = profile
        cacheRoot = directories.cacheRoot
    }

    /// The app's own state.
    public var directory: String { stateRoot + "/" + profile }
    /// The sealed sign-in.
    public var session: String { directory + "/session" }
    /// The keys that open the session, the cache and staged files: apart from what they open.
    public var keys: String { stateRoot + "/keys/" + profile }
    /// Staged files and the journal of changes.
    public var journal: String { directory + "/journal" }
    /// Cached blocks.
    public var cache: String { cacheRoot + "/" + profile }

    private static func fileName(_ text: String) -> String {
        String(text.map { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) ? $0 : "_" })
    }
}

/// FNV-1a: a short name for a text, the same in every process. No protection against people who choose texts.
public enum StableHash {
    public static func hex(_ text: String) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
