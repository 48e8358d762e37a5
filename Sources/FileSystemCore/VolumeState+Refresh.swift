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
        let children = tree[inode]?.directory?.children ?? [:]
        let names = Set(before.objects.keys).union(before.directories).union(children.keys)
            .union(listed.objects.keys).union(listed.directories)
        // New ones get their inodes in the order of names: whoever goes through them, in either order, is seen to.
        for name in names.filter({ children[$0] != nil }) + names.filter({ children[$0] == nil }).sorted() {
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
            if !isKept, shown?.isDirectory != false, known.objects.removeValue(forKey: name) != nil {
                if shown != nil { known.hide(name, below: prefix) }
            }
        }
        base.replace(prefix, with: known)
        base.noteHeld(prefix)
        tree[inode]?.directory?.listedAt = startedAt
        tree[inode]?.directory?.listingTime = .zero
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
        show(
            parent, prefix, name, object: object.map { SeenObject($0) }, isDirectory: isDirectory, since: start,
            at: time)
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
        _ parent: InodeNumber, _ prefix: KeyPrefix, _ name: EntryName, object: SeenObject?, isDirectory: Bool,
        since start: UInt64, at time: Duration
    ) {
        let key = prefix.bytes + name.bytes
        let node = tree.child(parent, name)
        let file = object.map { ListedFile(prefix: prefix, name: name, object: $0) }
        let isHidden = overlay.hidesListing(key, since: start)
        let isPrefixHidden = overlay.hidesListing(key + [UInt8(ascii: "/")], since: start)
        switch (node, isDirectory, file) {
        case (nil, true, _):
            guard !isPrefixHidden, !isHidden else { return }
            changed(parent, addListedDirectory(parent, name))
        case (nil, false, let file?):
            guard !isHidden, !isPrefixHidden else { return }
            changed(parent, addListed(parent, file))
        case (nil, false, nil):
            break
        case (let node?, true, _) where node.isDirectory:
            break
        case (let node?, false, let file?) where !node.isDirectory:
            guard !isHidden, !isOwned(node) else { return }
            update(node, to: file)
        case (let node?, _, _):
            // Gone, or something of another kind now.
            guard !isHidden, !isPrefixHidden, !mustStay(node) else { return }
            notices.append(.deleted(parent, node.inode, name))
            tree.detach(node.inode)
            if isDirectory {
                changed(parent, addListedDirectory(parent, name))
            } else if let file {
                changed(parent, addListed(parent, file))
            }
        }
    }

    /// A directory that S3 has, whose attributes nobody has asked for.
    mutating func addListedDirectory(_ parent: InodeNumber, _ name: EntryName) -> InodeNumber {
        let time = tree[.root]?.attributes.modified ?? Timestamp(seconds: 0)
        let attributes = Self.attributes(options, isDirectory: true, modified: time)
        return tree.add(parent, name, .directory(DirectoryState()), attributes, isKept: false)
    }

    /// A file that S3 has.
    mutating func addListed(_ parent: InodeNumber, _ file: ListedFile) -> InodeNumber {
        tree.add(parent, file.name, .listed(file), attributes(of: file), isKept: false)
    }

    private func attributes(of file: ListedFile) -> NodeAttributes {
        Self.attributes(options, isDirectory: false, modified: Timestamp(seconds: file.object.lastModified))
    }

    /// A name that the kernel may hold as missing has come.
    private mutating func changed(_ parent: InodeNumber, _ child: InodeNumber) {
        guard let node = tree[child], tree[parent]?.directory?.listedAt != nil else { return }
        notices.append(.entry(parent, node.name))
    }

    /// A foreign version. An open file keeps the version it was opened with: the name gets a new node then, as when a
    /// program on this machine had renamed a new file over it.
    private mutating func update(_ node: Node, to file: ListedFile) {
        guard !node.stands(on: file) else { return }
        if let own = node.ownFile, own.openCount > 0, !options.faults.contains(.handleFollowsVersion) {
            notices.append(.entry(node.parent, node.name))
            tree.detach(node.inode)
            changed(node.parent, addListed(node.parent, file))
            return
        }
        notices.append(.inode(node.inode, data: true))
        tree[node.inode]?.show(file)
        let attributes = attributes(of: file)
        tree[node.inode]?.attributes = attributes
    }
}
