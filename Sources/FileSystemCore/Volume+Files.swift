import BlockCache
import Bytes
import Glibc
import Journal
import ObjectStore
import SystemPackage

/// Opening, closing and publishing files.
extension Volume {
    /// Objects up to this size may be symbolic links that were made elsewhere: only their metadata tells.
    private static let largestLink: Int64 = 4096

    public func open(_ inode: InodeNumber, flags: Int32, _ caller: Caller) -> Answer<Opened> {
        do throws(Errno) {
            let mayBeLink = try look { state throws(Errno) in
                let node = try state.tree.node(inode)
                guard let file = node.file else { throw .isDirectory }
                if file.isArchived, flags & O_TRUNC == 0 { throw .permissionDenied }
                return node.linkTarget == nil && file.location != nil && node.attributes.stored == nil
                    && (1...Self.largestLink).contains(file.size)
            }
            if !mayBeLink { return openKnown(inode, flags, caller) }
            return .later { () async throws(Errno) in
                // Best effort: a file can be read without its metadata.
                do throws(Errno) { try await self.learnStored(inode) } catch {
                    if error == .interrupted { throw error }
                }
                if try await self.becameLink(inode) { throw .staleNFSFileHandle }
                return try await self.openKnown(inode, flags, caller).value()
            }
        } catch {
            return .failed(error)
        }
    }

    private func openKnown(_ inode: InodeNumber, _ flags: Int32, _ caller: Caller) -> Answer<Opened> {
        do throws(Errno) {
            if flags & O_TRUNC != 0, flags & O_ACCMODE != O_RDONLY { try resize(inode, to: 0) }
            return .ready(try register(inode, flags, caller))
        } catch {
            return .failed(error)
        }
    }

    private func register(_ inode: InodeNumber, _ flags: Int32, _ caller: Caller) throws(Errno) -> Opened {
        let (opened, pinned) = try change { state throws(Errno) in try state.open(inode, flags, caller) }
        if let pinned { cache?.pin(pinned) }
        return opened
    }

    /// A small object whose metadata says that it is a link gets a new node; the kernel looks its name up again on ESTALE.
    private func becameLink(_ inode: InodeNumber) async throws(Errno) -> Bool {
        let source = try look { state throws(Errno) -> ContentReader.Source? in
            let node = try state.tree.node(inode)
            let mode = node.attributes.stored.flatMap { StoredAttributes($0.metadata).mode } ?? 0
            return mode & FileMode.typeMask == FileMode.symbolicLink ? self.source(node) : nil
        }
        guard let source else { return false }
        let whole = 0..<source.size
        let target = try await reader.read(source, whole, ahead: whole).flatMap { $0.array() }
        update { state in
            guard let node = state.tree[inode], node.isLinked, let file = node.file else { return }
            state.tree.detach(inode)
            let link = state.tree.add(node.parent, node.name, .symbolicLink(file, target: target), node.attributes)
            state.tree[link]?.file?.openCount = 0
            state.tree[link]?.attributes.permissions = 0o777
            state.tree[link]?.seenAt = node.seenAt
        }
        return true
    }

    public func create(
        _ parent: InodeNumber, _ name: FileName, mode: UInt32, flags: Int32, _ caller: Caller
    ) -> Answer<Created> {
        let existing = try? look { state throws(Errno) in
            try state.tree.child(parent, EntryName(name))?.inode
        }
        if let existing {
            guard flags & O_EXCL == 0 else { return .failed(.fileExists) }
            switch open(existing, flags: flags, caller) {
            case .failed(let error): return .failed(error)
            case .ready(let opened):
                return now { state throws(Errno) in
                    Created(entry: try state.entry(existing, now: clock.monotonic()), opened: opened)
                }
            case .later(let work):
                return .later { () async throws(Errno) in
                    let opened = try await work()
                    return try self.change { state throws(Errno) in
                        Created(entry: try state.entry(existing, now: self.clock.monotonic()), opened: opened)
                    }
                }
            }
        }
        return now { state throws(Errno) in
            let inode = try state.addFile(parent, name, mode: mode, caller, clock.wall())
            let opened = try state.open(inode, flags, caller).opened
            return Created(entry: try state.entry(inode, now: clock.monotonic()), opened: opened)
        }
    }

    public func flush(_ inode: InodeNumber, _ handle: FileHandle, _ caller: Caller) -> Answer<Void> {
        do throws(Errno) {
            let opener = try look { state throws(Errno) -> Int32? in
                guard let open = state.handles[handle] else { throw .badFileDescriptor }
                guard let file = state.tree[inode]?.file, file.isDirty else { return nil }
                // A reader closes a new file for everybody to see only where nobody has written to it.
                guard open.mayWrite || (file.location == nil && file.writerCount == 0 && file.staged == nil) else {
                    return nil
                }
                return open.pid
            }
            guard let opener, !writers.hasWriter(inode, among: [caller.pid, opener]) else { return .ready(()) }
            return publish(inode)
        } catch {
            return .failed(error)
        }
    }

    public func release(_ inode: InodeNumber, _ handle: FileHandle) -> Answer<Void> {
        let released = update { state in state.close(handle, clock.monotonic()) }
        if released?.isUnpublished == true { publishRest(inode) }
        if let pinned = released?.pinned { cache?.unpin(pinned) }
        if released?.isSettled == true { adoptAndDrop(inode) }
        return .ready(())
    }

