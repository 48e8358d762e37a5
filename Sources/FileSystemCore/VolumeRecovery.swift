import Bytes
import Journal
import Logging
import ObjectStore
import SystemPackage

/// What an earlier run of a volume left in the journal, on its way back into a `VolumeState`.
struct VolumeRecovery {
    private var base: Base
    private var intents: [IntentID: Intent] = [:]
    private var nodes: [InodeNumber: NodeRow] = [:]
    private var attempts: [ObjectKey: [Attempt]] = [:]
    /// Uploads in parts that had begun.
    private(set) var uploads: [InodeNumber: KeptUpload] = [:]
    private var origins: [InodeNumber: [KeyPrefix]] = [:]
    /// Rows that could not be read.
    private(set) var unreadable = 0

    init(root: KeyPrefix) { base = Base(root: root) }

    mutating func loseNewestIntent() { if let id = intents.keys.max() { intents[id] = nil } }

    mutating func loseNewestNode() {
        if let inode = nodes.keys.max(by: { $0.value < $1.value }) { nodes[inode] = nil }
    }

    // MARK: Rows

    /// Takes one row of the log; a later one replaces an earlier of the same name.
    mutating func take(_ name: ArraySlice<UInt8>, _ value: ArraySlice<UInt8>?) {
        do throws(ByteReader.Malformed) {
            guard let first = name.first, let kind = RowKind(rawValue: first) else { throw ByteReader.Malformed() }
            try take(kind, Array(name.dropFirst()), value)
        } catch {
            unreadable += 1
            forget(name)
        }
    }

    /// What an older row said of something is not to be gone on with when a newer one does not read.
    private mutating func forget(_ name: ArraySlice<UInt8>) {
        guard let kind = name.first.flatMap(RowKind.init), let number = try? Self.number(Array(name.dropFirst())) else {
            return
        }
        switch kind {
        case .intent: intents[IntentID(value: number)] = nil
        case .node: nodes[InodeNumber(number)] = nil
        default: break
        }
    }

    private mutating func take(
        _ kind: RowKind, _ name: [UInt8], _ value: ArraySlice<UInt8>?
    ) throws(ByteReader.Malformed) {
        var reader = ByteReader(value ?? [])
        switch kind {
        case .object, .marker, .directory, .listed:
            try base.restore(kind, name, value)
        case .intent:
            let id = IntentID(value: try Self.number(name))
            intents[id] = value == nil ? nil : try reader.intent(id)
        case .node:
            guard InodeNumber(try Self.number(name)) != .root else { throw ByteReader.Malformed() }
            nodes[InodeNumber(try Self.number(name))] = value == nil ? nil : try NodeRow(&reader)
        case .origin:
            let inode = InodeNumber(try Self.number(name))
            guard value != nil else {
                origins[inode] = nil
                return
            }
            var prefixes: [KeyPrefix] = []
            for _ in 0..<(try reader.number(UInt32.self)) { prefixes.append(try reader.prefix()) }
            origins[inode] = prefixes
        case .upload:
            uploads[InodeNumber(try Self.number(name))] = value == nil ? nil : try reader.upload()
        case .attempts:
            guard let key = ObjectKey(name) else { throw ByteReader.Malformed() }
            guard value != nil else {
                attempts[key] = nil
                return
            }
            var list: [Attempt] = []
            for _ in 0..<(try reader.number(UInt32.self)) { list.append(try reader.attempt()) }
            attempts[key] = list
        }
    }

    private static func number(_ name: [UInt8]) throws(ByteReader.Malformed) -> UInt64 {
        guard name.count == 8 else { throw ByteReader.Malformed() }
        return try ByteReader.counter(name.reduce(0) { $0 << 8 | UInt64($1) })
    }

    // MARK: Staged files

    /// A staged file that rows speak of, opened.
    struct Staged {
        var file: StagedFile
        /// What its last close left.
        var closed: SettledContents?
        /// What the last fsync did.
        var synced: SettledContents?
    }

