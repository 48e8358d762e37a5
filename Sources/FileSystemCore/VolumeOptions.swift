import Journal
import ObjectStore

/// What a program may rely on once a call has returned (docs/SEMANTICS.md, "When is it safe").
public enum Durability: String, Sendable {
    /// It outlives this process; after fsync also a power cut. S3 follows.
    case local
    /// S3 has it.
    case remote
}

/// How a volume behaves; fixed while it is mounted.
public struct VolumeOptions: Sendable {
    /// The key prefix of the space.
    public var prefix: KeyPrefix
    /// The owner of everything that has no stored owner.
    public var uid: UInt32
    public var gid: UInt32
    /// Permission bits of files and directories without stored ones.
    public var filePermissions: UInt32 = 0o600
    public var directoryPermissions: UInt32 = 0o700
    /// How old a listing may be before somebody who looks makes a new one.
    public var freshness: Duration = .seconds(5)
    /// Bytes that statfs shows as the size of the space.
    public var quota: UInt64 = 1 << 50
    /// Bytes for what is being fetched and sent.
    public var memory: Int64 = 128 << 20
    public var durability = Durability.local
    /// How long a closed file waits for the next change before it is sent: a save that writes a temporary name and
    /// renames it is one upload of the final name.
    public var quietTime: Duration = .seconds(1)
    /// In the names of conflict files.
    public var hostName = "localhost"
    /// A staged log of fewer bytes is not rewritten. Only the simulator has it otherwise, since its files are small.
    package var smallestCompaction = StagedFile.Store.usualCompaction
    /// Bugs on purpose, none by default, so that the simulator can show that it finds them. Nothing outside this package
    /// can set it.
    package var faults: Set<DeliberateFault> = []

    public init(prefix: KeyPrefix, uid: UInt32, gid: UInt32) {
        self.prefix = prefix
        self.uid = uid
        self.gid = gid
    }
}

/// Time as the volume sees it, so that tests can have their own.
public struct VolumeClock: Sendable {
    /// Never goes back; counts through suspension.
    public var monotonic: @Sendable () -> Duration
    public var wall: @Sendable () -> Timestamp
    /// A number from 0 to 1, for jitter.
    public var random: @Sendable () -> Double
    /// Returns after so long a time, or throws when nothing is to happen any more.
    public var sleep: @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
    /// What runs the volume's tasks; nil for the machine's threads.
    public var executor: (any TaskExecutor)?

    public init(
        monotonic: @escaping @Sendable () -> Duration, wall: @escaping @Sendable () -> Timestamp,
        random: @escaping @Sendable () -> Double
    ) {
        self.monotonic = monotonic
        self.wall = wall
        self.random = random
    }
}
