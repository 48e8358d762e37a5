import ObjectStore
import SystemPackage

/// Everything that a volume's lock guards: base, overlay, view, and what is open.
///
/// No method here does I/O, waits or calls out; what is to be done outside the lock is collected in `overlay.actions`
/// and `notices` and done by `Volume.change`.
struct VolumeState: Sendable {
    var base: Base
    var overlay: Overlay
    var tree: Tree
    var handles: [FileHandle: OpenFile] = [:]
    var streams: [FileHandle: DirectoryStream] = [:]
    /// Who waits for which intent.
    var latches: [IntentID: [Latch<Void>]] = [:]
    /// Changes that the call which made them still waits for: should S3 refuse one, the call says so.
    var callers: Set<IntentID> = []
    /// Writes without an answer, the last few of each key: whether S3 has what they sent is not known.
    private(set) var unanswered: [ObjectKey: [Attempt]] = [:]
    /// Keys whose attempts have changed.
    private var changedAttempts: Set<ObjectKey> = []
    /// Uploads in parts, as far as the journal is to know them.
    private(set) var keptUploads: [InodeNumber: KeptUpload] = [:]
    private var changedUploads: Set<InodeNumber> = []
    /// Nodes that stand in the journal.
    private var keptNodes: Set<InodeNumber> = []
    /// Those of before the last rewrite of the journal, which stand in it still where that fails.
    private var leftNodes: Set<InodeNumber> = []
    /// Listings under way, by directory.
    var loads: [InodeNumber: Latch<Void>] = [:]
    /// Flat listings under way, by the directory at their top.
    var walks: [InodeNumber: Latch<Void>] = [:]
    /// Who reads small files one after another.
    var neighbours = Neighbours()
    /// What the kernel must be told.
    var notices: [Notice] = []
    /// S3 refused to list: names are found by asking for them.
    var isBlind = false
    var lastError: ObjectStoreError?
    private var nextHandle: UInt64 = 1
    let options: VolumeOptions

    init(options: VolumeOptions, now: Timestamp) {
        self.options = options
        base = Base(root: options.prefix)
        overlay = Overlay(committer: Committer(ignoresOrder: options.faults.contains(.ignoresOrder)))
        tree = Tree(
            prefix: options.prefix,
            rootAttributes: Self.attributes(options, isDirectory: true, modified: now))
    }

    /// An open file. Reads and writes of one handle find their node through it.
    struct OpenFile: Sendable {
        let inode: InodeNumber
        let mayWrite: Bool
        /// The thread that opened it.
        let pid: Int32
        var readAhead = ReadAhead()
        /// Pinned in the disk cache while open.
        let pinned: ObjectVersion?
    }

    /// One reader's view of a directory.
    struct DirectoryStream: Sendable {
        let inode: InodeNumber
        /// What it shows, as it was at the first read or the last rewind; nil before.
        var entries: [(name: EntryName, inode: InodeNumber)]?
    }

    enum Notice: Sendable {
        case entry(InodeNumber, EntryName)
        case deleted(InodeNumber, InodeNumber, EntryName)
        case inode(InodeNumber, data: Bool)
    }

    mutating func newHandle() -> FileHandle {
        defer { nextHandle += 1 }
        return FileHandle(nextHandle)
    }

    static func attributes(_ options: VolumeOptions, isDirectory: Bool, modified: Timestamp) -> NodeAttributes {
        NodeAttributes(
            permissions: isDirectory ? options.directoryPermissions : options.filePermissions, uid: options.uid,
            gid: options.gid, accessed: modified, modified: modified, changed: modified)
    }

    // MARK: What the journal keeps

    /// A write is about to be sent, or has ended without an answer. False for one more like the last.
    mutating func remember(_ attempt: Attempt, at key: ObjectKey) -> Bool {
        // Many that fail, one after another, must not displace what an earlier one has left.
        if options.faults.contains(.forgetsAttempts) || unanswered[key]?.last == attempt { return false }
        unanswered[key, default: []].append(attempt)
        if (unanswered[key]?.count ?? 0) > Attempt.limit { unanswered[key]?.removeFirst() }
        changedAttempts.insert(key)
        return true
    }

    /// It is known what S3 has at `key`.
    mutating func forgetAttempts(at key: ObjectKey) {
        if unanswered.removeValue(forKey: key) != nil { changedAttempts.insert(key) }
    }

    /// S3 has what `own` has left, and nothing of those before it.
    mutating func forgetAttempts(at key: ObjectKey, through own: Attempt) {
        guard let index = unanswered[key]?.lastIndex(of: own) else { return }
        unanswered[key]?.removeFirst(index + 1)
        if unanswered[key]?.isEmpty == true { unanswered[key] = nil }
        changedAttempts.insert(key)
    }

