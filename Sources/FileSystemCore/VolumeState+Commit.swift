import ObjectStore

/// What a write that had no answer would have left.
struct Attempt: Sendable, Equatable {
    static let limit = 8
    /// Whose contents it stores. `nobody`: those of which nothing is left here.
    private(set) var inode: InodeNumber
    /// Bytes.
    let size: Int64
    /// Nil for a copy that keeps its source's.
    let metadata: [String: String]?
    /// A copied version's.
    let eTag: ETag?

    /// The same, of a file that does not stand on it.
    var disowned: Attempt {
        var attempt = self
        attempt.inode = Self.nobody
        return attempt
    }

    var isDisowned: Bool { inode == Self.nobody }

    private static let nobody = InodeNumber(0)

    func made(_ there: ObjectDetails) -> Bool {
        guard there.summary.size == size else { return false }
        return there.summary.version.eTag == eTag || metadata.map { $0 == there.attributes.metadata } ?? false
    }
}

extension VolumeState {
    /// The state of one moment to be stored at an intent's key. Nil when the node is gone, or nothing is left to do.
    mutating func draft(_ inode: InodeNumber, _ intent: Intent) -> Volume.Draft? {
        guard let node = tree[unkept: inode], var file = node.file, node.isLinked || intent.kind == .copy else {
            return nil
        }
        let isClosedOnly = intent.kind == .put && !options.faults.contains(.publishesUnclosed)
        // While somebody writes, what is sent is what was closed.
        let closed = isClosedOnly ? file.pendingClose : nil
        if let closed {
            file.size = closed.size
            file.generation = closed.generation
        } else if isClosedOnly, file.isDirty, !file.isUnsettled {
            // S3 has what was closed, perhaps under another name.
            guard file.location != nil else { return nil }
            file.dropChanges()
        }
        if intent.kind == .put, !file.isDirty, file.location?.key == intent.key { return nil }
        if isSuperseded(intent, node) { return nil }
        var attributes = attributesToStore(node)
        if ContentType.of(node.name) != attributes.contentType, renamesType(node, intent) {
            attributes.contentType = contentType(node)
        }
        return Volume.Draft(
            node: node, file: file, closed: closed, attributes: attributes,
            // What another file of the view holds there is not replaced on the way to somewhere else.
            precondition: isStored(at: intent.place, intent.key, except: inode) ? .absent : precondition(intent.place),
            context: .upload)
    }

    /// The file has gone on to another name, and all of it is to be stored there. Sent to both, it would be at home at the one
    /// whose answer comes last, which may be the one that is deleted next.
    private func isSuperseded(_ intent: Intent, _ node: Node) -> Bool {
        guard intent.kind == .put, node.isLinked, let key = try? tree.key(node.inode), key != intent.key else {
            return false
        }
        if isLastWithBase(intent, node) { return false }
        return overlay.committer.intents(for: key).contains {
            $0.intent.kind == .put && $0.intent.inode == node.inode && $0.intent.id > intent.id
        }
    }

    /// What the changed file stands on is deleted once this is done: nothing that comes later could send it whole, and a power
    /// cut may leave nothing else of it.
    private func isLastWithBase(_ intent: Intent, _ node: Node) -> Bool {
        guard let location = node.file?.location else { return false }
        return overlay.committer.intents(for: location.key).contains {
            $0.intent.kind == .delete && $0.intent.key == location.key && $0.intent.requires == intent.id
        }
    }

    /// The media type followed from the name before, and does so after.
    private func renamesType(_ node: Node, _ intent: Intent) -> Bool {
        guard intent.kind == .copy || intent.source != nil, let source = intent.source,
            let stored = node.attributes.stored, node.linkTarget == nil
        else { return false }
        let name = source.bytes.split(separator: UInt8(ascii: "/")).last.flatMap { EntryName($0) }
        return name.map { ContentType.of($0) } == stored.contentType
    }

