import Journal
import ObjectStore

/// One file, directory or symbolic link of the view.
///
/// What belongs to one kind stands in an optional of its own, not in an enum's payload, so that a directory of 100,000
/// names is changed in place.
struct Node: Sendable {
    let inode: InodeNumber
    /// Where it hangs. A detached node (unlinked, or replaced by a foreign version while open) keeps its last place.
    var parent: InodeNumber
    var name: EntryName
    /// False once no name leads here.
    var isLinked = true
    /// How often the kernel was told this inode and has not forgotten it.
    var lookupCount: UInt64 = 0
    /// Set for files and symbolic links.
    var file: FileState?
    /// Set for directories.
    var directory: DirectoryState?
    /// Set for symbolic links whose target has been read.
    var linkTarget: [UInt8]?
    var attributes: NodeAttributes
    /// When S3 was last seen to hold exactly this, apart from a listing of the directory.
    var seenAt: Duration?

    /// Exactly one of file, directory and symbolic link.
    enum Kind: Sendable {
        case file(FileState)
        case directory(DirectoryState)
        case symbolicLink(FileState, target: [UInt8])
    }

    init(inode: InodeNumber, parent: InodeNumber, name: EntryName, kind: Kind, attributes: NodeAttributes) {
        self.inode = inode
        self.parent = parent
        self.name = name
        self.attributes = attributes
        switch kind {
        case .file(let state): file = state
        case .directory(let state): directory = state
        case .symbolicLink(let state, let target):
            file = state
            linkTarget = target
        }
    }

    var isDirectory: Bool { directory != nil }

    var fileType: UInt32 {
        if directory != nil { return FileMode.directory }
        return linkTarget != nil ? FileMode.symbolicLink : FileMode.regular
    }
}

/// The bits of `st_mode` (inode(7)).
enum FileMode {
    static let typeMask: UInt32 = 0o170000
    static let regular: UInt32 = 0o100000
    static let directory: UInt32 = 0o040000
    static let symbolicLink: UInt32 = 0o120000
    static let permissionMask: UInt32 = 0o7777
    static let setUserID: UInt32 = 0o4000
    static let setGroupID: UInt32 = 0o2000
    static let groupExecute: UInt32 = 0o0010
}

/// Attributes as shown, and what is known of the stored ones.
struct NodeAttributes: Sendable {
    /// Permission bits only.
    var permissions: UInt32
    var uid: UInt32
    var gid: UInt32
    var accessed: Timestamp
    var modified: Timestamp
    var changed: Timestamp
    /// Names with their `user.` prefix.
    var xattrs: [String: [UInt8]] = [:]
    /// What S3 keeps beside the bytes; nil until it has been asked.
    var stored: ObjectAttributes?
    /// Changed here since S3 was last told.
    var isDirty = false
    /// Somebody set the modification time on purpose: it is stored even where LastModified would say about the same.
    var hasExplicitTime = false
    /// What was set here: a HEAD that comes later must not take it back.
    var overridden: Fields = []

    struct Fields: OptionSet, Sendable {
        let rawValue: UInt8
        static let mode = Fields(rawValue: 1)
        static let uid = Fields(rawValue: 2)
        static let gid = Fields(rawValue: 4)
        static let time = Fields(rawValue: 8)
        static let all: Fields = [.mode, .uid, .gid, .time]
    }
}

/// The contents of a file: clean bytes on S3, changed bytes staged on this disk, or both.
struct FileState: Sendable {
    /// Bytes.
    var size: Int64
    /// Where the clean bytes are now. Differs from the node's path while a rename has not been committed.
    var location: ObjectVersion?
    /// What the clean bytes are cached under: the version under which they were first seen. A copy on the server gives
    /// them a new location, but the cached blocks stay good.
    var identity: ObjectVersion?
    /// Bytes of the version at `location`, of which a dirty file may use a part.
    var baseSize: Int64 = 0
    /// Changed bytes; nil when there are none.
    var staged: StagedFile?
    /// Rises with each change of contents or size made here.
    var generation: UInt64 = 0
    /// The generation that S3 is known to have.
    var committedGeneration: UInt64 = 0
    var openCount = 0
    /// Open handles that may write.
    var writerCount = 0
    /// An upload in parts that has begun before the file was closed.
    var streaming: StreamingUpload?
    /// The file was closed since: the upload ends with what was closed, and takes no later bytes.
    var isStreamingClosed = false
    /// The upload that takes what is written now.
    var openStreaming: StreamingUpload? { isStreamingClosed ? nil : streaming }
    /// True for an object in an archive tier.
    var isArchived = false