    /// Opens what is staged, and finds the logs that no row speaks of: of files whose writers neither closed nor synced them,
    /// or which are gone. They may go once the disk has the journal as it was read: a power cut could bring older rows back.
    /// Throws when the machine refuses what it may give later: nothing is given up then.
    func openStaged(
        _ journal: SpaceJournal, _ logger: Logger
    ) throws(Errno) -> (files: [InodeNumber: Staged], leftovers: [String]) {
        let store = journal.staging
        var found: [InodeNumber: Staged] = [:]
        let kept = Set(nodes.values.flatMap { [$0.file?.closed, $0.file?.synced] }.compactMap { $0?.staged?.name })
        // They are cut at the points of these rows, while what was cut off the journal may speak of later ones.
        if let aside = journal.cutAside { store.copy(kept, to: aside.appending(SpaceJournal.stagedName)) }
        for (inode, row) in nodes {
            // Newest first: after a power cut only an older one may be whole.
            let candidates = [row.file?.closed, row.file?.synced].compactMap { $0 }.filter { $0.staged != nil }
                .sorted { $0.generation > $1.generation }
            for candidate in candidates where found[inode] == nil {
                found[inode] = try Self.open(candidate, row.file, store)
            }
            if found[inode] == nil, !candidates.isEmpty {
                logger.error(
                    "Changed bytes could not be read back; the file is shown as S3 has it",
                    metadata: ["file": "\(row.name)", "staged": "\(candidates[0].staged?.name ?? "")"])
                for name in Set(candidates.compactMap { $0.staged?.name }) { store.putAside(name) }
            }
        }
        // A row that does not read, or was cut off, may speak of any of them.
        if let aside = journal.cutAside {
            store.moveLeftovers(except: kept, to: aside.appending(SpaceJournal.stagedName))
        }
        guard unreadable == 0, !journal.isCut else { return (found, []) }
        do throws(Errno) {
            return (found, try store.leftovers(except: kept))
        } catch {
            logger.warning("Old staged files could not be looked for", metadata: ["reason": "\(error)"])
            return (found, [])
        }
    }

    /// What there is of a file's closed and synced contents, of which the newer one is `wanted`. Nil when the log does not
    /// reach to that.
    private static func open(
        _ wanted: NodeRow.Contents, _ row: NodeRow.File?, _ store: StagedFile.Store
    ) throws(Errno) -> Staged? {
        guard let place = wanted.staged else { return nil }
        let older = [row?.closed, row?.synced].compactMap { $0 }.first { $0.generation < wanted.generation }
        let isSynced = row?.closed?.generation != wanted.generation
        // What a log was compacted to may be what was synced last, and is for nobody else then.
        let mark = older?.staged.flatMap {
            $0.name == place.name && (!isSynced || $0.point.log == place.point.log) ? $0.point : nil
        }
        let recovered: (file: StagedFile, marked: StagedFile.Snapshot?)
        do throws(Errno) {
            recovered = try store.recover(place.name, upTo: place.point, marking: mark)
        } catch {
            guard error == .ioError || error == .noSuchFileOrDirectory else { throw error }
            return nil
        }
        let (file, marked) = recovered
        // A disk that refuses this may give it later: what is whole is not given up.
        let (snapshot, point) = try file.settle(mayCompact: older == nil)
        func settled(
            _ row: NodeRow.Contents, _ snapshot: StagedFile.Snapshot, _ point: StagedFile.Point
        ) -> SettledContents {
            SettledContents(
                generation: row.generation, size: snapshot.size,
                staged: .init(snapshot: snapshot, name: place.name, point: point), isClosed: row.isClosed)
        }
        var newest = settled(wanted, snapshot, point)
        if !isSynced { newest.isClosed = true }
        var before: SettledContents?
        if let older {
            if let mark, let marked { before = settled(older, marked, mark) }
            if older.staged == nil {
                before = SettledContents(
                    generation: older.generation, size: older.size, staged: nil, isClosed: older.isClosed)
            }
        }
        // What was synced and not closed is for nobody else yet: what was closed before it is. Where what was closed
        // last did not survive, what was synced before it is all there is.
        if !isSynced {
            let isBoth = row?.synced?.generation == wanted.generation
            return Staged(file: file, closed: newest, synced: isBoth ? newest : before)
        }
        if wanted.isClosed { return Staged(file: file, closed: newest, synced: newest) }
        return Staged(file: file, closed: before, synced: newest)
    }

    // MARK: State