    /// The newest attempt had no effect: S3 said so.
    mutating func forgetLastAttempt(at key: ObjectKey) {
        guard unanswered[key] != nil else { return }
        unanswered[key]?.removeLast()
        if unanswered[key]?.isEmpty == true { unanswered[key] = nil }
        changedAttempts.insert(key)
    }

    /// How far an upload in parts has come.
    mutating func keep(_ upload: KeptUpload, _ inode: InodeNumber) {
        guard tree[unkept: inode]?.file?.streaming?.key == upload.upload.key else { return }
        keptUploads[inode] = upload
        changedUploads.insert(inode)
    }

    /// An upload has ended, or was given up.
    mutating func forgetUpload(_ inode: InodeNumber, _ upload: StreamingUpload?) {
        if let upload, tree[unkept: inode]?.file?.streaming === upload {
            tree[unkept: inode]?.file?.streaming = nil
            tree[unkept: inode]?.file?.isStreamingClosed = false
        }
        if keptUploads.removeValue(forKey: inode) != nil { changedUploads.insert(inode) }
    }

    /// The journal speaks of an upload that nobody wants any more.
    mutating func restoreForgotten(upload inode: InodeNumber) { changedUploads.insert(inode) }

    /// The upload of a file's contents to `key` that has begun; one to another key is given up.
    mutating func takeStreaming(_ inode: InodeNumber, _ key: ObjectKey) -> StreamingUpload? {
        guard let streaming = tree[unkept: inode]?.file?.streaming else { return nil }
        if streaming.key == key, !streaming.isCancelled { return streaming }
        streaming.cancel()
        forgetUpload(inode, streaming)
        return nil
    }

    mutating func takeChangedUploads() -> Set<InodeNumber> {
        defer { changedUploads = [] }
        return changedUploads
    }

    /// `kept`: as the journal has them.
    mutating func restore(_ attempts: [Attempt], at key: ObjectKey, kept: [Attempt]) {
        unanswered[key] = attempts
        if attempts != kept { changedAttempts.insert(key) }
    }

    mutating func takeChangedAttempts() -> Set<ObjectKey> {
        defer { changedAttempts = [] }
        return changedAttempts
    }

    /// What was synced and never closed, which nobody writes now: it is on this machine only, and nothing sends it.
    var unclosed: [Node] {
        keptNodes.compactMap { tree[$0] }.filter { node in
            guard node.isLinked, let file = node.file, file.pendingSync != nil, file.writerCount == 0,
                let key = try? tree.key(node.inode)
            else { return false }
            return !overlay.committer.intents(for: key).contains {
                $0.intent.inode == node.inode && $0.intent.kind == .put
            }
        }
    }

    func isNodeKept(_ inode: InodeNumber) -> Bool { keptNodes.contains(inode) }
    /// True when a row stands in the journal, or may.
    func mayStandInJournal(_ inode: InodeNumber) -> Bool { keptNodes.contains(inode) || leftNodes.contains(inode) }
    mutating func noteKeptNode(_ inode: InodeNumber) { keptNodes.insert(inode) }
    /// True when a row may stand in the journal.
    mutating func forgetKeptNode(_ inode: InodeNumber) -> Bool {
        let wasKept = keptNodes.remove(inode) != nil
        return leftNodes.remove(inode) != nil || wasKept
    }

    /// For a new log, in which only what is needed is to stand. `isRewritten`: the last one has taken the journal's name.
    mutating func forgetKeptNodes(isRewritten: Bool) -> Set<InodeNumber> {
        if isRewritten { leftNodes = [] }
        defer { keptNodes = [] }
        return keptNodes
    }

    /// Rows of these nodes stand in the journal until the new log takes its name.
    mutating func noteLeftNodes(_ nodes: Set<InodeNumber>) { leftNodes.formUnion(nodes) }

    // MARK: Answers

    func shown(_ node: Node) -> FileAttributes {
        FileAttributes(
            inode: node.inode, mode: node.fileType | node.attributes.permissions,
            linkCount: node.isLinked ? (node.isDirectory ? 2 : 1) : 0, uid: node.attributes.uid,
            gid: node.attributes.gid,
            size: node.size,
            accessed: node.attributes.accessed, modified: node.attributes.modified, changed: node.attributes.changed)
    }

    /// The answer for a node, counted as a lookup. Timeouts are what is left of `freshness`.
    mutating func entry(_ inode: InodeNumber, now: Duration) throws(Errno) -> Entry {
        let node = try tree.node(inode)
        tree[unkept: inode]?.lookupCount += 1
        let timeout = remainingFreshness(node, now: now)
        return Entry(attributes: shown(node), entryTimeout: timeout, attributeTimeout: timeout)
    }

