import ObjectStore

/// The read-only extended attributes by which a program can ask about a file.
enum CognitofsFacts {
    static let namespace = "user.cognitofs."
    static let names = ["key", "etag", "content-type", "state", "progress"].map { namespace + $0 }
}

extension VolumeState {
    /// The value of a `user.cognitofs.` attribute; nil when there is no such attribute, or nothing to say.
    func fact(_ name: String, of inode: InodeNumber) -> String? {
        guard let node = tree[inode], let file = node.file, let key = try? tree.key(inode) else { return nil }
        switch name.dropFirst(CognitofsFacts.namespace.count) {
        case "key": return key.description
        case "etag": return file.location?.eTag.text
        case "content-type": return node.attributes.stored?.contentType ?? contentType(node)
        case "state": return uploadState(node, key)
        case "progress": return progress(file)
        default: return nil
        }
    }

    private func uploadState(_ node: Node, _ key: ObjectKey) -> String {
        let queued = overlay.committer.intents(for: key).filter {
            $0.intent.key == key && $0.intent.inode == node.inode
        }
        func isRefused(_ id: IntentID) -> Bool { overlay.committer.lastError(id)?.isRefusal == true }
        if queued.contains(where: { !$0.isRunning && isRefused($0.intent.id) }) { return "failed" }
        if queued.contains(where: \.isRunning) { return "uploading" }
        if !queued.isEmpty || node.file?.isDirty == true || isMoving(node) { return "pending" }
        return node.name.isOfConflict ? "conflict" : "synced"
    }

    /// Per cent of the contents that S3 has.
    private func progress(_ file: FileState) -> String {
        guard file.isDirty else { return "100" }
        guard let sent = file.streaming?.bytesSent, file.size > 0 else { return "0" }
        return String(min(99, sent * 100 / file.size))
    }
}
