import ObjectStore
import SystemPackage

/// Renames: at once in the view; copies and deletes follow as intents.
extension Volume {
    public func rename(
        _ parent: InodeNumber, _ name: FileName, to newParent: InodeNumber, _ newName: FileName, _ mode: RenameMode
    ) -> Answer<Void> {
        do throws(Errno) {
            let (name, newName) = (try EntryName(name), try EntryName(newName))
            let trees = try look { state throws(Errno) in
                try state.checkRename(parent, name, newParent, newName, mode)
                return [state.tree.child(parent, name), state.tree.child(newParent, newName)]
                    .compactMap { $0 }.filter(\.isDirectory).map(\.inode)
            }
            let work = { @Sendable () -> Answer<Void> in
                self.committed(isTakenBack: true) { state throws(Errno) in
                    let ids = try state.rename(
                        parent, name, newParent, newName, mode, self.clock.monotonic(), self.clock.wall())
                    return ((), ids)
                }
            }
            // A directory's whole subtree must be known, so that each object in it can be moved.
            if trees.isEmpty { return work() }
            return .later { () async throws(Errno) in
                for inode in trees { try await self.loadTree(inode) }
                try await work().value()
            }
        } catch {
            return .failed(error)
        }
    }
}

extension VolumeState {
    func checkRename(
        _ parent: InodeNumber, _ name: EntryName, _ newParent: InodeNumber, _ newName: EntryName, _ mode: RenameMode
    ) throws(Errno) {
        guard let source = tree.child(parent, name) else { throw .noSuchFileOrDirectory }
        _ = try tree.directory(newParent)
        _ = try tree.key(newParent, newName)
        guard tree[newParent]?.isLinked == true else { throw .noSuchFileOrDirectory }
        guard !source.isDirectory || !tree.isInside(newParent, source.inode) else { throw .invalidArgument }
        let target = tree.child(newParent, newName)
        try checkLength(source, newParent, newName)
        if mode == .exchange, let target {
            try checkLength(target, parent, name)
            try checkLength(target, newParent, Self.exchangeName(source.inode.value))
        }
        switch mode {
        case .noReplace:
            if target != nil { throw .fileExists }
        case .exchange:
            guard let target else { throw .noSuchFileOrDirectory }
            guard !target.isDirectory || !tree.isInside(parent, target.inode) else { throw .invalidArgument }
        case .replace:
            guard let target, target.inode != source.inode else { return }
            if source.isDirectory, !target.isDirectory { throw .notDirectory }
            if !source.isDirectory, target.isDirectory { throw .isDirectory }
            if target.isDirectory, target.directory?.children.isEmpty == false { throw .directoryNotEmpty }
        }
    }

    /// Every key must still be short enough, or nothing moves.
    private func checkLength(_ node: Node, _ parent: InodeNumber, _ name: EntryName) throws(Errno) {
        let key = try tree.key(parent, name)
        guard node.isDirectory else { return }
        var waiting = [(node.inode, key.bytes.count + 1)]
        while let (inode, length) = waiting.popLast() {
            guard length < ObjectKey.maximumByteCount else { throw .fileNameTooLong }
            guard let directory = tree[unkept: inode]?.directory else { continue }
            // Most often there is room for the longest name there could be.
            let room = ObjectKey.maximumByteCount - length
            guard room > EntryName.maximumByteCount || directory.children.keys.allSatisfy({ $0.bytes.count < room })
            else { throw .fileNameTooLong }
            for child in directory.subdirectories {
                if let name = tree[unkept: child]?.name { waiting.append((child, length + name.bytes.count + 1)) }
            }
        }
    }

    /// A third name, which nobody can see in the view, for bytes whose place is not free yet. `number`: never used before.
    static func exchangeName(_ number: UInt64) -> EntryName {
        EntryName(Array(".cognitofs-exchange-\(number)".utf8)) ?? .root
    }