    func remainingFreshness(_ node: Node, now: Duration) -> Double {
        if node.inode == .root || !node.isLinked || isOwned(node) { return seconds(options.freshness) }
        let listed = tree[node.parent]?.directory.flatMap { freshUntil($0) } ?? .zero
        return max(0, seconds(max((node.seenAt ?? .zero) + options.freshness, listed) - now))
    }

    func seconds(_ duration: Duration) -> Double {
        Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
    }

    // MARK: Freshness

    func isFresh(_ seen: Duration?, now: Duration) -> Bool { seen.map { now - $0 < options.freshness } ?? false }

    /// True while nobody has to ask S3 what is in the directory.
    func isFresh(_ directory: DirectoryState, now: Duration) -> Bool { freshUntil(directory).map { now < $0 } ?? false }

    /// Until when the last listing is taken for what S3 holds. A long one is good for some time more than it took: whoever
    /// goes through all that it told would have to ask for each name again, or for all of them for each name.
    func freshUntil(_ directory: DirectoryState) -> Duration? {
        guard let listedAt = directory.listedAt else { return nil }
        if options.freshness == .zero { return listedAt }
        let time = directory.listingTime
        return listedAt + max(options.freshness, time + min(time * 3, .seconds(60)))
    }

    /// True when the node's state is decided here and not by S3: changed, open for writing, or queued.
    func isOwned(_ node: Node) -> Bool {
        if node.attributes.isDirty || isMoving(node) { return true }
        if let file = node.ownFile, file.isDirty || file.writerCount > 0 { return true }
        guard let key = try? tree.key(node.inode) else { return false }
        return overlay.hasPending(node.isDirectory ? key.bytes + [UInt8(ascii: "/")] : key.bytes)
    }

    /// True when a listing that does not have the node must not take it away: it, or something below it, is not on S3 yet.
    func mustStay(_ node: Node) -> Bool {
        if isOwned(node) { return true }
        return node.directory?.children.values.contains { tree[$0].map(mustStay) ?? false } ?? false
    }

    // MARK: Queue

    func place(_ node: Node) -> Place? {
        if node.isDirectory { return tree.keyPrefix(node.inode).map { Place(prefix: $0, name: nil) } }
        return tree.keyPrefix(node.parent).map { Place(prefix: $0, name: node.name) }
    }

    /// What S3 is known to hold at a place: the version that a write replaces.
    func precondition(_ place: Place) -> Precondition {
        let known = place.name.map { base.object(place.prefix, $0) } ?? base.marker(place.prefix)
        return known.map { .matches($0.version.eTag) } ?? .absent
    }

    func knownObject(_ place: Place) -> ObjectSummary? {
        place.name.map { base.object(place.prefix, $0) } ?? base.marker(place.prefix)
    }

    mutating func setKnown(_ place: Place, _ object: ObjectSummary?) {
        if let name = place.name {
            base.set(place.prefix, name, to: object)
        } else {
            base.setMarker(place.prefix, to: object)
        }
        if object == nil { forgetGone(place.prefix) }
    }

    /// A directory that the view does not have is not on S3 either, once the last thing that was known in it is gone; nor
    /// are those above it that had only that.
    private mutating func forgetGone(_ prefix: KeyPrefix) {
        var prefix = prefix
        while prefix != options.prefix, base.directory(prefix)?.isEmpty ?? true, tree.inode(of: prefix) == nil,
            let parent = prefix.parent
        {
            base.forgetDirectory(prefix)
            prefix = parent
        }
    }

    /// For somebody who waits for an intent. It is made due at once, with what stands before it, so that the wait ends with
    /// the next attempt. `isTakenBack`: the change is this call's own.
    mutating func latch(_ id: IntentID, isTakenBack: Bool, now: Duration) -> Latch<Void> {
        let latch = Latch<Void>()
        if overlay.committer.contains(id) {
            if isTakenBack { callers.insert(id) }
            latches[id, default: []].append(latch)
            overlay.expedite(id, now: now)
        } else {
            latch.resolve(.success(()))
        }
        return latch
    }

    /// Who waited for what an action tells of, and how it ended.
    mutating func takeAnswers(_ action: Committer.Action) -> [(latch: Latch<Void>, result: Result<Void, Errno>)] {
        let (ids, error): ([IntentID], ObjectStoreError?)
        switch action {
        case .settled(let id, let failure): (ids, error) = ([id], failure)
        case .stalled(let waiting, let failure): (ids, error) = (waiting, failure)
        case .run, .wake: return []
        }
        let result: Result<Void, Errno> = error.map { .failure($0.errno) } ?? .success(())
        return ids.flatMap { takeLatches($0) }.map { ($0, result) }
    }

    /// Who waited for one intent now waits for another.
    mutating func pass(_ old: IntentID, to new: IntentID) {
        if let waiting = latches.removeValue(forKey: old) { latches[new, default: []] += waiting }
        if callers.remove(old) != nil { callers.insert(new) }
    }

