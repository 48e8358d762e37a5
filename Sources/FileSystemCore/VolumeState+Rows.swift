import Bytes
import Journal
import ObjectStore

/// What of the state the journal keeps.
///
/// Rows follow the state: whatever changed since the last call is looked at, and what of it is to outlive the process is
/// written as it is now. So a row can be stale only where a change was not noticed, never wrong in itself.
extension VolumeState {
    /// What changed since the last call.
    mutating func takeRows() -> RowBatch {
        var batch = base.takeChanges()
        var inodes = tree.takeTouched().union(overlay.takeChangedNodes())
        var places: Set<KeyPrefix> = []
        for id in overlay.takeChangedIntents() {
            let intent = overlay.committer.intent(id)
            Self.write(intent, id, to: &batch)
            if let intent { places.insert(intent.place.prefix) }
        }
        for prefix in places { if let directory = tree.inode(of: prefix) { inodes.insert(directory) } }
        for key in takeChangedAttempts() { writeAttempts(key, to: &batch) }
        for inode in overlay.moves.takeChanged() {
            writeOrigin(inode, to: &batch)
            inodes.insert(inode)
        }
        for inode in inodes { writeNode(inode, to: &batch) }
        for inode in takeChangedUploads() { writeUpload(inode, to: &batch) }
        return batch
    }

    /// Everything but the base, for a new log. `isRewritten`: the last one has taken the journal's name.
    mutating func overlayRows(isRewritten: Bool) -> RowBatch {
        var batch = RowBatch()
        var places: Set<KeyPrefix> = []
        for item in overlay.committer.intents {
            Self.write(item.intent, item.intent.id, to: &batch)
            places.insert(item.intent.place.prefix)
        }
        for key in unanswered.keys { writeAttempts(key, to: &batch) }
        for inode in keptUploads.keys { writeUpload(inode, to: &batch) }
        for inode in overlay.moves.origins.keys { writeOrigin(inode, to: &batch) }
        let directories = places.compactMap { tree.inode(of: $0) }
        let kept = forgetKeptNodes(isRewritten: isRewritten)
        for inode in kept.union(directories) { writeNode(inode, to: &batch) }
        noteLeftNodes(kept)
        return batch
    }

    private static func write(_ intent: Intent?, _ id: IntentID, to batch: inout RowBatch) {
        let name = RowKind.intent.name(id.value)
        guard let intent else { return batch.remove(name) }
        var writer = ByteWriter()
        writer.add(intent)
        batch.set(name, writer.bytes)
    }

    private func writeUpload(_ inode: InodeNumber, to batch: inout RowBatch) {
        let name = RowKind.upload.name(inode.value)
        guard let kept = keptUploads[inode] else { return batch.remove(name) }
        var writer = ByteWriter()
        writer.add(kept)
        batch.set(name, writer.bytes)
    }

    private func writeOrigin(_ inode: InodeNumber, to batch: inout RowBatch) {
        let name = RowKind.origin.name(inode.value)
        guard let prefixes = overlay.moves.origins[inode] else { return batch.remove(name) }
        var writer = ByteWriter()
        writer.add(UInt32(prefixes.count))
        for prefix in prefixes { writer.add(prefix.bytes) }
        batch.set(name, writer.bytes)
    }

    private func writeAttempts(_ key: ObjectKey, to batch: inout RowBatch) {
        let name = RowKind.attempts.name(key.bytes)
        guard let attempts = unanswered[key], !attempts.isEmpty else { return batch.remove(name) }
        var writer = ByteWriter()
        writer.add(UInt32(attempts.count))
        for attempt in attempts { writer.add(attempt) }
        batch.set(name, writer.bytes)
    }

    /// Writes a node that differs from S3, with the directories above it; removes one that does not any more.
    private mutating func writeNode(_ inode: InodeNumber, to batch: inout RowBatch) {
        guard inode != .root else { return }
        let node = tree[inode].flatMap { $0.isLinked ? $0 : nil }
        // A directory stays for what is below it, and goes with the next rewrite.
        guard let node, isKept(node) || (node.isDirectory && mayStandInJournal(inode)) else {
            if forgetKeptNode(inode) { batch.remove(RowKind.node.name(inode.value)) }
            if node == nil { forgetUpload(inode, nil) }
            return
        }
        noteKeptNode(inode)
        batch.set(RowKind.node.name(inode.value), NodeRow(node).bytes)
        if node.parent != .root, !isNodeKept(node.parent) {
            noteKeptNode(node.parent)
            writeNode(node.parent, to: &batch)
        }
    }

    /// A row was found of this node. What was given up, or is as S3 has it by now, needs none any more.
    mutating func noteRecovered(_ inode: InodeNumber) {
        noteKeptNode(inode)
        if tree[unkept: inode].map({ !$0.isLinked || !isKept($0) }) ?? true { tree.touch(inode) }
    }

    /// True for a node that a crash must find as it is, since neither base nor S3 can tell it.
    private func isKept(_ node: Node) -> Bool {
        if node.isDirectory {
            // Base is not believed where something is queued below.
            return node.attributes.isDirty || overlay.moves.origins[node.inode] != nil
                || tree.keyPrefix(node.inode).map { overlay.hasPending($0.bytes) } ?? false
        }
        guard let file = node.file else { return false }
        // What is queued speaks of it, even of one that is back where its bytes are.
        if overlay.committer.stores(node.inode) { return true }
        if file.pendingClose != nil || file.pendingSync != nil { return true }
        guard let location = file.location, !isMoving(node) else { return false }
        return node.attributes.isDirty || (try? tree.key(node.inode)) != location.key
    }

    func isQueued(_ node: Node) -> Bool {
        guard let prefix = tree.keyPrefix(node.inode), let key = ObjectKey(prefix.bytes) else { return false }
        return overlay.committer.intents(for: key).contains { $0.intent.inode == node.inode }
    }
}
