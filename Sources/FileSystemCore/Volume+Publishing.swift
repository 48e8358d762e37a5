import Journal
import ObjectStore
import SystemPackage

/// From a program's close or fsync to what is promised: the journal has it, or S3.
extension Volume {
    public func fsync(_ inode: InodeNumber, _ handle: FileHandle, dataOnly: Bool) -> Answer<Void> {
        guard options.durability == .local else { return publish(inode) }
        return .later { () async throws(Errno) in
            try self.keepContents(inode)
            try self.syncRows()
        }
    }

    /// Returns when every change made before is on this disk.
    func syncJournal() -> Answer<Void> {
        .later { () async throws(Errno) in try self.syncRows() }
    }

    /// Queues the contents, if they changed, for everybody to see.
    func publish(_ inode: InodeNumber) -> Answer<Void> {
        do throws(Errno) {
            let closed = try settledContents(inode)
            return committed { state throws(Errno) in
                let node = try state.tree.node(inode)
                guard node.isLinked, let file = node.file else { return ((), []) }
                if file.isDirty { return ((), [try state.enqueuePut(inode, closed, now: clock.monotonic())]) }
                let key = try state.tree.key(inode)
                let queued = state.overlay.committer.intents(for: key).filter { $0.intent.inode == inode }
                return ((), queued.map(\.intent.id))
            }
        } catch {
            return .failed(error)
        }
    }

    /// As `publish`, for what the last handle left: nobody waits, and a full disk must not keep the bytes from S3.
    func publishRest(_ inode: InodeNumber) {
        let closed = try? settledContents(inode)
        update { state in
            guard let node = state.tree[unkept: inode], node.isLinked, node.file?.isDirty == true else { return }
            _ = try? state.enqueuePut(inode, closed, now: clock.monotonic())
        }
    }

    /// S3 has what a recovery would have to come back to: the staged file may be rewritten.
    func releasePoint(_ inode: InodeNumber) {
        let file = try? look { state throws(Errno) in state.tree[unkept: inode]?.file }
        guard let file, let staged = file.staged, file.pendingClose == nil, file.pendingSync == nil else { return }
        for place in [file.closed?.staged, file.synced?.staged] { if let place { staged.release(place.point) } }
    }

    /// The contents as they are now, with the kernel, so that they outlive this process. Nil when S3 has them.
    func settledContents(_ inode: InodeNumber) throws(Errno) -> SettledContents? {
        let file = try look { state throws(Errno) in try state.tree.node(inode).file }
        guard let file, file.isDirty else { return nil }
        guard let staged = file.staged else {
            return SettledContents(generation: file.generation, size: file.size, staged: nil)
        }
        let (snapshot, point) = try staged.settle(mayCompact: true)
        return SettledContents(
            generation: file.generation, size: snapshot.size,
            staged: .init(snapshot: snapshot, name: staged.name, point: point))
    }

    /// Brings a changed file's contents to this disk, and has the journal speak of them. Not for everybody to see: the
    /// writer has not closed the file.
    private func keepContents(_ inode: InodeNumber) throws(Errno) {
        let node = try look { state throws(Errno) in try state.tree.node(inode) }
        guard node.isLinked, let file = node.file, file.isDirty else { return }
        guard let staged = file.staged else {
            let empty = SettledContents(generation: file.generation, size: file.size, staged: nil)
            return update { $0.noteSynced(inode, empty) }
        }
        // The closed contents' place in the log is still wanted, also that of a close which comes in between.
        let known = [file.closed?.staged?.point, file.synced?.staged?.point].compactMap { $0 }
        let (snapshot, point) = try staged.settle(mayCompact: file.pendingClose == nil, knowing: known)
        try staged.sync()
        let synced = SettledContents(
            generation: file.generation, size: snapshot.size,
            staged: .init(snapshot: snapshot, name: staged.name, point: point))
        update { $0.noteSynced(inode, synced) }
    }
}

extension VolumeState {
    mutating func noteSynced(_ inode: InodeNumber, _ synced: SettledContents) {
        guard let file = tree[inode]?.file, (file.synced?.generation ?? 0) <= synced.generation else { return }
        tree[inode]?.file?.synced = synced
        if file.closed?.generation == synced.generation { tree[inode]?.file?.synced?.isClosed = true }
    }

    /// The contents of a new node that has nothing staged.
    func wholeContents(_ inode: InodeNumber) -> SettledContents? {
        tree[unkept: inode]?.file.map { SettledContents(generation: $0.generation, size: $0.size, staged: nil) }
    }
}
