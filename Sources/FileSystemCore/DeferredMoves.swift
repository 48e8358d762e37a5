import ObjectStore

/// Files of renamed directories whose copies are not queued yet.
///
/// A directory is renamed at once, whatever it holds: its clean files are noted here by the keys where their bytes are,
/// and are queued some at a time afterwards (`VolumeState.queueMoves`), or at once when somebody touches one of them. In
/// the journal stands only which directory came from which prefix; what is in it a recovery takes from the base.
struct DeferredMoves: Sendable {
    /// By the key of the bytes.
    private var files: [ObjectKey: InodeNumber] = [:]
    /// The keys in the order in which they are queued; may hold some that are queued already.
    private var order: [ObjectKey] = []
    /// Renamed directories, and the key prefixes of what was in each. Kept until no file is left at all.
    private(set) var origins: [InodeNumber: [KeyPrefix]] = [:]
    /// `queueMoves` is at work.
    var isQueueing = false
    /// Directories whose origin the journal must learn, or forget.
    private var changed: Set<InodeNumber> = []

    var isEmpty: Bool { files.isEmpty }
    var inodes: some Collection<InodeNumber> { files.values }

    func contains(_ key: ObjectKey) -> Bool { files[key] != nil }

    func inode(at key: ObjectKey) -> InodeNumber? { files[key] }

    mutating func add(_ inode: InodeNumber, at key: ObjectKey) {
        files[key] = inode
        order.append(key)
    }

    /// Something in `directory` was below `prefix`.
    mutating func note(_ directory: InodeNumber, from prefix: KeyPrefix) {
        guard origins[directory]?.contains(prefix) != true else { return }
        origins[directory, default: []].append(prefix)
        changed.insert(directory)
    }

    func keys(below prefix: KeyPrefix) -> [ObjectKey] { files.keys.filter { $0.bytes.starts(with: prefix.bytes) } }

    mutating func remove(at key: ObjectKey) -> InodeNumber? {
        let inode = files.removeValue(forKey: key)
        if files.isEmpty {
            changed.formUnion(origins.keys)
            origins = [:]
            order = []
        }
        return inode
    }

    /// The next one that is still deferred.
    mutating func next() -> ObjectKey? {
        while let key = order.popLast() {
            if files[key] != nil { return key }
        }
        return nil
    }

    mutating func takeChanged() -> Set<InodeNumber> {
        defer { changed = [] }
        return changed
    }
}

extension VolumeState {
    /// Queues what a renamed directory still owes, at most `limit` files. False when nothing is left.
    mutating func queueMoves(limit: Int, now: Duration) -> Bool {
        for _ in 0..<limit {
            guard let key = overlay.moves.next() else { break }
            queueMove(at: key, now)
        }
        if overlay.moves.isEmpty { overlay.moves.isQueueing = false }
        return !overlay.moves.isEmpty
    }

    /// Queues the copy of the file whose bytes are at `key`, if it is deferred: somebody is about to change something there.
    mutating func queueMove(at key: ObjectKey, _ now: Duration) {
        guard let inode = overlay.takeMove(at: key), let oldPlace = Place(key) else { return }
        _ = try? moveObject(inode, from: key, oldPlace, now)
    }

    /// A directory takes a prefix over: the bytes that lie below it go first.
    mutating func queueMoves(below prefix: KeyPrefix, _ now: Duration) {
        guard !overlay.moves.isEmpty else { return }
        for key in overlay.moves.keys(below: prefix) { queueMove(at: key, now) }
    }

    /// As `queueMove(at:)`, for the file itself.
    mutating func queueMove(of inode: InodeNumber, _ now: Duration) {
        guard !overlay.moves.isEmpty, let key = tree[unkept: inode]?.file?.location?.key,
            overlay.moves.inode(at: key) == inode
        else { return }
        queueMove(at: key, now)
    }

    func isMoving(_ node: Node) -> Bool {
        guard !overlay.moves.isEmpty, let key = node.file?.location?.key else { return false }
        return overlay.moves.inode(at: key) == node.inode
    }

    /// True for a file of a renamed directory that S3 has as it is, and of which nothing is queued.
    func mayDefer(_ node: Node, from key: ObjectKey) -> Bool {
        guard let file = node.file, file.location?.key == key, !file.isDirty, file.staged == nil, file.writerCount == 0
        else { return false }
        return !node.attributes.isDirty && !overlay.committer.hasIntents(for: key) && unanswered[key] == nil
    }
}

extension Place {
    /// Where a file's key stands.
    init?(_ key: ObjectKey) {
        let start = key.bytes.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
        guard let prefix = KeyPrefix(Array(key.bytes[..<start])), let name = EntryName(key.bytes[start...]) else {
            return nil
        }
        self.init(prefix: prefix, name: name)
    }
}