    /// Puts everything into a new state.
    consuming func restore(to state: inout VolumeState, _ staged: [InodeNumber: Staged], now: Duration) {
        base.dropEmpty()
        let former = former()
        var given = Set<InodeNumber>()
        for (inode, row) in nodes.sorted(by: { $0.key.value < $1.key.value }) {
            restore(inode, row, staged[inode], former[inode], &given, &state)
        }
        let found = Dictionary(
            intents.values.compactMap(\.inode).map { ($0, remains($0, state)) }, uniquingKeysWith: { $1 })
        let done = state.restore(Array(intents.values), found, isWhole: unreadable == 0)
        for (key, list) in attempts {
            // What a power cut took and S3 may have is not what the file stands on now.
            state.restore(list.map { isWhole($0.inode, state) ? $0 : $0.disowned }, at: key, kept: list)
        }
        state.restore(origins, base)
        state.adopt(base)
        for intent in done { state.deleteStray(intent, now: now) }
        for inode in nodes.keys.sorted(by: { $0.value < $1.value }) {
            // They were to go with contents that a power cut has taken.
            if unreadable > 0 || !state.dropStray(inode) { state.keepAttributesQueued(inode, now: now) }
            state.noteRecovered(inode)
        }
    }

    /// Puts a node into the tree, its directories first.
    private func restore(
        _ inode: InodeNumber, _ row: NodeRow, _ staged: Staged?, _ former: ObjectSummary?,
        _ given: inout Set<InodeNumber>, _ state: inout VolumeState
    ) {
        guard given.insert(inode).inserted else { return }
        if row.parent != .root, let parent = nodes[row.parent] {
            restore(row.parent, parent, nil, nil, &given, &state)
        }
        // A directory that the journal should have and has not: what was in it is shown at the top rather than lost.
        let parent = state.tree[unkept: row.parent]?.isDirectory == true ? row.parent : InodeNumber.root
        guard let kind = kind(row, staged, former) else { return }
        var node = Node(inode: inode, parent: parent, name: row.name, kind: kind, attributes: row.attributes)
        if let taken = state.tree.child(parent, node.name), taken.inode != inode {
            node.name = node.name.inserting(" (recovered \(inode.value))")
        }
        state.tree.restore(node)
        state.noteKeptNode(inode)
        // What was not found again is not to be looked for again.
        if NodeRow(node).bytes != row.bytes { state.tree.touch(inode) }
    }

    /// What there is of a node after a crash.
    enum Remains {
        /// All that its intents need.
        case whole
        /// It was removed while it was open, or replaced while it was sent, or never closed: nothing is to be stored.
        case gone
        /// What was closed of a new file did not survive. What was synced of it is for nobody else yet.
        case torn
    }

    /// False for a file that is gone, or whose newest closed contents did not survive.
    private func isWhole(_ inode: InodeNumber, _ state: VolumeState) -> Bool {
        guard let node = state.tree[unkept: inode] else { return false }
        guard let closed = nodes[inode]?.file?.closed else { return true }
        return node.file?.closed?.generation == closed.generation
    }

    private func remains(_ inode: InodeNumber, _ state: VolumeState) -> Remains {
        guard let row = nodes[inode] else { return unreadable == 0 ? .gone : .torn }
        let node = state.tree[unkept: inode]
        if let file = row.file, file.closed == nil, file.synced == nil, node == nil { return .gone }
        if let node, node.file?.location != nil || node.file?.closed != nil || row.file?.closed == nil { return .whole }
        return .torn
    }

    /// What was at files' names before, which was to be deleted once the new contents were stored.
    private func former() -> [InodeNumber: ObjectSummary] {
        let deletions = intents.values.filter { $0.kind == .delete }.sorted { $0.id < $1.id }
        let counts = Dictionary(deletions.map { ($0.key, 1) }, uniquingKeysWith: +)
        var former: [InodeNumber: ObjectSummary] = [:]
        for deletion in deletions where counts[deletion.key] == 1 {
            guard let inode = deletion.requires.flatMap({ intents[$0]?.inode }),
                former[inode] == nil, let name = deletion.place.name,
                let object = base.object(deletion.place.prefix, name)
            else { continue }
            former[inode] = object
        }
        return former
    }

