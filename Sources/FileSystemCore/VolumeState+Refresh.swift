import ObjectStore

/// How what S3 holds becomes what is shown.
extension VolumeState {
    /// Takes in a complete listing of a directory that began at change `start`.
    mutating func adopt(
        _ listed: Base.Directory, as inode: InodeNumber, _ prefix: KeyPrefix, since start: UInt64, startedAt: Duration
    ) {
        guard tree[inode]?.directory != nil, tree.keyPrefix(inode) == prefix else { return }
        if !overlay.hidesListing(prefix.bytes, since: start)
            || (listed.marker != nil && !overlay.hidesMarker(prefix, since: start))
        {
            tree[inode]?.directory?.hasMarker = listed.marker != nil
        }
        let before = base.directory(prefix) ?? Base.Directory()
        var known = listed
        if overlay.hidesListing(prefix.bytes, since: start) { known.marker = before.marker }
        let names = Set(before.objects.keys).union(before.directories).union(
            tree[inode]?.directory?.children.keys.map { $0 } ?? []
        )
        .union(listed.objects.keys).union(listed.directories)
        for name in names {
            let key = prefix.bytes + name.bytes
            // What a change here is based on stays what it was: its precondition must notice somebody else's change.
            let isOwned = tree.child(inode, name).map { self.isOwned($0) } ?? false
            let isPrefixHidden = overlay.hidesListing(key + [UInt8(ascii: "/")], since: start)
            // A file may have taken the name of a directory of which something is still to be deleted.
            let isSucceeding = listed.directories.contains(name) && isPrefixHidden
            let isKept = isOwned || isSucceeding || overlay.hidesListing(key, since: start)
            if isKept { known.objects[name] = before.objects[name] }
            if isPrefixHidden {
                if before.directories.contains(name) {
                    known.directories.insert(name)
                } else {
                    known.directories.remove(name)
                }
            }
            show(
                inode, prefix, name, object: listed.objects[name], isDirectory: listed.directories.contains(name),
                since: start, at: startedAt)
            // What is not shown is nobody's to replace: a directory here has the name, or had it a moment ago.
            let shown = tree.child(inode, name)
            if !isKept, shown?.isDirectory != false, let object = known.objects.removeValue(forKey: name) {
                if shown != nil { known.hidden[object.version.key] = .besideDirectory }
            }
        }
        base.replace(prefix, with: known)
        base.noteHeld(prefix)
        tree[inode]?.directory?.listedAt = startedAt
        tree[inode]?.directory?.absentAt = [:]
        tree[inode]?.directory?.probeCount = 0
    }

    /// Takes in what S3 said of one name.
    mutating func observe(
        _ parent: InodeNumber, _ prefix: KeyPrefix, _ name: EntryName, object: ObjectSummary?, isDirectory: Bool,
        since start: UInt64, at time: Duration, mayCacheAbsence: Bool
    ) {
        guard tree[parent]?.directory != nil, tree.keyPrefix(parent) == prefix else { return }
        // Where listing is refused, nothing can say that a directory is gone.
        if !mayCacheAbsence, object == nil, tree.child(parent, name)?.isDirectory == true { return }
        let isOwned = tree.child(parent, name).map { self.isOwned($0) } ?? false
        let isKept = isOwned || overlay.hidesListing(prefix.bytes + name.bytes, since: start)
        show(parent, prefix, name, object: object, isDirectory: isDirectory, since: start, at: time)
        // What is not shown is nobody's to replace.
        let isShown = tree.child(parent, name)?.isDirectory == false
        if !isKept { base.set(prefix, name, to: isShown ? object : nil) }
        if let child = tree.child(parent, name)?.inode {
            tree[child]?.seenAt = time
            tree[parent]?.directory?.absentAt[name] = nil
        } else if mayCacheAbsence {
            if (tree[parent]?.directory?.absentAt.count ?? 0) > 1000 { tree[parent]?.directory?.absentAt = [:] }
            tree[parent]?.directory?.absentAt[name] = time
        }
    }

    /// Makes the view of one name agree with S3, unless the name is changed here.
    private mutating func show(
        _ parent: InodeNumber, _ prefix: KeyPrefix, _ name: EntryName, object: ObjectSummary?, isDirectory: Bool,
        since start: UInt64, at time: Duration
    ) {
        let key = prefix.bytes + name.bytes
        let node = tree.child(parent, name)
        let isHidden = overlay.hidesListing(key, since: start)
        let isPrefixHidden = overlay.hidesListing(key + [UInt8(ascii: "/")], since: start)
        switch (node, isDirectory, object) {
        case (nil, true, _):
            guard !isPrefixHidden, !isHidden else { return }
            addDirectory(parent, name)
        case (nil, false, let object?):
            guard !isHidden, !isPrefixHidden else { return }
            addFile(parent, name, object)
        case (nil, false, nil):
            break
        case (let node?, true, _) where node.isDirectory:
            break
        case (let node?, false, let object?) where !node.isDirectory:
            guard !isHidden, !isOwned(node) else { return }
            update(node, to: object)
        case (let node?, _, _):
            // Gone, or something of another kind now.
            guard !isHidden, !isPrefixHidden, !mustStay(node) else { return }
            notices.append(.deleted(parent, node.inode, name))
            tree.detach(node.inode)
            if isDirectory { addDirectory(parent, name) } else if let object { addFile(parent, name, object) }
        }
    }

    private mutating func addDirectory(_ parent: InodeNumber, _ name: EntryName) {
        let time = tree[.root]?.attributes.modified ?? Timestamp(seconds: 0)
        let attributes = Self.attributes(options, isDirectory: true, modified: time)
        changed(parent, tree.add(parent, name, .directory(DirectoryState()), attributes, isKept: false))
    }

    private mutating func addFile(_ parent: InodeNumber, _ name: EntryName, _ object: ObjectSummary) {
        let attributes = Self.attributes(
            options, isDirectory: false, modified: Timestamp(seconds: object.lastModified))
        changed(parent, tree.add(parent, name, .file(FileState(clean: object)), attributes, isKept: false))
    }

    /// A name that the kernel may hold as missing has come.
    private mutating func changed(_ parent: InodeNumber, _ child: InodeNumber) {
        guard let node = tree[child], tree[parent]?.directory?.listedAt != nil else { return }
        notices.append(.entry(parent, node.name))
    }

    /// A foreign version. An open file keeps the version it was opened with: the name gets a new node then, as when a
    /// program on this machine had renamed a new file over it.
    private mutating func update(_ node: Node, to object: ObjectSummary) {
        guard let file = node.file,
            file.location?.eTag != object.version.eTag || file.location?.key != object.version.key
        else { return }
        if file.openCount > 0 {
            notices.append(.entry(node.parent, node.name))
            tree.detach(node.inode)
            addFile(node.parent, node.name, object)
            return
        }
        notices.append(.inode(node.inode, data: true))
        var clean = FileState(clean: object)
        clean.pages = nil
        tree[node.inode]?.file = clean
        tree[node.inode]?.linkTarget = nil
        tree[node.inode]?.attributes = Self.attributes(
            options, isDirectory: false, modified: Timestamp(seconds: object.lastModified))
    }
}