    /// Moves a name in the view. Returns what a caller waits for who must know that S3 has it.
    mutating func rename(
        _ parent: InodeNumber, _ name: EntryName, _ newParent: InodeNumber, _ newName: EntryName, _ mode: RenameMode,
        _ now: Duration, _ time: Timestamp
    ) throws(Errno) -> [IntentID] {
        try checkRename(parent, name, newParent, newName, mode)
        guard let source = tree.child(parent, name) else { throw .noSuchFileOrDirectory }
        let target = tree.child(newParent, newName)
        if target?.inode == source.inode { return [] }
        var ids: [IntentID] = []
        if mode == .exchange, let target {
            // Through a third name, which nobody can see in the view: all three steps are made under one lock.
            let aside = Self.exchangeName(source.inode.value)
            // Nothing is put off: each step is about keys that the next one takes over.
            ids += try move(target, to: newParent, aside, now, mayDefer: false)
            ids += try move(source, to: newParent, newName, now, mayDefer: false)
            if let aside = tree[target.inode] { ids += try move(aside, to: parent, name, now, mayDefer: false) }
        } else {
            if let target { try replace(target, now) } else { forgetHidden(newParent, newName) }
            ids += try move(source, to: newParent, newName, now)
        }
        tree[source.inode]?.attributes.changed = time
        noteChildren(of: parent, time)
        noteChildren(of: newParent, time)
        // Where an unclosed file has taken the place of a stored one, nothing else may hold the directory up.
        for directory in [parent, newParent] { keepAlive(directory, now: now) }
        return source.isDirectory ? [] : ids
    }

    /// Makes room for a rename over an existing name: the object is overwritten, so only a marker has to go.
    private mutating func replace(_ target: Node, _ now: Duration) throws(Errno) {
        if target.isDirectory {
            _ = removeMarker(target, now)
        } else {
            queueMove(of: target.inode, now)
            let key = try tree.key(target.inode)
            for (intent, isRunning) in overlay.committer.intents(for: key)
            where !isRunning && intent.inode == target.inode {
                _ = overlay.drop(intent)
            }
        }
        tree.detach(target.inode)
    }

    /// Moves one node in the view and queues what follows for each object at or below it.
    private mutating func move(
        _ node: Node, to parent: InodeNumber, _ name: EntryName, _ now: Duration, mayDefer: Bool = true
    ) throws(Errno) -> [IntentID] {
        if node.isDirectory { return try moveDirectory(node, to: parent, name, now, mayDefer) }
        // What an earlier rename still owes is queued under the name it gave.
        queueMove(of: node.inode, now)
        let key = try tree.key(node.inode)
        guard let place = place(node) else { return [] }
        tree.move(node.inode, to: parent, name)
        return try moveObject(node.inode, from: key, place, now)
    }

    /// Moves a directory at once. What is changed in it is queued now, the many clean files later (`DeferredMoves`).
    private mutating func moveDirectory(
        _ node: Node, to parent: InodeNumber, _ name: EntryName, _ now: Duration, _ isPutOff: Bool
    ) throws(Errno) -> [IntentID] {
        guard let oldPrefix = tree.keyPrefix(node.inode) else { return [] }
        var directories: [(inode: InodeNumber, prefix: KeyPrefix)] = [(node.inode, oldPrefix)]
        var changed: [(InodeNumber, ObjectKey, Place)] = []
        let newPrefix = try KeyPrefix(tree.key(parent, name, isDirectory: true).bytes + [UInt8(ascii: "/")])
        if let newPrefix { queueMoves(below: newPrefix, now) }
        var (isDeferred, wasDeferred) = (false, false)
        var index = 0
        while index < directories.count {
            let (directory, prefix) = directories[index]
            index += 1
            var clean: [(inode: InodeNumber, key: ObjectKey)] = []
            for (name, inode) in tree[unkept: directory]?.directory?.children ?? [:] {
                guard let child = tree[unkept: inode] else { continue }
                if child.isDirectory {
                    if let below = KeyPrefix(prefix.bytes + name.bytes + [UInt8(ascii: "/")]) {
                        directories.append((inode, below))
                    }
                } else if isMoving(child) {
                    wasDeferred = true
                } else if let key = ObjectKey(prefix.bytes + name.bytes) {
                    if isPutOff, mayDefer(child, from: key) {
                        clean.append((inode, key))
                    } else {
                        changed.append((inode, key, Place(prefix: prefix, name: name)))
                    }
                }
            }
            isDeferred = isDeferred || !clean.isEmpty
            overlay.deferMoves(clean, in: prefix)
        }
        if wasDeferred { noteOrigins(node.inode) }
        if isDeferred { overlay.moves.note(node.inode, from: oldPrefix) }
        for (_, prefix) in directories { base.forgetDirectory(prefix) }
        tree.move(node.inode, to: parent, name)
        for (inode, prefix) in directories {
            noteMade(inode)
            guard let key = ObjectKey(prefix.bytes) else { continue }
            _ = try moveMarker(inode, from: key, Place(prefix: prefix, name: nil), now)
        }
        for (inode, key, place) in changed { _ = try moveObject(inode, from: key, place, now) }
        // What held a directory up under its old name may be nothing but an object that a file here has replaced.
        for (inode, _) in directories { keepAlive(inode, now: now) }
        return []
    }

