import Journal
import ObjectStore
import SystemPackage

/// Names: what is there, what is made, what goes.
extension Volume {
    public func lookup(_ parent: InodeNumber, _ name: FileName) -> Answer<Entry> {
        do throws(Errno) {
            let name = try EntryName(name)
            let entry = try change { state throws(Errno) in
                try state.lookup(parent, name, clock.monotonic(), force: false)
            }
            if let entry { return .ready(entry) }
            return .later { () async throws(Errno) in
                try await self.refresh(parent, name)
                return try self.change { state throws(Errno) in
                    guard let entry = try state.lookup(parent, name, self.clock.monotonic(), force: true) else {
                        throw .noSuchFileOrDirectory
                    }
                    return entry
                }
            }
        } catch {
            return .failed(error)
        }
    }

    public func forget(_ inode: InodeNumber, count: UInt64) {
        update { $0.tree.forget(inode, count: count) }
    }

    public func mkdir(_ parent: InodeNumber, _ name: FileName, mode: UInt32, _ caller: Caller) -> Answer<Entry> {
        kept { state throws(Errno) in
            let name = try state.freeName(parent, name)
            _ = try state.tree.key(parent, name, isDirectory: true)
            var attributes = state.newAttributes(parent, mode: mode, caller, clock.wall())
            if let inherited = state.tree[parent]?.attributes.permissions, inherited & FileMode.setGroupID != 0 {
                attributes.permissions |= FileMode.setGroupID
            }
            var directory = DirectoryState()
            directory.listedAt = clock.monotonic()
            let inode = state.tree.add(parent, name, .directory(directory), attributes)
            try state.enqueueMarker(inode, now: clock.monotonic(), delay: max(.milliseconds(1500), state.quietTime))
            state.noteMade(inode)
            state.noteChildren(of: parent, clock.wall())
            return try state.entry(inode, now: clock.monotonic())
        }
    }

    public func mknod(_ parent: InodeNumber, _ name: FileName, mode: UInt32, _ caller: Caller) -> Answer<Entry> {
        guard mode & FileMode.typeMask == FileMode.regular || mode & FileMode.typeMask == 0 else {
            return .failed(.notPermitted)
        }
        return committed { state throws(Errno) in
            let inode = try state.addFile(parent, name, mode: mode, caller, clock.wall())
            let id = try state.enqueuePut(inode, state.wholeContents(inode), now: clock.monotonic())
            return (try state.entry(inode, now: clock.monotonic()), [id])
        }
    }

    public func symlink(
        _ target: [UInt8], _ parent: InodeNumber, _ name: FileName, _ caller: Caller
    ) -> Answer<Entry> {
        committed { state throws(Errno) in
            let inode = try state.addFile(parent, name, mode: 0o777, caller, clock.wall())
            state.tree[inode]?.linkTarget = target
            state.tree[inode]?.file?.size = Int64(target.count)
            state.tree[inode]?.attributes.permissions = 0o777
            let id = try state.enqueuePut(inode, state.wholeContents(inode), now: clock.monotonic())
            return (try state.entry(inode, now: clock.monotonic()), [id])
        }
    }

    public func readlink(_ inode: InodeNumber) -> Answer<[UInt8]> {
        now { state throws(Errno) in
            guard let target = try state.tree.node(inode).linkTarget else { throw .invalidArgument }
            return target
        }
    }

    public func unlink(_ parent: InodeNumber, _ name: FileName) -> Answer<Void> {
        committed(isTakenBack: true) { state throws(Errno) in
            let name = try EntryName(name)
            guard let node = state.tree.child(parent, name) else { throw .noSuchFileOrDirectory }
            guard !node.isDirectory else { throw .isDirectory }
            let id = try state.removeFile(node, clock.monotonic())
            state.noteChildren(of: parent, clock.wall())
            state.keepAlive(parent, now: clock.monotonic())
            return ((), id.map { [$0] } ?? [])
        }
    }

