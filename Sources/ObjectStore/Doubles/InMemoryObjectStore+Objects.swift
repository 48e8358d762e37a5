import Bytes
import Synchronization

extension InMemoryObjectStore {
    public func head(
        _ key: ObjectKey, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ObjectDetails {
        try begin(StoreCall(.head, "\(key)"))
        guard let object = object(key) else { throw Self.missing(key) }
        return ObjectDetails(summary: Self.summary(key, object), attributes: object.attributes)
    }

    public func get(
        _ version: ObjectVersion, range: Range<Int64>, into buffer: ByteBuffer, _ context: RequestContext,
        progress: @escaping @Sendable (Int) -> Void
    ) async throws(ObjectStoreError) -> Int {
        precondition(range.lowerBound >= 0 && buffer.capacity >= range.count, "the range does not fit the buffer")
        try begin(StoreCall(.get, "\(version.key)", byteCount: range.count))
        guard let object = object(version.key) else { throw Self.missing(version.key) }
        guard object.eTag == version.eTag else {
            throw ObjectStoreError(.preconditionFailed, "Cannot read \(version.key): somebody else changed it.")
        }
        if object.isArchived { throw ObjectStoreError(.archived, "Cannot read \(version.key): it is archived.") }
        let end = min(range.upperBound, Int64(object.bytes.count))
        guard range.lowerBound < end else { return 0 }
        let found = object.bytes[Int(range.lowerBound)..<Int(end)]
        buffer.writable.copyBytes(from: found)
        // In two steps, so that whoever listens meets a beginning that is not the whole.
        if found.count > 1 { progress(found.count / 2) }
        progress(found.count)
        return found.count
    }

    public func put(
        _ key: ObjectKey, _ body: ByteSlice, _ attributes: ObjectAttributes, _ precondition: Precondition,
        _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        try begin(StoreCall(.put, "\(key)", byteCount: body.count))
        try Self.checkMetadata(attributes, key)
        let object = newObject(body.array(), attributes)
        return try state.withLock { state throws(ObjectStoreError) in
            if let echo = try state.echo(of: object.bytes, attributes.metadata, at: key, precondition) { return echo }
            state.store(object, at: key)
            return object.eTag
        }
    }

    public func copy(
        _ source: ObjectVersion, size: Int64, to key: ObjectKey, _ attributes: ObjectAttributes?,
        _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ETag {
        try begin(StoreCall(.copy, "\(key)"))
        if let attributes { try Self.checkMetadata(attributes, key) }
        return try state.withLock { state throws(ObjectStoreError) in
            guard let original = state.objects[source.key] else { throw Self.missing(source.key) }
            guard original.eTag == source.eTag else {
                throw ObjectStoreError(.sourceChanged, "Cannot copy \(source.key): somebody else changed it.")
            }
            if original.isArchived { throw ObjectStoreError(.archived, "Cannot copy \(source.key): it is archived.") }
            let copy = newObject(original.bytes, attributes ?? original.attributes)
            if let echo = try state.echo(of: copy.bytes, copy.attributes.metadata, at: key, precondition) {
                return echo
            }
            state.store(copy, at: key)
            return copy.eTag
        }
    }

    public func delete(
        _ key: ObjectKey, _ precondition: Precondition, _ context: RequestContext
    ) async throws(ObjectStoreError) {
        try begin(StoreCall(.delete, "\(key)"))
        try state.withLock { state throws(ObjectStoreError) in
            guard let there = state.objects[key] else { return }
            let isAllowed =
                switch precondition {
                case .none: true
                case .absent: false
                case .matches(let eTag): eTag == there.eTag
                }
            guard isAllowed else {
                throw ObjectStoreError(.preconditionFailed, "Cannot delete \(key): somebody else changed it.")
            }
            state.remove(key)
        }
    }

    static func summary(_ key: ObjectKey, _ object: StoredObject) -> ObjectSummary {
        ObjectSummary(
            version: ObjectVersion(key: key, eTag: object.eTag), size: Int64(object.bytes.count),
            lastModified: object.lastModified, isArchived: object.isArchived)
    }

    static func missing(_ key: ObjectKey) -> ObjectStoreError {
        ObjectStoreError(.notFound, "There is no object \(key).")
    }

    /// S3 keeps 2 KB of names and values.
    static func checkMetadata(_ attributes: ObjectAttributes, _ key: ObjectKey) throws(ObjectStoreError) {
        let size = attributes.metadata.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        guard size <= 2048 else {
            throw ObjectStoreError(.tooLarge, "Cannot write \(key): its metadata takes \(size) bytes of 2048.")
        }
    }
}
