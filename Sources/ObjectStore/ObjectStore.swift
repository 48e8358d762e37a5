import Bytes

/// A bucket, as the file system needs it. S3 is one; the doubles for tests are others.
///
/// Every call may be cancelled by cancelling its task: it then throws `.cancelled` soon and has either happened whole
/// or not at all. Calls retry transient faults by themselves inside the budget that `deadline` sets.
public protocol ObjectStore: Sendable {
    /// One page of the keys under a prefix, in byte order.
    func list(_ request: ListRequest, _ context: RequestContext) async throws(ObjectStoreError) -> ListPage

    /// What a known object is, without its bytes. Never use its failure to decide whether an object exists: a caller
    /// that may not list gets 403 for a missing key. Use `list`.
    func head(_ key: ObjectKey, _ context: RequestContext) async throws(ObjectStoreError) -> ObjectDetails

    /// Reads `range` of exactly that version into the beginning of `buffer` (capacity at least `range.count`).
    ///
    /// `progress` is called, in order and maybe on another thread, with the number of bytes valid so far from the
    /// start of the buffer; it only ever grows, and a retry inside the call never rewrites what was announced.
    /// Returns the number of bytes read, less than asked only where the object ends.
    /// Throws `.preconditionFailed` when the object is another version now, `.notFound` when it is gone.
    func get(
        _ version: ObjectVersion, range: Range<Int64>, into buffer: ByteBuffer, _ context: RequestContext,
        progress: @escaping @Sendable (Int) -> Void
    ) async throws(ObjectStoreError) -> Int