    public func rmdir(_ parent: InodeNumber, _ name: FileName) -> Answer<Void> {
        do throws(Errno) {
            let name = try EntryName(name)
            let isKnown = try look { state throws(Errno) in
                guard let node = state.tree.child(parent, name) else { throw .noSuchFileOrDirectory }
                guard let directory = node.directory else { throw .notDirectory }
                guard directory.children.isEmpty else { throw .directoryNotEmpty }
                return state.isFresh(directory, now: self.clock.monotonic())
            }
            if isKnown { return removeDirectory(parent, name) }
            return .later { () async throws(Errno) in
                let inode = try self.look { state throws(Errno) in
                    guard let node = state.tree.child(parent, name) else { throw .noSuchFileOrDirectory }
                    return node.inode
                }
                try await self.load(inode)
                try await self.removeDirectory(parent, name).value()
            }
        } catch {
            return .failed(error)
        }
    }

    private func removeDirectory(_ parent: InodeNumber, _ name: EntryName) -> Answer<Void> {
        committed(isTakenBack: true) { state throws(Errno) in
            guard let node = state.tree.child(parent, name) else { throw .noSuchFileOrDirectory }
            guard let directory = node.directory else { throw .notDirectory }
            guard directory.children.isEmpty else { throw .directoryNotEmpty }
            let id = state.removeMarker(node, clock.monotonic())
            if let prefix = state.tree.keyPrefix(node.inode), let key = ObjectKey(prefix.bytes) {
                state.overlay.note(key)
                state.base.forgetDirectory(prefix)
            }
            state.tree.detach(node.inode)
            state.noteChildren(of: parent, clock.wall())
            state.keepAlive(parent, now: clock.monotonic())
            return ((), id.map { [$0] } ?? [])
        }
    }
}

extension VolumeState {
    /// The answer from the view, or nil when S3 has to be asked first. With `force`, the view is as fresh as it can be.
    mutating func lookup(
        _ parent: InodeNumber, _ name: EntryName, _ now: Duration, force: Bool
    ) throws(Errno) -> Entry? {
        let directory = try tree.directory(parent)
        let isListed = isFresh(directory, now: now)
        if let child = tree.child(parent, name) {
            guard force || isListed || isFresh(child.seenAt, now: now) || isOwned(child) else { return nil }
            return try entry(child.inode, now: now)
        }
        _ = try tree.key(parent, name)
        let isAbsent = isFresh(directory.absentAt[name], now: now)
        guard force || isListed || isAbsent else { return nil }
        // A name that could not be asked for is not remembered as missing.
        guard isListed || isAbsent else { throw .noSuchFileOrDirectory }
        let listed = isListed ? freshUntil(directory) ?? .zero : .zero
        let end = max(listed, directory.absentAt[name].map { $0 + options.freshness } ?? .zero)
        return Entry(attributes: nil, entryTimeout: max(0, seconds(end - now)), attributeTimeout: 0)
    }

    /// Checks that `name` can be made in `parent`.
    func freeName(_ parent: InodeNumber, _ name: FileName) throws(Errno) -> EntryName {
        let name = try EntryName(name)
        _ = try tree.directory(parent)
        guard tree[parent]?.isLinked == true else { throw .noSuchFileOrDirectory }
        guard tree.child(parent, name) == nil else { throw .fileExists }
        return name
    }

    /// Attributes of something new: the caller's, and the group of a set-gid directory.
    func newAttributes(_ parent: InodeNumber, mode: UInt32, _ caller: Caller, _ now: Timestamp) -> NodeAttributes {
        var attributes = NodeAttributes(
            permissions: mode & FileMode.permissionMask, uid: caller.uid, gid: caller.gid, accessed: now,
            modified: now, changed: now)
        attributes.overridden = .all
        if let directory = tree[parent]?.attributes, directory.permissions & FileMode.setGroupID != 0 {
            attributes.gid = directory.gid
        }
        return attributes
    }

