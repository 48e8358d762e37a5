/// Everything that can be set for a mount: `mount.conf`, then `-o` options and flags over it.
///
/// `mount.example.conf` explains each with its default and unit; a test keeps the two the same.
public struct MountSettings: Sendable, Equatable {
    public enum Durability: String, Sendable, CaseIterable { case local, remote }
    public enum CredentialsKind: String, Sendable, CaseIterable { case cognito, environment }

    // [app]: the Cognito and S3 of the app. Empty where a mount does without (credentials from the environment).
    public var userPoolID = ""
    public var appClientID = ""
    /// Only for app clients that have one.
    public var appClientSecret = ""
    public var identityPoolID = ""
    public var bucket = ""
    /// The bucket's region.
    public var region = ""
    /// `{identity_id}` is replaced by the user's.
    public var prefix = "private/{identity_id}/images/"
    /// Empty: AWS's own by region.
    public var s3Endpoint = ""
    public var userPoolEndpoint = ""
    public var identityPoolEndpoint = ""
    /// Key in the bucket's path instead of the host name; always so with `s3Endpoint`.
    public var pathStyle = false
    public var credentials = CredentialsKind.cognito

    // [mount]
    public var durability = Durability.local
    /// Seconds that a listing may be old.
    public var freshness: Double = 5
    /// Permission bits taken away from files and directories without stored ones; nil: 0600 and 0700.
    public var umask: UInt32?
    public var uid: UInt32?
    public var gid: UInt32?
    public var allowOther = false
    public var readOnly = false
    /// Bytes that statfs shows as the size of the space; 0: 1 PiB.
    public var quota: Int64 = 0
    /// Seconds that the daemon stays after a plain umount to finish uploads.
    public var drain: Double = 600

    // [cache]
    /// Empty: $XDG_CACHE_HOME/cognitofs, /var/cache/cognitofs for root.
    public var cacheDirectory = ""
    /// Empty: $XDG_STATE_HOME/cognitofs, /var/lib/cognitofs for root.
    public var stateDirectory = ""
    /// Hard limit for clean cached bytes.
    public var cacheSize: Int64 = 10 << 30
    /// False: CRC-32C instead of encryption, for measuring and encrypted disks.
    public var sealCache = true

    // [network]
    /// PEM file of authorities to trust instead of the system's.
    public var caFile = ""
    /// Allow http:// endpoints that are not on this machine.
    public var allowInsecure = false
    /// Connections per host.
    public var connections = 16
    /// Bytes for buffers, windows and waiting requests.
    public var memory: Int64 = 128 << 20

    // Not settings: what mount(8) hands through.
    /// Options of the mount itself that the kernel carries out, such as `noexec` or `noatime`, in the order given.
    public var kernelOptions: [String] = []

    public init() {}
}
