import Bytes
import ObjectStore
import SystemPackage

/// Attributes and extended attributes.
extension Volume {
    /// What S3's metadata may hold in all (S3 user guide, "Working with object metadata"); extended attributes are in it.
    static let metadataLimit = 2048

    public func getattr(_ inode: InodeNumber, _ handle: FileHandle?) -> Answer<AttributeReply> {
        do throws(Errno) {
            let answer: (reply: AttributeReply?, parent: InodeNumber, name: EntryName) = try look {
                state throws(Errno) in
                let node = try state.tree.node(inode)
                let isSettled = handle != nil || node.isDirectory || !node.isLinked || (node.file?.openCount ?? 0) > 0
                let timeout = state.remainingFreshness(node, now: clock.monotonic())
                let reply = AttributeReply(attributes: state.shown(node), timeout: timeout)
                return (isSettled || timeout > 0 ? reply : nil, node.parent, node.name)
            }
            if let reply = answer.reply { return .ready(reply) }
            return .later { () async throws(Errno) in
                try await self.refresh(answer.parent, answer.name)
                return try self.look { state throws(Errno) in
                    let node = try state.tree.node(inode)
                    guard node.isLinked else { throw .noSuchFileOrDirectory }
                    let timeout = state.remainingFreshness(node, now: self.clock.monotonic())
                    return AttributeReply(attributes: state.shown(node), timeout: timeout)
                }
            }
        } catch {
            return .failed(error)
        }
    }

    public func setattr(
        _ inode: InodeNumber, _ changes: AttributeChanges, _ handle: FileHandle?, _ caller: Caller
    ) -> Answer<AttributeReply> {
        do throws(Errno) {
            if let size = changes.size { try resize(inode, to: size) }
            // truncate(2) by name has no close that would publish it.
            let isPublished = try look { state throws(Errno) in
                let node = try state.tree.node(inode)
                return changes.size != nil && handle == nil && node.isLinked && node.file?.writerCount == 0
            }
            let closed = isPublished ? try settledContents(inode) : nil
            let set: @Sendable (inout VolumeState) throws(Errno) -> AttributeReply = { state throws(Errno) in
                try state.set(inode, changes, self.clock.wall(), self.clock.monotonic())
                let node = try state.tree.node(inode)
                return AttributeReply(
                    attributes: state.shown(node),
                    timeout: state.remainingFreshness(node, now: self.clock.monotonic()))
            }
            guard isPublished else { return kept(set) }
            return committed { state throws(Errno) in
                let reply = try set(&state)
                return (reply, [try state.enqueuePut(inode, closed, now: clock.monotonic())])
            }
        } catch {
            return .failed(error)
        }
    }

    public func setxattr(
        _ inode: InodeNumber, _ name: [UInt8], _ value: [UInt8], _ mode: XattrMode
    ) -> Answer<Void> {
        withXattrs(inode, name) { state, name throws(Errno) in
            guard let node = state.tree[inode] else { throw .staleNFSFileHandle }
            let exists = node.attributes.xattrs[name] != nil
            if mode == .create, exists { throw .fileExists }
            if mode == .replace, !exists { throw .noData }
            var changed = node.attributes.xattrs
            changed[name] = value
            guard StoredAttributes.pack(changed).utf8.count <= Self.metadataLimit - 256 else { throw .noSpace }
            state.tree[inode]?.attributes.xattrs = changed
        }
    }

    public func removexattr(_ inode: InodeNumber, _ name: [UInt8]) -> Answer<Void> {
        withXattrs(inode, name) { state, name throws(Errno) in
            guard state.tree[inode]?.attributes.xattrs.removeValue(forKey: name) != nil else { throw .noData }
        }
    }

