import Journal
import ObjectStore

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
    init(clean file: ListedFile) {
        size = file.object.size
        baseSize = file.object.size
        location = file.version
        identity = location
        isArchived = file.object.isArchived
    }

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