    /// A rename gives the file a name whose type differs: worth knowing what is stored.
    func typeChanges(_ inode: InodeNumber, _ intent: Intent) -> Bool {
        guard let node = tree[inode], let source = intent.source, node.linkTarget == nil else { return false }
        let name = source.bytes.split(separator: UInt8(ascii: "/")).last.flatMap { EntryName($0) }
        return name.map { ContentType.of($0) } != ContentType.of(node.name)
    }

    /// True when a file of the view, other than `inode`, is stored at its own name.
    func isStored(at place: Place, _ key: ObjectKey, except inode: InodeNumber? = nil) -> Bool {
        guard let name = place.name, let directory = tree.inode(of: place.prefix),
            let child = tree.child(directory, name)
        else { return false }
        return child.inode != inode && child.file?.location?.key == key
    }

    /// Attributes were to go to S3 with contents that need no sending any more.
    mutating func keepAttributesQueued(_ inode: InodeNumber, now: Duration) {
        if tree[unkept: inode]?.attributes.isDirty == true { try? enqueueMetadata(inode, now: now) }
    }

    /// S3 has the contents of `draft`.
    mutating func stored(_ inode: InodeNumber, _ intent: Intent, _ object: ObjectSummary, _ draft: Volume.Draft) {
        if !options.faults.contains(.keepsOldVersion) { setKnown(intent.place, object) }
        guard let file = tree[inode]?.file else { return }
        // Another put has stored the same or more meanwhile, where the file is now.
        if file.committedGeneration > draft.file.committedGeneration,
            file.committedGeneration >= draft.file.generation, file.location?.key == (try? tree.key(inode))
        {
            return
        }
        let keepsPages = file.pages == nil || file.pages == file.identity
        tree[inode]?.file?.location = object.version
        tree[inode]?.file?.identity = object.version
        tree[inode]?.file?.baseSize = object.size
        tree[inode]?.file?.committedGeneration = draft.file.generation
        if draft.file.generation == file.generation { tree[inode]?.file?.isUnsettled = false }
        if keepsPages { tree[inode]?.file?.pages = object.version }
        noteStored(inode, draft, draft.attributes)
        if draft.file.staged == nil, file.staged == nil, object.size == 0 { tree[inode]?.file?.size = file.size }
    }

    /// S3 has the same bytes at the intent's key.
    mutating func copied(
        _ inode: InodeNumber, _ intent: Intent, _ object: ObjectSummary, _ draft: Volume.Draft,
        _ attributes: ObjectAttributes?
    ) {
        setKnown(intent.place, object)
        // A put that ended meanwhile has stored it elsewhere.
        guard let file = tree[inode]?.file, file.location == draft.file.location else { return }
        tree[inode]?.file?.location = object.version
        if let attributes { noteStored(inode, draft, attributes) }
    }

    mutating func noteStored(_ inode: InodeNumber, _ draft: Volume.Draft, _ attributes: ObjectAttributes) {
        tree[inode]?.attributes.stored = attributes
        guard let node = tree[inode] else { return }
        // Attributes that changed while the request was under way are stored next.
        if attributesToStore(node).metadata == draft.attributes.metadata {
            tree[inode]?.attributes.isDirty = false
        }
    }

    /// Nil when the directory is gone, or needs no marker any more.
    func markerAttributes(_ inode: InodeNumber, _ intent: Intent) -> ObjectAttributes? {
        guard let node = tree[inode], node.isLinked, let directory = node.directory, place(node) == intent.place,
            node.attributes.isDirty || (!directory.hasMarker && !isHeldUp(directory))
        else { return nil }
        return attributesToStore(node)
    }

    /// True when something below a directory is on S3 or on its way there, so that the directory exists without a marker.
    /// A file that nobody has closed may never get there.
    func isHeldUp(_ directory: DirectoryState) -> Bool {
        directory.children.values.contains { child in
            guard let node = tree[child] else { return false }
            if let file = node.file { return file.location != nil || file.pendingClose != nil }
            guard let below = node.directory else { return false }
            return below.hasMarker || isQueued(node) || isHeldUp(below)
        }
    }
}