    /// Stores one object whole. An answer that was lost is resolved inside: the call reports success only for a version
    /// that is known to be this one.
    /// A write that fails its precondition because the very same bytes and (non-empty) metadata are there already is
    /// taken for the echo of an earlier write of the same, whose answer was lost, and succeeds. `copy` does likewise.
    func put(
        _ key: ObjectKey, _ body: ByteSlice, _ attributes: ObjectAttributes, _ precondition: Precondition,
        _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag

    /// Copies `source` on the server; over 5 GiB in parts. `attributes` nil keeps the source's own.
    /// Throws `.notFound` or `.sourceChanged` when the source is no longer that version, `.preconditionFailed` when the
    /// destination is not what the precondition says.
    func copy(
        _ source: ObjectVersion, size: Int64, to key: ObjectKey, _ attributes: ObjectAttributes?,
        _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag

    /// Deletes one object; deleting what is not there is a success.
    func delete(
        _ key: ObjectKey, _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError)

    /// Begins an upload in parts. `context` of the single parts may differ.
    func createUpload(
        _ key: ObjectKey, _ attributes: ObjectAttributes, _ context: RequestContext
    ) async throws(ObjectStoreError) -> Upload

    /// Sends one part; sending a part number again replaces the part. All parts but the last are 5 MiB or more.
    func uploadPart(
        _ upload: Upload, _ number: PartNumber, _ body: ByteSlice, _ context: RequestContext
    ) async throws(ObjectStoreError) -> UploadedPart

    /// Makes a part from bytes of an object that is on the server already.
    func copyPart(
        _ upload: Upload, _ number: PartNumber, from source: ObjectVersion, range: Range<Int64>,
        _ context: RequestContext
    ) async throws(ObjectStoreError) -> UploadedPart

    /// Turns the parts, in ascending order, into the object. A lost answer is resolved as for `put`.
    func completeUpload(
        _ upload: Upload, _ parts: [UploadedPart], _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag

    /// Gives the parts up. Best effort: the user's role may not be allowed to, and the bucket's lifecycle rule cleans up.
    func abortUpload(_ upload: Upload, _ context: RequestContext) async
}

/// What a call needs to know about its caller.
public struct RequestContext: Sendable {
    /// Which requests go first when connections are scarce, most urgent first.
    public enum Priority: Int, Comparable, Sendable, CaseIterable {
        case demandRead, metadata, upload, prefetch
        public static func < (a: Priority, b: Priority) -> Bool { a.rawValue < b.rawValue }
    }

    public var priority: Priority
    /// How long the call may take in all, retries included. For transfers of data it bounds the time without progress.
    public var patience: Duration
    /// The object's size in bytes, where the caller of `get` knows it. A read of the whole object is then checked against
    /// the checksum that the store keeps, and nothing is announced before it was.
    public var objectSize: Int64?
    /// Told once by `get`, where the answer says it, what is stored beside the bytes: it needs no HEAD then.
    public var noteAttributes: (@Sendable (ObjectAttributes) -> Void)?

    public init(priority: Priority, patience: Duration) {
        self.priority = priority
        self.patience = patience
    }

    /// Ten seconds in all (docs/SEMANTICS.md, "Without a network").
    public static let metadata = RequestContext(priority: .metadata, patience: .seconds(10))
    /// Thirty seconds without progress (docs/SEMANTICS.md, "Without a network").
    public static let demandRead = RequestContext(priority: .demandRead, patience: .seconds(30))
    public static let upload = RequestContext(priority: .upload, patience: .seconds(30))
    public static let prefetch = RequestContext(priority: .prefetch, patience: .seconds(30))
}

/// What a write demands of the object that it replaces.
public enum Precondition: Hashable, Sendable {
    /// Nothing: last writer wins. Only for what nobody else can have written.
    case none
    /// No object is there (`If-None-Match: *`).
    case absent
    /// The object is this version (`If-Match`).
    case matches(ETag)
}

public struct ListRequest: Hashable, Sendable {
    public var prefix: [UInt8]
    /// True: keys below a further `/` come as common prefixes. False: all keys, flat.
    public var delimited: Bool
    public var startAfter: ObjectKey?
    public var continuation: String?
    /// At most 1000 (S3's limit); common prefixes count too.
    public var maxKeys: Int

    public init(
        prefix: [UInt8], delimited: Bool, startAfter: ObjectKey? = nil, continuation: String? = nil, maxKeys: Int = 1000
    ) {
        self.prefix = prefix
        self.delimited = delimited
        self.startAfter = startAfter
        self.continuation = continuation
        self.maxKeys = maxKeys
    }
}

public struct ListPage: Sendable {
    public var objects: [ObjectSummary]
    /// Each ends in `/`.
    public var commonPrefixes: [[UInt8]]
    /// Pass it in the next request; nil when this was the last page.
    public var continuation: String?

    public init(objects: [ObjectSummary], commonPrefixes: [[UInt8]], continuation: String?) {
        self.objects = objects
        self.commonPrefixes = commonPrefixes
        self.continuation = continuation
    }
}

/// A listed object.
public struct ObjectSummary: Hashable, Sendable {
    public var version: ObjectVersion
    /// Bytes.
    public var size: Int64
    /// Seconds since 1970, whole (HTTP's resolution).
    public var lastModified: Int64
    /// True for a storage class whose bytes cannot be read at once (GLACIER, DEEP_ARCHIVE).
    public var isArchived: Bool

    public init(version: ObjectVersion, size: Int64, lastModified: Int64, isArchived: Bool = false) {
        self.version = version
        self.size = size
        self.lastModified = lastModified
        self.isArchived = isArchived
    }
}

/// What HEAD tells.
public struct ObjectDetails: Sendable {
    public var summary: ObjectSummary
    public var attributes: ObjectAttributes

    public init(summary: ObjectSummary, attributes: ObjectAttributes) {
        self.summary = summary
        self.attributes = attributes
    }
}

/// What is stored beside an object's bytes and must survive a rewrite, a rename and a copy.
public struct ObjectAttributes: Hashable, Sendable {
    public var contentType: String
    /// `Cache-Control`, `Content-Disposition`, `Content-Encoding`, `Content-Language`, `Expires` and
    /// `x-amz-website-redirect-location`, where set; names in lower case.
    public var headers: [String: String]
    /// User metadata: names in lower case and without `x-amz-meta-`.
    public var metadata: [String: String]

    public init(contentType: String, headers: [String: String] = [:], metadata: [String: String] = [:]) {
        self.contentType = contentType
        self.headers = headers
        self.metadata = metadata
    }
}

/// 1 to 10,000.
public struct PartNumber: Hashable, Comparable, Sendable {
    public static let maximum = 10_000
    public let value: Int

    public init?(_ value: Int) {
        guard (1...Self.maximum).contains(value) else { return nil }
        self.value = value
    }

    public static func < (a: PartNumber, b: PartNumber) -> Bool { a.value < b.value }
}

/// An upload in parts that has begun.
public struct Upload: Hashable, Sendable {
    public let key: ObjectKey
    public let id: String

    public init(key: ObjectKey, id: String) {
        self.key = key
        self.id = id
    }
}

public struct UploadedPart: Hashable, Sendable {
    public let number: PartNumber
    public let eTag: ETag
    /// The part's size in bytes.
    public let size: Int64
    /// CRC-32C of the part as the server confirmed it; nil where the server keeps none.
    public let crc32c: UInt32?

    public init(number: PartNumber, eTag: ETag, size: Int64, crc32c: UInt32?) {
        self.number = number
        self.eTag = eTag
        self.size = size
        self.crc32c = crc32c
    }
}
