import Journal
import ObjectStore
import SystemPackage

/// What a person can do about changes that wait or that S3 refused: try them again, or give them up.
extension Volume {
    /// Why changes cannot be given up now.
    public enum DiscardRefusal: Error, Sendable, Equatable {
        /// This is being stored at the moment.
        case running(path: String)
        /// A program has this open for writing.
        case open(path: String)
        /// The change took the object that this other, later change is to replace: that one has to go first.
        case neededBy(path: String)
    }

    /// Makes what S3 refused at and below `path` due again, with all that waits for it; everything where `path` is empty.
    /// Returns how many changes that is.
    @discardableResult
    public func retry(path: String) -> Int {
        update { state in
            let covered = state.overlay.committer.intents.filter { state.covers(path, $0.intent) }
            for item in covered where item.isRunning { state.overlay.tryAgain(item.intent.id) }
            let failed = covered.filter { $0.failure?.isRefusal == true && !$0.isRunning }
            for item in failed { state.overlay.expedite(item.intent.id, now: clock.monotonic()) }
            return failed.count
        }
    }

    /// What `discard` would give up.
    public func discardable(path: String) throws(DiscardRefusal) -> [Report.Change] {
        update { _ = $0.queueMoves(limit: .max, now: clock.monotonic()) }
        return try update { state -> Result<[Report.Change], DiscardRefusal> in
            Result { () throws(DiscardRefusal) in try state.planDiscard(path).changes }
        }.get()
    }

    /// Gives up every change at and below `path` that S3 does not have, all where `path` is empty, and shows what S3 was
    /// last seen to hold instead. Returns what was given up; bytes that were written here are gone with it.
    @discardableResult
    public func discard(path: String) throws(DiscardRefusal) -> [Report.Change] {
        update { _ = $0.queueMoves(limit: .max, now: clock.monotonic()) }
        let (changes, staged) = try update { state -> Result<([Report.Change], [StagedFile]), DiscardRefusal> in
            Result { () throws(DiscardRefusal) in
                let plan = try state.planDiscard(path)
                return (plan.changes, state.apply(plan, path))
            }
        }.get()
        // Not before the journal has stopped speaking of them; the next start would remove them too.
        if (try? checkJournal()) != nil { for file in staged { file.discard() } }
        return changes
    }
}

extension ObjectStoreError {
    /// It stays so until somebody does something about this very change.
    var isRefusal: Bool { !isTransient && code != .signInNeeded && code != .cancelled }
}

/// What goes when changes are given up.
private struct DiscardPlan {
    var intents: [Intent] = []
    /// Files and symbolic links whose state here is given up.
    var files: Set<InodeNumber> = []
    var directories: Set<InodeNumber> = []
    var changes: [Volume.Report.Change] = []
}

extension VolumeState {
    private static let slash = UInt8(ascii: "/")

    /// True for a key at or below `path`.
    fileprivate func covers(_ path: String, _ key: ObjectKey) -> Bool {
        let top = options.prefix.bytes + Array(path.utf8)
        return path.isEmpty || key.bytes == top || key.bytes.starts(with: top + [Self.slash])
    }

    /// True for a change at or below `path`, as it is or as it will be.
    func covers(_ path: String, _ intent: Intent) -> Bool {
        if covers(path, intent.key) { return true }
        guard let inode = intent.inode, tree[inode]?.isLinked == true, let key = try? tree.key(inode) else {
            return false
        }
        return covers(path, key)
    }

    // MARK: Planning

    fileprivate func planDiscard(_ path: String) throws(Volume.DiscardRefusal) -> DiscardPlan {
        let all = overlay.committer.intents
        let chosen = try discarded(path, all.map(\.intent))
        var plan = DiscardPlan()
        for item in all where chosen.contains(item.intent.id) {
            let change = reported(item)
            if item.isRunning { throw .running(path: change.path) }
            plan.intents.append(item.intent)
            plan.changes.append(change)
            guard let inode = item.intent.inode, let node = tree[inode], node.isLinked else { continue }
            if node.isDirectory { plan.directories.insert(inode) } else { plan.files.insert(inode) }
        }
        // Synced and never closed: nothing is queued for it.
        for node in tree.nodes.values where node.isLinked && node.ownFile?.isDirty == true {
            guard !plan.files.contains(node.inode), let key = try? tree.key(node.inode), covers(path, key) else {
                continue
            }
            plan.files.insert(node.inode)
            plan.changes.append(
                .init(path: relativePath(key), kind: .contents, sent: 0, total: node.file?.size ?? 0, isRunning: false))
        }
        for inode in plan.files where (tree[inode]?.file?.writerCount ?? 0) > 0 {
            throw .open(path: tree.path(inode))
        }
        return plan
    }

    /// The changes at and below `path`, and those that make no sense without them: a rename is a copy and a deletion, and
    /// names that were swapped go together.
    private func discarded(_ path: String, _ all: [Intent]) throws(Volume.DiscardRefusal) -> Set<IntentID> {
        let byID = Dictionary(uniqueKeysWithValues: all.map { ($0.id, $0) })
        var byKey: [ObjectKey: [Intent]] = [:]
        var dependents: [IntentID: [Intent]] = [:]
        for intent in all {
            for key in intent.keys { byKey[key, default: []].append(intent) }
            if let requires = intent.requires { dependents[requires, default: []].append(intent) }
        }
        var waiting = all.filter { covers(path, $0) }
        var chosen = Set(waiting.map(\.id))
        while let intent = waiting.popLast() {
            var more = dependents[intent.id] ?? []
            // Giving up the deletion of a copied source alone would leave the file twice, unless the name has a new one.
            let isNamed = byKey[intent.key]?.contains { $0.key == intent.key && $0.kind != .delete } == true
            if !isNamed, let copy = intent.requires.flatMap({ byID[$0] }), copy.kind == .copy { more.append(copy) }
            if intent.kind == .copy {
                for other in intent.keys.flatMap({ byKey[$0] ?? [] }) where !chosen.contains(other.id) {
                    if other.kind == .copy || other.kind == .delete {
                        more.append(other)
                    } else if other.key == intent.source, other.id > intent.id {
                        throw .neededBy(path: relativePath(other.key))
                    }
                }
            }
            for other in more where chosen.insert(other.id).inserted { waiting.append(other) }
        }
        return chosen
    }