    /// What the last close left, and what the last fsync did: what a crash must find, and what a put sends while somebody
    /// goes on writing. Of no interest once S3 has it.
    var closed: SettledContents?
    var synced: SettledContents?

    /// The disk could not take what the last close left: what is sent is what the contents are when their turn comes.
    var isUnsettled = false

    /// The deletion that waits for the last close of an unlinked file.
    var heldDelete: IntentID?
    /// What the kernel's page cache holds pages of; its pages may be kept at the next open only for the same contents.
    var pages: ObjectVersion?

    init(size: Int64 = 0) { self.size = size }

    /// As S3 has it.
    init(clean object: ObjectSummary) {
        size = object.size
        baseSize = object.size
        location = object.version
        identity = object.version
        isArchived = object.isArchived
    }

    /// As S3 has it, without what was changed since.
    mutating func dropChanges() {
        size = baseSize
        staged = nil
        generation = committedGeneration
    }

    /// The contents differ from what S3 has.
    var isDirty: Bool { generation != committedGeneration }

    var pendingClose: SettledContents? { closed.flatMap { $0.generation > committedGeneration ? $0 : nil } }
    var pendingSync: SettledContents? { synced.flatMap { $0.generation > committedGeneration ? $0 : nil } }
}

/// The contents of a file at a close or an fsync.
struct SettledContents: Sendable {
    /// The file's generation then.
    let generation: UInt64
    /// Bytes.
    let size: Int64
    /// Nil when nothing was staged: an empty file, or bytes that lie elsewhere on S3.
    let staged: Staged?
    /// A close has left these contents too, so they are for everybody. Of interest for those of an fsync.
    var isClosed = false

    /// Behind a reference: most files have none, and there are many nodes.
    final class Staged: Sendable {
        let snapshot: StagedFile.Snapshot
        let name: String
        let point: StagedFile.Point

        init(snapshot: StagedFile.Snapshot, name: String, point: StagedFile.Point) {
            (self.snapshot, self.name, self.point) = (snapshot, name, point)
        }
    }
}

struct DirectoryState: Sendable {
    private(set) var children: [EntryName: InodeNumber] = [:]
    /// Those of the children that are directories, so that nobody has to look at each of many files for them.
    private(set) var subdirectories: Set<InodeNumber> = []
    /// When a complete listing of this directory began, on the volume's clock; nil: never.
    var listedAt: Duration?
    /// How long that took, where it was more than one page of names; else zero.
    var listingTime = Duration.zero
    /// A marker object exists on S3.
    var hasMarker = false
    /// Names that S3 was asked for by themselves and does not have, and when.
    var absentAt: [EntryName: Duration] = [:]
    /// S3 was asked for the attributes that the marker keeps.
    var hasAsked = false
    /// When a directory in this one was last listed, which, and how many were without a pause: signs of a walker.
    var walkedAt: Duration?
    var walkedTo: InodeNumber?
    var walkCount = 0
    /// Lookups that had to ask S3 since the last complete listing.
    var probeCount = 0

    mutating func link(_ inode: InodeNumber, _ name: EntryName, isDirectory: Bool) {
        if let former = children.updateValue(inode, forKey: name) { subdirectories.remove(former) }
        if isDirectory { subdirectories.insert(inode) }
    }

    /// Does nothing where the name is another's by now.
    mutating func unlink(_ inode: InodeNumber, _ name: EntryName) {
        guard children[name] == inode else { return }
        children[name] = nil
        subdirectories.remove(inode)
    }
}