    /// What is deferred in a directory that moves out of one that has moved before is found by origins of its own.
    private mutating func noteOrigins(_ directory: InodeNumber) {
        var path: [EntryName] = []
        var current = directory
        while current != .root, overlay.moves.origins[current] == nil, let node = tree[unkept: current] {
            path.insert(node.name, at: 0)
            current = node.parent
        }
        guard current != directory else { return }
        for above in overlay.moves.origins[current] ?? [] {
            guard let prefix = KeyPrefix(above.bytes + path.flatMap { $0.bytes + [UInt8(ascii: "/")] }) else {
                continue
            }
            overlay.moves.note(directory, from: prefix)
        }
    }

    mutating func moveObject(
        _ inode: InodeNumber, from oldKey: ObjectKey, _ oldPlace: Place, _ now: Duration
    ) throws(Errno) -> [IntentID] {
        let key = try tree.key(inode)
        guard key != oldKey else { return [] }
        queueMove(at: key, now)
        guard let node = tree[inode], let file = node.file, let place = place(node) else { return [] }
        var puts: [Intent] = []
        var copy: Intent?
        var mayExist = knownObject(oldPlace) != nil || unanswered[oldKey] != nil
        let queued = overlay.committer.intents(for: oldKey).filter { $0.intent.inode == inode }
        // Those that must read what a later change replaces go their way, all in their order; the bytes are fetched from the
        // old name then.
        let mayFollow = queued.allSatisfy { intent, isRunning in
            isRunning || (intent.kind != .put && intent.kind != .copy) || self.mayFollow(intent)
        }
        for (intent, isRunning) in queued {
            switch intent.kind {
            case _ where isRunning: mayExist = true
            case .put, .copy:
                if !mayFollow {
                    mayExist = true
                } else if intent.kind == .put {
                    puts.append(intent)
                } else {
                    copy = intent
                }
            case .metadata: _ = overlay.drop(intent)
            case .delete, .marker: break
            }
        }
        overlay.note(oldKey)
        overlay.note(key)
        var ids: [IntentID] = []
        let hasClean = file.location != nil || mayExist || copy != nil
        if !puts.isEmpty || (!hasClean && file.isDirty && file.writerCount == 0) {
            // It names where the old bytes are about to be, or are: it may need them, and what comes there next waits for it.
            // What was to be copied to the old name is not there, whatever is.
            let former = copy?.source ?? (mayExist ? oldKey : puts.last?.source ?? file.location?.key)
            let source = former.flatMap { $0 == key ? nil : $0 }
            let replaced = (puts + (copy.map { [$0] } ?? [])).map { overlay.withdraw($0.id) }
            let id = overlay.add(
                .put, key: key, source: source, inode: inode, place: place, now: now, delay: quietTime)
            ids.append(id)
            for withdrawn in replaced { ids += take(the: withdrawn, over: id, now) }
        } else if let copy {
            ids += follow(copy, to: key, place, now)
        } else if hasClean {
            ids.append(
                overlay.add(.copy, key: key, source: oldKey, inode: inode, place: place, now: now, delay: quietTime))
        }
        if mayExist {
            ids.append(
                overlay.add(
                    .delete, key: oldKey, inode: nil, place: oldPlace, requires: ids.first, now: now))
        }
        return ids
    }