    /// A new empty file that S3 does not have yet.
    mutating func addFile(
        _ parent: InodeNumber, _ name: FileName, mode: UInt32, _ caller: Caller, _ now: Timestamp
    ) throws(Errno) -> InodeNumber {
        let name = try freeName(parent, name)
        let key = try tree.key(parent, name)
        forgetHidden(parent, name)
        var file = FileState()
        file.generation = 1
        let inode = tree.add(parent, name, .file(file), newAttributes(parent, mode: mode, caller, now))
        overlay.note(key)
        noteChildren(of: parent, now)
        return inode
    }

    /// A directory has got its name: all that is in it is known.
    mutating func noteMade(_ directory: InodeNumber) {
        guard let prefix = tree.keyPrefix(directory) else { return }
        base.noteMade(prefix)
        for name in (base.directory(prefix)?.objects ?? [:]).keys { forgetHidden(directory, name) }
    }

    /// A free name is about to be taken. What S3 was seen to hold there, below a name that was another kind of node's in the
    /// view, nobody here has seen: it is met as what others have made, and not replaced.
    mutating func forgetHidden(_ parent: InodeNumber, _ name: EntryName) {
        guard let prefix = tree.keyPrefix(parent), let key = try? tree.key(parent, name),
            base.object(prefix, name) != nil, !overlay.hasPending(key.bytes)
        else { return }
        let place = Place(prefix: prefix, name: name)
        if !isStored(at: place, key) { setKnown(place, nil) }
    }

    /// The directory's own times follow a change of its names.
    mutating func noteChildren(of directory: InodeNumber, _ now: Timestamp) {
        tree[directory]?.attributes.modified = now
        tree[directory]?.attributes.changed = now
    }

    /// Takes a file's name away and queues what S3 has to forget. While the file is open its bytes stay there: the
    /// deletion is held until the last close.
    mutating func removeFile(_ node: Node, _ now: Duration) throws(Errno) -> IntentID? {
        let key = try tree.key(node.inode)
        queueMove(of: node.inode, now)
        queueMove(at: key, now)
        guard let place = place(node) else { throw .staleNFSFileHandle }
        let isOpen = (node.file?.openCount ?? 0) > 0
        var mayExist = knownObject(place) != nil || unanswered[key] != nil
        for (intent, isRunning) in overlay.committer.intents(for: key) where intent.key == key {
            if isRunning || intent.inode != node.inode {
                // Another file's bytes may come by here on their way to a name they have got since.
                mayExist = true
            } else if intent.kind == .copy, isOpen {
                // Its bytes are read until the last close: they move first, and are deleted then.
                mayExist = true
            } else if intent.kind != .delete {
                _ = overlay.drop(intent)
            }
        }
        node.file?.streaming?.cancel()
        forgetUpload(node.inode, node.file?.streaming)
        overlay.note(key)
        tree.detach(node.inode)
        guard mayExist else { return nil }
        let id = overlay.add(.delete, key: key, inode: node.inode, place: place, now: now, isHeld: isOpen)
        if isOpen { tree[node.inode]?.file?.heldDelete = id }
        return isOpen ? nil : id
    }

    /// Queues the deletion of a directory's marker, if it has one or may get one.
    mutating func removeMarker(_ node: Node, _ now: Duration) -> IntentID? {
        guard let place = place(node), let key = ObjectKey(place.prefix.bytes) else { return nil }
        var mayExist =
            node.directory?.hasMarker == true || base.marker(place.prefix) != nil || unanswered[key] != nil
        for (intent, isRunning) in overlay.committer.intents(for: key) where intent.kind == .marker {
            if isRunning { mayExist = true } else { _ = overlay.drop(intent) }
        }
        guard mayExist else { return nil }
        return overlay.add(.delete, key: key, inode: nil, place: place, now: now)
    }
}
