import Bytes
import Synchronization

/// A bucket in memory with S3's conditional semantics: the double for tests and simulations of all that stands on an
/// `ObjectStore`. Calls never suspend, so a run with it is repeatable; wrap it in `FaultyObjectStore` for trouble.
///
/// Beside the protocol it offers what a test needs: the log of calls, what is stored, and a foreign writer's hand.
public final class InMemoryObjectStore: ObjectStore {
    /// What is kept under a key.
    public struct StoredObject: Hashable, Sendable {
        public var bytes: [UInt8]
        public var eTag: ETag
        public var attributes: ObjectAttributes
        /// Seconds since 1970.
        public var lastModified: Int64
        public var isArchived: Bool
    }

    struct PartialUpload {
        var key: ObjectKey
        var attributes: ObjectAttributes
        var parts: [PartNumber: (bytes: [UInt8], eTag: ETag)] = [:]
    }

    /// Everything; the lock is held for one whole call, so each call is atomic.
    struct State {
        var objects: [ObjectKey: StoredObject] = [:]
        /// The keys of `objects`, in byte order.
        var keys: [ObjectKey] = []
        var uploads: [String: PartialUpload] = [:]
        /// Uploads that became objects: completing one again is a success, as on S3.
        var completed: [String: ETag] = [:]
        var uploadCount = 0
        var log: [StoreCall] = []
    }

    /// The log keeps the last so many calls.
    public static let longestLog = 100_000

    let state = Mutex(State())
    /// All parts but the last must have it; S3's is 5 MiB.
    let minimumPartSize: Int
    private let now: @Sendable () -> Int64

    /// `now` gives the time that new objects get as LastModified, in seconds since 1970.
    public init(minimumPartSize: Int = 5 << 20, now: @escaping @Sendable () -> Int64 = { 1_800_000_000 }) {
        self.minimumPartSize = minimumPartSize
        self.now = now
    }

    /// Begins a call: it is logged, and a cancelled task gets no further.
    func begin(_ call: StoreCall) throws(ObjectStoreError) {
        if Task.isCancelled { throw ObjectStoreError(.cancelled, "\(call): cancelled.") }
        state.withLock { state in
            if state.log.count == Self.longestLog { state.log.removeFirst(Self.longestLog / 2) }
            state.log.append(call)
        }
    }

    func newObject(_ bytes: [UInt8], _ attributes: ObjectAttributes, eTag: ETag? = nil) -> StoredObject {
        StoredObject(
            bytes: bytes, eTag: eTag ?? Self.eTag(of: bytes), attributes: attributes, lastModified: now(),
            isArchived: false)
    }

    /// Equal bytes have equal tags, as on S3.
    static func eTag(of bytes: [UInt8]) -> ETag {
        let slice = ByteSlice(bytes)
        return ETag("\(Hex.encode(CRC64NVME(slice).base64.utf8.map { $0 }))\(CRC32C(slice).value)")
    }
}

// MARK: - What a test may look at and do

extension InMemoryObjectStore {
    /// The calls so far, oldest first.
    public var calls: [StoreCall] { state.withLock { $0.log } }

    public func callCount(_ kind: StoreCall.Kind) -> Int { calls.count { $0.kind == kind } }

    public func forgetCalls() { state.withLock { $0.log = [] } }

    public var keys: [ObjectKey] { state.withLock { $0.keys } }

    public func object(_ key: ObjectKey) -> StoredObject? { state.withLock { $0.objects[key] } }

    /// Uploads that were begun and neither completed nor aborted.
    public var openUploads: Int { state.withLock { $0.uploads.count } }

    /// Another device writes: no precondition, no log entry.
    @discardableResult
    public func foreignPut(
        _ key: ObjectKey, _ bytes: [UInt8],
        _ attributes: ObjectAttributes = ObjectAttributes(contentType: "application/octet-stream")
    ) -> ETag {
        let object = newObject(bytes, attributes)
        state.withLock { $0.store(object, at: key) }
        return object.eTag
    }

    /// Another device deletes.
    public func foreignDelete(_ key: ObjectKey) { state.withLock { $0.remove(key) } }

    /// The bucket's lifecycle moves the object to an archive tier.
    public func archive(_ key: ObjectKey) { state.withLock { $0.objects[key]?.isArchived = true } }

    /// The bucket's lifecycle aborts all uploads.
    public func expireUploads() { state.withLock { $0.uploads = [:] } }
}

extension InMemoryObjectStore.State {
    /// Where `key` stands or would stand in `keys`.
    func position(_ key: ObjectKey) -> Int {
        var (low, high) = (0, keys.count)
        while low < high {
            let middle = (low + high) / 2
            if keys[middle] < key { low = middle + 1 } else { high = middle }
        }
        return low
    }

    mutating func store(_ object: InMemoryObjectStore.StoredObject, at key: ObjectKey) {
        if objects.updateValue(object, forKey: key) == nil { keys.insert(key, at: position(key)) }
    }

    mutating func remove(_ key: ObjectKey) {
        if objects.removeValue(forKey: key) != nil { keys.remove(at: position(key)) }
    }

    /// The tag of the object that is there when a write may go on; throws when it may not. A write whose bytes and
    /// telling metadata are there already is its own echo, and succeeds (see `ObjectStore.put`).
    func echo(
        of bytes: [UInt8], _ metadata: [String: String], at key: ObjectKey, _ precondition: Precondition
    ) throws(ObjectStoreError) -> ETag? {
        let there = objects[key]
        switch (precondition, there?.eTag) {
        case (.none, _), (.absent, nil): return nil
        case (.matches(let wanted), .some(let there)) where wanted == there: return nil
        case (.absent, .some), (.matches, _):
            if let there, !metadata.isEmpty, there.bytes == bytes, there.attributes.metadata == metadata {
                return there.eTag
            }
            throw ObjectStoreError(.preconditionFailed, "Cannot write \(key): somebody else changed it.")
        }
    }
}