    // MARK: Giving up

    /// Returns the staged files that nothing needs any more.
    fileprivate mutating func apply(_ plan: DiscardPlan, _ path: String) -> [StagedFile] {
        for intent in plan.intents {
            overlay.giveUp(intent.id)
            if let inode = intent.inode, tree[inode]?.file?.heldDelete == intent.id {
                tree[inode]?.file?.heldDelete = nil
            }
        }
        let staged = plan.files.compactMap { giveUpFile($0) }
        for inode in plan.directories {
            guard let modified = tree[inode]?.attributes.modified else { continue }
            // The next look asks for what the marker says.
            tree[inode]?.attributes = Self.attributes(options, isDirectory: true, modified: modified)
            tree[inode]?.directory?.hasAsked = false
            notices.append(.inode(inode, data: false))
        }
        for key in Set(plan.intents.flatMap(\.keys)) { reveal(key) }
        removeEmptied(path, plan.directories)
        return staged
    }

    /// Takes a changed file out of the view; what S3 has under its name is shown by `reveal`.
    private mutating func giveUpFile(_ inode: InodeNumber) -> StagedFile? {
        guard let node = tree[inode], let file = node.file, let key = try? tree.key(inode) else { return nil }
        file.streaming?.cancel()
        tree[inode]?.file?.streaming = nil
        notices.append(.deleted(node.parent, inode, node.name))
        var free: StagedFile?
        // Who reads it still reads what it was.
        if file.openCount == 0 {
            free = file.staged
            tree[inode]?.file?.staged = nil
            tree[inode]?.file?.closed = nil
            tree[inode]?.file?.synced = nil
            tree[inode]?.file?.committedGeneration = file.generation
        }
        tree.detach(inode)
        reveal(key)
        return free
    }

    /// Shows what S3 was last seen to hold at `key`, and has the next look ask S3.
    private mutating func reveal(_ key: ObjectKey) {
        let isMarker = key.bytes.last == Self.slash
        let parts = key.bytes[options.prefix.bytes.count...].split(separator: Self.slash)
        guard key.bytes.starts(with: options.prefix.bytes), let last = parts.last.flatMap({ EntryName($0) }) else {
            return
        }
        var bytes = options.prefix.bytes
        for part in parts.dropLast() { bytes += part + [Self.slash] }
        guard let prefix = KeyPrefix(bytes) else { return }
        let known = isMarker ? KeyPrefix(key.bytes).flatMap { base.marker($0) } : base.object(prefix, last)
        if let known {
            // Base had given up the directory with its last child.
            let place =
                isMarker ? KeyPrefix(key.bytes).map { Place(prefix: $0, name: nil) } : Place(prefix: prefix, name: last)
            if let place { setKnown(place, known) }
            guard let parent = directory(at: prefix) else { return }
            if tree.child(parent, last) == nil {
                notices.append(.entry(parent, last))
                _ =
                    isMarker
                    ? addListedDirectory(parent, last)
                    : addListed(parent, ListedFile(prefix: prefix, name: last, object: SeenObject(known)))
            }
        }
        if let parent = tree.inode(of: prefix) { expire(parent) }
    }

    /// The directory of a prefix, made in the view where it is missing. Nil where a file has the name.
    private mutating func directory(at prefix: KeyPrefix) -> InodeNumber? {
        var inode = InodeNumber.root
        for part in prefix.bytes[options.prefix.bytes.count...].split(separator: Self.slash) {
            guard let name = EntryName(part) else { return nil }
            if let child = tree.child(inode, name) {
                guard child.isDirectory else { return nil }
                inode = child.inode
            } else {
                notices.append(.entry(inode, name))
                inode = addListedDirectory(inode, name)
            }
        }
        return inode
    }

    /// What is shown is as old as can be: without a network it is still shown.
    private mutating func expire(_ directory: InodeNumber) {
        if tree[directory]?.directory?.listedAt != nil {
            tree[directory]?.directory?.listedAt = .seconds(-1_000_000_000)
        }
        tree[directory]?.directory?.absentAt = [:]
    }

    /// Directories that were only made or moved here go with the changes in them, the deepest first.
    private mutating func removeEmptied(_ path: String, _ directories: Set<InodeNumber>) {
        let below = tree.nodes.values.filter { node in
            guard node.isDirectory, node.isLinked, node.inode != .root, let key = try? tree.key(node.inode) else {
                return false
            }
            return covers(path, key) || directories.contains(node.inode)
        }
        for node in below.sorted(by: { tree.path($0.inode).utf8.count > tree.path($1.inode).utf8.count }) {
            guard let directory = tree[node.inode]?.directory, directory.children.isEmpty,
                let prefix = tree.keyPrefix(node.inode), let parent = tree.keyPrefix(node.parent),
                base.marker(prefix) == nil, base.directory(parent)?.directories.contains(node.name) != true,
                !overlay.hasPending(prefix.bytes)
            else { continue }
            notices.append(.deleted(node.parent, node.inode, node.name))
            tree.detach(node.inode)
        }
    }
}