    /// Sends a copy that has not begun straight to the newest name; the deletion of its source comes after it again.
    private mutating func follow(_ copy: Intent, to key: ObjectKey, _ place: Place, _ now: Duration) -> [IntentID] {
        let withdrawn = overlay.withdraw(copy.id)
        if key == copy.source {
            // Back where its bytes are: nothing has to move, and they are not deleted.
            let ids = take(the: withdrawn.filter { $0.kind != .delete || $0.key != key }, over: nil, now)
            for intent in withdrawn where intent.id == copy.id || intent.key == key {
                overlay.settle(withdrawn: intent)
            }
            if let inode = copy.inode, tree[unkept: inode]?.attributes.isDirty == true {
                try? enqueueMetadata(inode, now: now)
            }
            return ids
        }
        let id = overlay.add(
            .copy, key: key, source: copy.source, inode: copy.inode, place: place, now: now, delay: quietTime)
        return [id] + take(the: withdrawn, over: id, now)
    }

    /// A new intent takes the place of a withdrawn one, the first in the list: the deletions that came after that come after
    /// it, and who waited for either waits for what has its place. Without `id` the deletions need not wait for anything.
    mutating func take(the withdrawn: [Intent], over id: IntentID?, _ now: Duration) -> [IntentID] {
        guard let replaced = withdrawn.first else { return [] }
        if let id { pass(replaced.id, to: id) }
        var ids: [IntentID] = []
        for old in withdrawn.dropFirst() {
            // What has been queued since to be stored there replaces the old object, and must not be deleted in its place.
            let isReplaced = overlay.committer.intents(for: old.key).contains { other, _ in
                other.key == old.key && other.id > old.id && other.kind != .delete
            }
            if isReplaced {
                overlay.settle(withdrawn: old)
                continue
            }
            let new = overlay.add(
                old.kind, key: old.key, source: old.source, inode: old.inode, place: old.place, requires: id, now: now)
            pass(old.id, to: new)
            ids.append(new)
        }
        return ids
    }

    /// True when nothing but the deletion of its source waits for an intent at the source: another change of that name,
    /// made after it, must not come before it.
    private func mayFollow(_ intent: Intent) -> Bool {
        guard let source = intent.source else { return intent.kind == .put }
        return overlay.committer.intents(for: source).allSatisfy { other, _ in
            other.id <= intent.id || (other.kind == .delete && other.requires == intent.id)
        }
    }

    private mutating func moveMarker(
        _ inode: InodeNumber, from oldKey: ObjectKey, _ oldPlace: Place, _ now: Duration
    ) throws(Errno) -> [IntentID] {
        var mayExist =
            base.marker(oldPlace.prefix) != nil || tree[inode]?.directory?.hasMarker == true
            || unanswered[oldKey] != nil
        var hadMarker = mayExist
        for (intent, isRunning) in overlay.committer.intents(for: oldKey) where intent.kind == .marker {
            hadMarker = true
            if isRunning { mayExist = true } else { _ = overlay.drop(intent) }
        }
        overlay.note(oldKey)
        tree[inode]?.directory?.hasMarker = false
        guard hadMarker else { return [] }
        // What is known to be stored with the marker goes with it, also where the directory needs none to exist.
        if tree[inode]?.attributes.stored != nil { tree[inode]?.attributes.isDirty = true }
        try enqueueMarker(inode, now: now, delay: .zero)
        guard mayExist else { return [] }
        return [overlay.add(.delete, key: oldKey, inode: nil, place: oldPlace, now: now)]
    }
}
