/// What a command asks of a running mount, over its control socket.
///
/// A frame is a length of four bytes, big-endian, then that many bytes of JSON. A client sends one request at a time; the
/// answer is any number of `progress` replies and then one other.
public enum ControlRequest: Codable, Sendable, Equatable {
    /// Is anybody there? Answered by `done`.
    case ping
    /// Answered by `status`.
    case status
    /// Wait until S3 has everything, or everything at and below `path`, which is relative to the mount point. Answered by
    /// `progress` as it goes, then `done`.
    case sync(path: String?)
    /// How much is still to be uploaded. Answered by one `progress`, then `done`.
    case unmountProgress
    /// Try again what S3 refused at and below `path`, relative to the mount point and empty for everything. Answered by
    /// `retried`.
    case retry(path: String)
    /// Give up the changes at and below `path`. `isRehearsal`: only tell what that would be. Answered by `givenUp`.
    case discard(path: String, isRehearsal: Bool)
    /// Once unmounted, end without waiting for uploads: the next mount goes on with them. Answered by `done`.
    case yield
}

public enum ControlReply: Codable, Sendable, Equatable {
    case done
    case status(MountStatus)
    case retried(Int)
    case givenUp(GivenUpChanges)
    case progress(SyncProgress)
    case failed(kind: MountFailure.Kind, message: String)
}

/// Changes that are, or would be, given up.
public struct GivenUpChanges: Codable, Sendable, Equatable {
    /// The most that are told one by one.
    public static let mostShown = 100

    public struct Change: Codable, Sendable, Equatable {
        public var path: String
        /// `contents`, `name`, `attributes`, `directory` or `deletion`.
        public var kind: String
        /// Bytes of contents that S3 does not have.
        public var bytes: Int64

        public init(path: String, kind: String, bytes: Int64) {
            self.path = path
            self.kind = kind
            self.bytes = bytes
        }
    }

    public var count: Int
    public var bytes: Int64
    /// The first of them.
    public var changes: [Change]

    public init(_ changes: [Change]) {
        count = changes.count
        bytes = changes.reduce(0) { $0 + $1.bytes }
        self.changes = Array(changes.prefix(Self.mostShown))
    }
}

/// How far the upload of what is waiting has come.
public struct SyncProgress: Codable, Sendable, Equatable {
    /// Changes that S3 doesn't have yet.
    public var pendingChanges: Int
    /// Bytes of file content still to go.
    public var pendingBytes: Int64
    /// Bytes of file content that went since the request began.
    public var sentBytes: Int64
    /// The file that is going, relative to the mount point.
    public var current: String?
    /// Changes that S3 refuses for good.
    public var failedChanges: Int
    /// Why nothing goes, if nothing does.
    public var state: MountStatus.State

    public init(
        pendingChanges: Int, pendingBytes: Int64, sentBytes: Int64, current: String? = nil, failedChanges: Int = 0,
        state: MountStatus.State = .mounted
    ) {
        self.pendingChanges = pendingChanges
        self.pendingBytes = pendingBytes
        self.sentBytes = sentBytes
        self.current = current
        self.failedChanges = failedChanges
        self.state = state
    }
}

/// What `cognitofs status` shows of one mount.
public struct MountStatus: Codable, Sendable, Equatable {
    public enum State: String, Codable, Sendable, CaseIterable {
        case mounted
        /// The session is over; what needs S3 fails until somebody signs in.
        case needsSignIn
        case offline
        /// Unmounted, and finishing its uploads.
        case draining
    }

    /// A file on its way to S3.
    public struct Upload: Codable, Sendable, Equatable {
        public var path: String
        /// Sent so far, of `total`.
        public var bytes: Int64
        public var total: Int64

        public init(path: String, bytes: Int64, total: Int64) {
            self.path = path
            self.bytes = bytes
            self.total = total
        }
    }

    /// A change that S3 refused for good.
    public struct FailedChange: Codable, Sendable, Equatable {
        public var path: String
        /// `contents`, `name`, `attributes`, `directory` or `deletion`.
        public var kind: String
        /// The former name, for a new one.
        public var source: String?
        public var reason: String

        public init(path: String, kind: String, source: String? = nil, reason: String) {
            self.path = path
            self.kind = kind
            self.source = source
            self.reason = reason
        }
    }

    /// What could not be read back from this disk.
    public struct Aside: Codable, Sendable, Equatable {
        /// From the root.
        public var path: String
        public var bytes: Int64

        public init(path: String, bytes: Int64) {
            self.path = path
            self.bytes = bytes
        }
    }

    /// A file that was synced and never closed.
    public struct UnclosedFile: Codable, Sendable, Equatable {
        public var path: String
        public var bytes: Int64

        public init(path: String, bytes: Int64) {
            self.path = path
            self.bytes = bytes
        }
    }

    public var mountPoint: String
    /// As it stands in the list of mounts.
    public var source: String
    /// Empty for credentials from the environment, as is `identityID`.
    public var user: String
    public var identityID: String
    /// `s3://BUCKET/PREFIX`.
    public var space: String
    public var state: State
    public var cacheBytes: Int64
    public var cacheLimit: Int64
    /// Changes that S3 doesn't have yet.
    public var pending: Int
    /// Bytes of file content that S3 doesn't have yet.
    public var pendingBytes: Int64
    public var uploading: [Upload]
    /// The first of the changes that S3 refused.
    public var failed: [FailedChange]
    public var failedCount: Int
    /// The first of the files that a crash kept from being closed: synced, and on this machine only.
    public var unclosed: [UnclosedFile]
    public var unclosedCount: Int
    /// Journals and logs of changed files that could not be read back.
    public var asides: [Aside]
    /// Why the disk takes no more changes; nil while it does.
    public var diskTrouble: String?
    /// The directory of the journal that this mount holds.
    public var journal: String
    /// Keys that can't be names, and so aren't shown.
    public var hidden: Int
    public var lastError: String?
    public var pid: Int32
    public var version: String

    public init(
        mountPoint: String, source: String, user: String, identityID: String, space: String, state: State,
        cacheBytes: Int64, cacheLimit: Int64, pending: Int, pendingBytes: Int64 = 0, uploading: [Upload],
        failed: [FailedChange], failedCount: Int? = nil, unclosed: [UnclosedFile] = [], unclosedCount: Int? = nil,
        asides: [Aside] = [], diskTrouble: String? = nil, journal: String = "", hidden: Int,
        lastError: String?, pid: Int32, version: String
    ) {
        self.mountPoint = mountPoint
        self.source = source
        self.user = user
        self.identityID = identityID
        self.space = space
        self.state = state
        self.cacheBytes = cacheBytes
        self.cacheLimit = cacheLimit
        self.pending = pending
        self.pendingBytes = pendingBytes
        self.uploading = uploading
        self.failed = failed
        self.failedCount = failedCount ?? failed.count
        self.unclosed = unclosed
        self.unclosedCount = unclosedCount ?? unclosed.count
        self.asides = asides
        self.diskTrouble = diskTrouble
        self.journal = journal
        self.hidden = hidden
        self.lastError = lastError
        self.pid = pid
        self.version = version
    }
}