    /// Nil for a file of which nothing is left: it was new, and what was staged of it did not survive.
    private func kind(_ row: NodeRow, _ staged: Staged?, _ former: ObjectSummary?) -> Node.Kind? {
        guard let kept = row.file else { return .directory(DirectoryState()) }
        var file = FileState(size: kept.baseSize)
        file.baseSize = kept.baseSize
        file.location = kept.location
        file.identity = kept.identity
        if let staged {
            file.staged = staged.file
            file.closed = staged.closed
            file.synced = staged.synced
        } else {
            // What had nothing staged needs none: an empty file, or one whose bytes lie elsewhere on S3.
            file.closed = kept.closed.flatMap(SettledContents.init(unstaged:))
            file.synced = kept.synced.flatMap(SettledContents.init(unstaged:))
            if file.closed == nil, file.synced == nil, kept.location == nil {
                // Its name was another's before: better what that held than nothing, wherever the name has got to.
                return former.map { .file(FileState(clean: $0)) }
            }
        }
        if let newest = [file.synced, file.closed].compactMap({ $0 }).max(by: { $0.generation < $1.generation }) {
            file.size = newest.size
            file.generation = newest.generation
        }
        return row.linkTarget.map { .symbolicLink(file, target: $0) } ?? .file(file)
    }
}

extension SettledContents {
    /// Nil where something was staged.
    fileprivate init?(unstaged row: NodeRow.Contents) {
        guard row.staged == nil else { return nil }
        self.init(generation: row.generation, size: row.size, staged: nil, isClosed: row.isClosed)
    }
}

extension Base {
    /// Takes a row back.
    mutating func restore(
        _ kind: RowKind, _ name: [UInt8], _ value: ArraySlice<UInt8>?
    ) throws(ByteReader.Malformed) {
        var reader = ByteReader(value ?? [])
        switch kind {
        case .object:
            guard ObjectKey(name) != nil, let (parent, last) = Self.place(name) else { throw ByteReader.Malformed() }
            restore(parent, last, value == nil ? nil : try reader.object())
        case .marker:
            guard ObjectKey(name) != nil else { throw ByteReader.Malformed() }
            restoreMarker(name, value == nil ? nil : try reader.object())
        case .directory:
            guard let (parent, last) = Self.place(Array(name.dropLast())) else { throw ByteReader.Malformed() }
            restoreDirectory(parent, last, value != nil)
        case .listed: restoreListed(name, value != nil)
        case .intent, .node, .origin, .upload, .attempts: throw ByteReader.Malformed()
        }
    }

    private static func place(_ key: [UInt8]) -> (parent: [UInt8], name: EntryName)? {
        let start = key.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
        return EntryName(key[start...]).map { (Array(key[..<start]), $0) }
    }
}

extension VolumeState {
    typealias Remains = VolumeRecovery.Remains

    /// A file whose copy was given up, since its bytes are gone from where they were, and of which a power cut has taken what
    /// was written here: there is no such file any more. True when it was one.
    mutating func dropStray(_ inode: InodeNumber) -> Bool {
        guard let node = tree[unkept: inode], let file = node.file, !file.isDirty, let location = file.location,
            (try? tree.key(inode)) != location.key, !overlay.committer.stores(inode), !isMoving(node)
        else { return false }
        tree.detach(inode)
        return true
    }

    /// Puts intents back, as far as there is something left to do. Returns those that are done, since nothing of their
    /// nodes is to be stored. `isWhole`: all that the journal says could be read.
    mutating func restore(_ intents: [Intent], _ remains: [InodeNumber: Remains], isWhole: Bool) -> [Intent] {
        let counts = Dictionary(intents.compactMap { $0.inode.map { ($0, 1) } }, uniquingKeysWith: +)
        let done = intents.filter { intent in
            guard intent.kind != .delete, let inode = intent.inode else { return false }
            if remains[inode] == .gone { return true }
            // So with a file that is where S3 has it, of whose changes nothing is left that was closed.
            guard intent.kind == .put, intent.source == nil, counts[inode] == 1, let file = tree[unkept: inode]?.file
            else { return false }
            return file.pendingClose == nil && file.location?.key == intent.key
        }
        // What was to be deleted after something that is lost stays.
        var lost = Set(
            intents.filter { $0.kind != .delete && $0.inode.map { remains[$0] == .torn } ?? true }.map(\.id))
        let known = Set(intents.map(\.id))
        lost.formUnion(
            intents.filter { $0.requires.map { lost.contains($0) || (!isWhole && !known.contains($0)) } ?? false }.map(
                \.id))
        let dropped = lost.union(done.map(\.id))
        for intent in intents where dropped.contains(intent.id) { overlay.forget(intent) }
        overlay.restore(intents.filter { !dropped.contains($0.id) })
        return done
    }