    /// Who waits for an intent, and waits no longer.
    mutating func takeLatches(_ id: IntentID) -> [Latch<Void>] {
        callers.remove(id)
        return latches.removeValue(forKey: id) ?? []
    }

    /// Queues the contents that a close has left, once: a put that has not begun takes the newest. Without `closed`, which
    /// the disk could not take, it sends the contents of its moment.
    mutating func enqueuePut(
        _ inode: InodeNumber, _ closed: SettledContents?, now: Duration
    ) throws(Errno) -> IntentID {
        let isNew = (closed?.generation ?? .max) > tree[unkept: inode]?.file?.closed?.generation ?? 0
        if let closed {
            noteClosed(inode, closed)
        } else if tree[unkept: inode]?.file?.isDirty == true {
            tree[unkept: inode]?.file?.isUnsettled = true
        }
        let key = try tree.key(inode)
        queueMove(of: inode, now)
        queueMove(at: key, now)
        let node = try tree.node(inode)
        guard let place = place(node) else { throw .staleNFSFileHandle }
        for (intent, isRunning) in overlay.committer.intents(for: key) where !isRunning && intent.inode == inode {
            if intent.kind == .put {
                if isNew { overlay.revive(intent.id, now: now) }
                return intent.id
            }
            if intent.kind == .metadata { _ = overlay.drop(intent) }
        }
        // What is half sent is not worth waiting with.
        let delay = node.file?.streaming == nil ? quietTime : .zero
        // Bytes that lie under another name must be read before that is changed.
        let source = node.file?.location.flatMap { $0.key == key ? nil : $0.key }
        return overlay.add(.put, key: key, source: source, inode: inode, place: place, now: now, delay: delay)
    }

    /// How long a change of contents or name waits for the next one.
    var quietTime: Duration { options.durability == .local ? options.quietTime : .zero }

    private mutating func noteClosed(_ inode: InodeNumber, _ closed: SettledContents) {
        guard let file = tree[inode]?.file, (file.closed?.generation ?? 0) <= closed.generation else { return }
        if file.isStreamingClosed, file.closed?.generation != closed.generation {
            // It was sending what is replaced now, of which much may be the same.
            file.streaming?.doubt()
        } else if file.streaming != nil {
            tree[inode]?.file?.isStreamingClosed = true
        }
        tree[inode]?.file?.closed = closed
        if file.synced?.generation == closed.generation { tree[inode]?.file?.synced?.isClosed = true }
        tree[inode]?.file?.isUnsettled = false
    }

    /// Queues changed attributes. They wait a moment for the next change, unless contents are on their way anyway.
    mutating func enqueueMetadata(_ inode: InodeNumber, now: Duration) throws(Errno) {
        queueMove(of: inode, now)
        let node = try tree.node(inode)
        guard node.isLinked, let place = place(node) else { return }
        tree[inode]?.attributes.isDirty = true
        if node.isDirectory {
            guard inode != .root else { return }
            try enqueueMarker(inode, now: now, delay: max(.milliseconds(500), quietTime))
            return
        }
        let key = try tree.key(inode)
        let queue = overlay.committer.intents(for: key).filter { $0.intent.inode == inode }
        // A put that is running has taken the attributes already.
        if node.file?.isDirty == true, !queue.contains(where: { $0.isRunning && $0.intent.kind == .put }) { return }
        let waiting = queue.first { intent, isRunning in
            !isRunning && [.put, .metadata, .copy].contains(intent.kind)
        }
        if let waiting {
            if waiting.intent.kind == .metadata { overlay.revive(waiting.intent.id, now: now) }
        } else {
            _ = overlay.add(.metadata, key: key, inode: inode, place: place, now: now, delay: .milliseconds(500))
        }
    }

    mutating func enqueueMarker(_ inode: InodeNumber, now: Duration, delay: Duration) throws(Errno) {
        guard inode != .root, let node = tree[inode], let place = place(node) else { return }
        guard let key = ObjectKey(place.prefix.bytes) else { throw .fileNameTooLong }
        // One that is deleted next, or was to be another directory's of the same name, is not it.
        let last = overlay.committer.intents(for: key).last
        if let last, last.intent.kind == .marker, last.intent.inode == inode, !last.isRunning {
            overlay.revive(last.intent.id, now: now)
        } else {
            _ = overlay.add(.marker, key: key, inode: inode, place: place, now: now, delay: delay)
        }
    }

    /// A directory that lost the last child that kept it on S3 keeps existing: its marker is written if it has none.
    mutating func keepAlive(_ directory: InodeNumber, now: Duration) {
        guard directory != .root, let state = tree[directory]?.directory, !state.hasMarker, !isHeldUp(state)
        else { return }
        try? enqueueMarker(directory, now: now, delay: max(.seconds(1), quietTime))
    }
}