    public func getxattr(_ inode: InodeNumber, _ name: [UInt8]) -> Answer<[UInt8]> {
        guard let name = String(validating: name, as: UTF8.self), name.hasPrefix("user.") else {
            return .failed(.noData)
        }
        if name.hasPrefix(CognitofsFacts.namespace) {
            return withStored(inode) { state throws(Errno) in
                guard let value = state.fact(name, of: inode) else { throw .noData }
                return Array(value.utf8)
            }
        }
        return withStored(inode) { state throws(Errno) in
            guard let value = try state.tree.node(inode).attributes.xattrs[name] else { throw .noData }
            return value
        }
    }

    public func listxattr(_ inode: InodeNumber) -> Answer<[UInt8]> {
        withStored(inode) { state throws(Errno) in
            let node = try state.tree.node(inode)
            let facts = node.isDirectory ? [] : CognitofsFacts.names
            return (node.attributes.xattrs.keys.sorted() + facts).flatMap { Array($0.utf8) + [0] }
        }
    }

    /// Changes extended attributes, for names that may be changed.
    private func withXattrs(
        _ inode: InodeNumber, _ name: [UInt8],
        _ body: @escaping @Sendable (inout VolumeState, String) throws(Errno) -> Void
    ) -> Answer<Void> {
        guard let name = String(validating: name, as: UTF8.self), name.hasPrefix("user."), name != "user." else {
            return .failed(.notSupported)
        }
        guard !name.hasPrefix(CognitofsFacts.namespace) else { return .failed(.notPermitted) }
        return withStored(inode) { state throws(Errno) in
            try body(&state, name)
            state.tree[inode]?.attributes.changed = self.clock.wall()
            try state.enqueueMetadata(inode, now: self.clock.monotonic())
        }
    }

    /// Runs `body` once it is known what S3 keeps beside the bytes.
    func withStored<Value: Sendable>(
        _ inode: InodeNumber, _ body: @escaping @Sendable (inout VolumeState) throws(Errno) -> Value
    ) -> Answer<Value> {
        let isKnown = (try? look { state throws(Errno) in state.isStoredKnown(inode) }) ?? true
        if isKnown { return kept(body) }
        return .later { () async throws(Errno) in
            try await self.learnStored(inode)
            return try await self.kept(body).value()
        }
    }

    /// Asks S3 for an object's (or a marker's) metadata, once, and takes it over as far as it was not changed here.
    func learnStored(_ inode: InodeNumber) async throws(Errno) {
        let key = try look { state throws(Errno) -> ObjectKey? in
            guard !state.isStoredKnown(inode) else { return nil }
            let node = try state.tree.node(inode)
            if let place = state.place(node), node.isDirectory { return ObjectKey(place.prefix.bytes) }
            return node.file?.location?.key
        }
        guard let key else { return }
        if isDown { throw Self.down.errno }
        do throws(ObjectStoreError) {
            let details = try await store.head(key, .metadata)
            update { $0.takeOver(details.attributes, details.summary.version.eTag, inode) }
        } catch {
            if error.code == .unreachable { noteUnreachable(error) }
            guard error.code == .notFound else { throw error.errno }
        }
    }

    /// The answer to a read told what is stored beside the bytes.
    func takeOver(_ attributes: ObjectAttributes, _ version: ObjectVersion, _ inode: InodeNumber) {
        update { state in
            guard state.tree[inode]?.file?.identity == version else { return }
            state.takeOver(attributes, state.tree[inode]?.file?.location?.eTag, inode)
        }
    }

    /// Asks for a directory's stored attributes in the background, once: its marker has them, if it has one.
    func learnDirectory(_ inode: InodeNumber) {
        if isDown { return }
        let isNew = update { state in
            guard inode != .root, let directory = state.tree[inode]?.directory, !directory.hasAsked,
                state.tree[inode]?.attributes.stored == nil
            else { return false }
            state.tree[inode]?.directory?.hasAsked = true
            return true
        }
        guard isNew else { return }
        Task(executorPreference: clock.executor) { try? await self.learnStored(inode) }
    }
}

extension VolumeState {
    func isStoredKnown(_ inode: InodeNumber) -> Bool {
        guard let node = tree[inode] else { return true }
        if node.attributes.stored != nil { return true }
        return node.isDirectory ? node.directory?.hasMarker != true : node.file?.location == nil
    }