    /// What was being sent of a file that is gone may have come to S3, where nothing else has its name.
    mutating func deleteStray(_ intent: Intent, now: Duration) {
        guard intent.kind == .put || intent.kind == .copy, unanswered[intent.key] != nil,
            !overlay.committer.hasIntents(for: intent.key), knownObject(intent.place) == nil,
            let name = intent.place.name,
            tree.inode(of: intent.place.prefix).map({ tree.child($0, name) == nil }) ?? true
        else { return }
        _ = overlay.add(.delete, key: intent.key, inode: nil, place: intent.place, now: now)
    }

    /// Puts the files of renamed directories back that were not queued yet: they are still where base has them.
    mutating func restore(_ origins: [InodeNumber: [KeyPrefix]], _ known: Base) {
        let all = origins.flatMap { directory, prefixes in prefixes.map { (directory, $0) } }
            .sorted { $0.1.bytes.count > $1.1.bytes.count }
        for (directory, prefix) in all { overlay.moves.note(directory, from: prefix) }
        for prefix in known.prefixes {
            // A directory that has none is there for something else, or not at all.
            let objects = (known.directory(prefix)?.objects ?? [:]).filter {
                !overlay.hasPending(prefix.bytes + $0.key.bytes)
            }
            // The longest fits: a directory may have moved out of another one.
            guard !objects.isEmpty,
                let (directory, origin) = all.first(where: { prefix.bytes.starts(with: $0.1.bytes) }),
                let inode = directoryNode(directory, prefix.bytes[origin.bytes.count...])
            else { continue }
            var files: [(inode: InodeNumber, key: ObjectKey)] = []
            for (name, object) in objects where tree.child(inode, name) == nil {
                let listed = ListedFile(prefix: prefix, name: name, object: object)
                guard let key = listed.version?.key else { continue }
                files.append((addListed(inode, listed), key))
            }
            overlay.deferMoves(files, in: prefix)
        }
    }

    /// The directory at a relative path below another one, made where it is missing.
    private mutating func directoryNode(_ top: InodeNumber, _ path: ArraySlice<UInt8>) -> InodeNumber? {
        guard tree[unkept: top]?.isDirectory == true else { return nil }
        var inode = top
        for component in path.split(separator: UInt8(ascii: "/")) {
            guard let name = EntryName(component) else { return nil }
            if let child = tree.child(inode, name) {
                guard child.isDirectory else { return nil }
                inode = child.inode
            } else {
                inode = addListedDirectory(inode, name)
            }
        }
        return inode
    }

    /// Shows what S3 was last seen to hold, where nothing was changed here.
    mutating func adopt(_ known: Base) {
        base = known
        for prefix in known.prefixes {
            guard let inode = tree.inode(of: prefix), let directory = known.directory(prefix) else { continue }
            // One that is being deleted was that of another directory, which had this name before.
            let isChanging = ObjectKey(prefix.bytes).map(overlay.committer.hasIntents) ?? false
            tree[unkept: inode]?.directory?.hasMarker = directory.marker != nil && !isChanging
            for (name, object) in directory.objects.sorted(by: { $0.key < $1.key }) {
                recall(inode, prefix, name, object)
            }
            for name in directory.directories { recall(inode, prefix, name, nil) }
            // Known, and to be asked for again as soon as somebody looks.
            if directory.isListed { tree[unkept: inode]?.directory?.listedAt = .seconds(-1_000_000_000) }
        }
    }

    /// One name that S3 had; nil for a directory.
    private mutating func recall(
        _ parent: InodeNumber, _ prefix: KeyPrefix, _ name: EntryName, _ object: SeenObject?
    ) {
        let key = prefix.bytes + name.bytes
        // A file may have taken the name of a directory of which something is still to be deleted, and the other way round.
        guard tree.child(parent, name) == nil,
            !overlay.hasPending(object == nil ? key + [UInt8(ascii: "/")] : key)
        else { return }
        if let object {
            _ = addListed(parent, ListedFile(prefix: prefix, name: name, object: object))
        } else {
            _ = addListedDirectory(parent, name)
        }
    }
}