    /// The last close of a file that S3 has: its staged bytes go over into the cache.
    func adoptAndDrop(_ inode: InodeNumber) {
        let staged = try? look { state throws(Errno) -> StagedFile? in
            guard let file = state.tree[inode]?.file, !file.isDirty, file.openCount == 0 else { return nil }
            return file.staged
        }
        guard let staged else { return }
        Task(executorPreference: clock.executor) { self.adopt(inode, staged) }
    }

    private func adopt(_ inode: InodeNumber, _ staged: StagedFile) {
        let snapshot = staged.snapshot()
        let identity = try? look { state throws(Errno) -> ObjectVersion? in
            guard let file = state.tree[inode]?.file, file.staged === staged, !file.isDirty, file.openCount == 0,
                file.baseSize == snapshot.size
            else { return nil }
            return file.identity
        }
        // A version's blocks must be its own: nothing was written since the snapshot, and nobody was writing.
        if let identity, staged.generation == snapshot.generation { copyToCache(snapshot, identity) }
        let isDropped = update { state in
            guard let file = state.tree[inode]?.file, file.staged === staged, !file.isDirty, file.openCount == 0,
                file.location != nil
            else { return false }
            state.tree[inode]?.file?.staged = nil
            // Their snapshots would keep the log open, and its room taken.
            state.tree[inode]?.file?.closed = nil
            state.tree[inode]?.file?.synced = nil
            return true
        }
        if isDropped { discard([staged]) }
    }

    private func copyToCache(_ snapshot: StagedFile.Snapshot, _ identity: ObjectVersion) {
        guard let cache, snapshot.size <= cache.limit / 4 else { return }
        let step = 16 * Int64(BlockCache.blockSize)
        let buffer = ByteBuffer(capacity: Int(min(step, snapshot.size)))
        for offset in stride(from: Int64(0), to: snapshot.size, by: Int(step)) {
            let range = offset..<min(offset + step, snapshot.size)
            // Only what lies here whole: unchanged ranges of a base version may be in the cache under that version.
            guard snapshot.extents(range) == [.staged(range)] else { continue }
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer.writable[..<range.count])
            guard (try? snapshot.read(range, into: target)) != nil else { return }
            cache.write(identity, size: snapshot.size, offset: offset, UnsafeRawBufferPointer(target))
        }
    }

    /// Where a node's clean bytes come from.
    func source(_ node: Node) -> ContentReader.Source? {
        guard let file = node.file, let identity = file.identity, file.location != nil else { return nil }
        let inode = node.inode
        let size = file.baseSize
        var source = ContentReader.Source(identity: identity, size: size) { [weak self] in
            // Once a new version is stored, the old one's bytes are nowhere: the new one's must not pass for them.
            try? self?.look { state throws(Errno) in
                guard let file = state.tree[inode]?.file, file.identity == identity else { return nil }
                return file.location
            }
        }
        if node.attributes.stored == nil {
            source.noteAttributes = { [weak self] in self?.takeOver($0, identity, inode) }
        }
        return source
    }
}

extension VolumeState {
    /// Makes a handle. The page cache may be kept when it holds this very version's pages.
    mutating func open(
        _ inode: InodeNumber, _ flags: Int32, _ caller: Caller
    ) throws(Errno) -> (opened: Opened, pinned: ObjectVersion?) {
        guard let file = try tree.node(inode).file else { throw .isDirectory }
        let mayWrite = flags & O_ACCMODE != O_RDONLY
        let keep = file.pages != nil && file.pages == file.identity
        let handle = newHandle()
        handles[handle] = OpenFile(inode: inode, mayWrite: mayWrite, pid: caller.pid, pinned: file.identity)
        tree[unkept: inode]?.file?.openCount += 1
        if mayWrite { tree[unkept: inode]?.file?.writerCount += 1 }
        tree[unkept: inode]?.file?.pages = file.identity
        return (Opened(handle: handle, keepCache: keep), file.identity)
    }

    /// What is left after a handle was closed.
    struct Released {
        let pinned: ObjectVersion?
        /// Nobody writes any more, and something was written that no close has published: a mapping written after the
        /// last close, or a close whose descriptor was still held elsewhere.
        var isUnpublished = false
        /// Nobody has the file open, and S3 has it.
        var isSettled = false
    }

    /// Ends a handle.
    mutating func close(_ handle: FileHandle, _ now: Duration) -> Released? {
        guard let open = handles.removeValue(forKey: handle) else { return nil }
        tree[unkept: open.inode]?.file?.openCount -= 1
        if open.mayWrite { tree[unkept: open.inode]?.file?.writerCount -= 1 }
        guard let node = tree[unkept: open.inode], let file = node.file else { return Released(pinned: open.pinned) }
        if !node.isLinked, file.openCount == 0 {
            if let held = file.heldDelete { overlay.release(held, now: now) }
            tree.removeIfUnused(open.inode)
        }
        return Released(
            pinned: open.pinned,
            isUnpublished: open.mayWrite && node.isLinked && file.writerCount == 0 && file.isDirty
                && file.closed?.generation != file.generation,
            isSettled: file.openCount == 0 && !file.isDirty && file.staged != nil)
    }
}
