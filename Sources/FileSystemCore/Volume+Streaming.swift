import Journal
import ObjectStore
import SystemPackage

/// Big files go to S3 while they are written.
extension Volume {
    /// A file that is written in sequence starts to be sent when it is this long.
    private static let threshold = PartPlan.singlePut + PartPlan.smallPart

    /// Called after a write that ended at `end` of a file that is not being sent yet.
    func startStreaming(_ inode: InodeNumber, at end: Int64) {
        // Only a new file, or one that was emptied: of an old one most parts may stay as they are.
        guard end >= Self.threshold, let staged = try? stagedFile(inode), staged.hidesBase else { return }
        let streaming: StreamingUpload? = update { state in
            guard let node = state.tree[inode], let file = node.file, file.streaming == nil, node.isLinked,
                file.pendingClose == nil, file.size == end, file.staged === staged,
                let key = try? state.tree.key(inode)
            else { return nil }
            let streaming = StreamingUpload(
                store: store, budget: budget, key: key, clock.executor,
                keep: { [weak self] kept in self?.update { $0.keep(kept, inode) } },
                attributes: { [weak self] () async throws(ObjectStoreError) in
                    guard let self else { throw ObjectStoreError(.cancelled, "the upload of \(key) was given up") }
                    return try await attributesOfBeginning(inode)
                })
            state.tree[unkept: inode]?.file?.streaming = streaming
            return streaming
        }
        if let streaming { pump(inode, streaming) }
    }

    /// What is known to be stored beside the bytes when their upload begins. The time comes with the last write.
    private func attributesOfBeginning(_ inode: InodeNumber) async throws(ObjectStoreError) -> ObjectAttributes {
        try await knowStored(inode)
        let attributes = try? look { state throws(Errno) in
            let node = try state.tree.node(inode)
            var attributes = state.attributesToStore(node)
            if !node.attributes.hasExplicitTime { attributes.metadata["mtime"] = nil }
            return attributes
        }
        guard let attributes else { throw ObjectStoreError(.cancelled, "the file is gone") }
        return attributes
    }

    /// Sends what is complete; called again as the file grows.
    func pump(_ inode: InodeNumber, _ streaming: StreamingUpload) {
        while true {
            let file = try? look { state throws(Errno) -> FileState? in
                guard let file = state.tree[unkept: inode]?.file, file.openStreaming === streaming else { return nil }
                return file
            }
            guard let file, let staged = file.staged, let claim = streaming.claim(size: file.size) else { return }
            Task(executorPreference: clock.executor) {
                let contents = FileContents(
                    size: staged.size, snapshot: staged.snapshot(), source: nil, reader: self.reader)
                // A part that fails is sent again when the file is closed.
                if (try? await streaming.send(claim, contents)) != nil { self.pump(inode, streaming) }
            }
        }
    }
}