    /// Shows what was stored with the version `eTag`, unless it was changed here since.
    mutating func takeOver(_ found: ObjectAttributes, _ eTag: ETag?, _ inode: InodeNumber) {
        guard let node = tree[inode], node.attributes.stored == nil else { return }
        if let location = node.file?.location, location.eTag != eTag { return }
        tree[inode]?.attributes.stored = found
        let stored = StoredAttributes(found.metadata)
        for (name, value) in stored.xattrs where node.attributes.xattrs[name] == nil {
            tree[inode]?.attributes.xattrs[name] = value
        }
        let overridden = node.attributes.overridden
        if let mode = stored.mode, !overridden.contains(.mode) {
            tree[inode]?.attributes.permissions = mode & FileMode.permissionMask
            if node.file?.isDirty == true { tree[inode]?.attributes.clearSetID() }
        }
        if let uid = stored.uid, !overridden.contains(.uid) { tree[inode]?.attributes.uid = uid }
        if let gid = stored.gid, !overridden.contains(.gid) { tree[inode]?.attributes.gid = gid }
        if let modified = stored.modified, !overridden.contains(.time) {
            tree[inode]?.attributes.modified = modified
            tree[inode]?.attributes.hasExplicitTime = true
        }
        if node.lookupCount > 0, stored.mode ?? stored.uid ?? stored.gid != nil || stored.modified != nil {
            notices.append(.inode(inode, data: false))
        }
    }

    /// Applies setattr's changes but the size.
    mutating func set(
        _ inode: InodeNumber, _ changes: AttributeChanges, _ wall: Timestamp, _ now: Duration
    ) throws(Errno) {
        var attributes = try tree.node(inode).attributes
        if let mode = changes.mode {
            attributes.permissions = mode & FileMode.permissionMask
            attributes.overridden.insert(.mode)
        }
        if let uid = changes.uid {
            attributes.uid = uid
            attributes.overridden.insert(.uid)
        }
        if let gid = changes.gid {
            attributes.gid = gid
            attributes.overridden.insert(.gid)
        }
        if changes.killsSetID { attributes.clearSetID() }
        func time(_ change: AttributeChanges.Time) -> Timestamp {
            if case .at(let time) = change { time } else { wall }
        }
        if let accessed = changes.accessed { attributes.accessed = time(accessed) }
        if let modified = changes.modified {
            attributes.modified = time(modified)
            attributes.hasExplicitTime = true
            attributes.overridden.insert(.time)
        }
        attributes.changed = wall
        let isStored = changes.mode != nil || changes.uid != nil || changes.gid != nil || changes.modified != nil
        tree[inode]?.attributes = attributes
        if isStored { try enqueueMetadata(inode, now: now) }
    }

    /// The attributes with which an object is stored now: the stored ones, changed where the view differs.
    func attributesToStore(_ node: Node) -> ObjectAttributes {
        var attributes = node.attributes.stored ?? ObjectAttributes(contentType: contentType(node))
        var stored = StoredAttributes(attributes.metadata)
        stored.mode = node.fileType | node.attributes.permissions
        stored.uid = node.attributes.uid
        stored.gid = node.attributes.gid
        stored.modified = node.attributes.modified
        stored.xattrs = node.attributes.xattrs
        stored.write(to: &attributes.metadata)
        return attributes
    }

    func contentType(_ node: Node) -> String {
        if node.isDirectory { return ContentType.directory }
        return node.linkTarget != nil ? ContentType.symbolicLink : ContentType.of(node.name)
    }
}

extension NodeAttributes {
    /// A write by anybody takes the set-id bits away, as on ext4 (inode(7)).
    mutating func clearSetID() {
        permissions &= ~FileMode.setUserID
        if permissions & FileMode.groupExecute != 0 { permissions &= ~FileMode.setGroupID }
    }
}
