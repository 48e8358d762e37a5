import Bytes
import Glibc
import Journal
import ObjectStore
import SystemPackage

/// Reading and changing contents.
extension Volume {
    /// The largest file: 10,000 parts as `PartPlan` sizes them.
    static let largestFile = PartPlan.largestObject

    public func read(
        _ inode: InodeNumber, _ handle: FileHandle, offset: Int64, count: Int
    ) -> Answer<[ByteSlice]> {
        do throws(Errno) {
            let plan = try change { state throws(Errno) in try state.planRead(inode, handle, offset, count) }
            guard let plan else { return .ready([]) }
            for neighbour in plan.neighbours where !isDown {
                if let source = source(neighbour) { reader.prefetch(source, 0..<source.size) }
            }
            let source = plan.node.flatMap(self.source)
            if let staged = plan.node?.file?.staged { return readStaged(staged, inode, handle, plan, source) }
            guard let source else { return .ready([zeros(plan.range.count)]) }
            if let slices = reader.available(source, plan.range) {
                reader.prefetch(source, plan.ahead)
                return .ready(slices)
            }
            return .later { () async throws(Errno) in
                do throws(Errno) {
                    return try await self.reader.read(source, plan.range, ahead: plan.ahead)
                } catch {
                    return try await self.readAgain(inode, handle, plan, source, error)
                }
            }
        } catch {
            return .failed(error)
        }
    }

    /// A version that is gone because this mount has stored a newer one, perhaps before it was killed, is no failure: the
    /// newer one is read.
    private func readAgain(
        _ inode: InodeNumber, _ handle: FileHandle, _ plan: VolumeState.ReadPlan, _ source: ContentReader.Source?,
        _ error: Errno
    ) async throws(Errno) -> [ByteSlice] {
        func identity() throws(Errno) -> ObjectVersion? {
            try look { state throws(Errno) in try state.tree.node(inode).file?.identity }
        }
        guard error == .staleNFSFileHandle, let source else { throw error }
        if try identity() == source.identity { _ = try? await followOwnWrite(inode) }
        guard try identity() != source.identity else { throw error }
        return try await read(inode, handle, offset: plan.range.lowerBound, count: plan.range.count).value()
    }

    /// Reads a changed file: its own bytes, zeros, and what is unchanged from its base.
    private func readStaged(
        _ staged: StagedFile, _ inode: InodeNumber, _ handle: FileHandle, _ plan: VolumeState.ReadPlan,
        _ source: ContentReader.Source?
    ) -> Answer<[ByteSlice]> {
        let extents = staged.extents(plan.range)
        let needsBase = extents.contains { if case .base = $0 { true } else { false } }
        do throws(Errno) {
            if !needsBase { return .ready(try assembleLocal(staged, extents)) }
        } catch {
            return .failed(error)
        }
        return .later { () async throws(Errno) in
            var slices: [ByteSlice] = []
            for extent in extents {
                if case .base(let range) = extent {
                    guard let source else { throw .ioError }
                    do throws(Errno) {
                        slices += try await self.reader.read(source, range, ahead: range)
                    } catch {
                        return try await self.readAgain(inode, handle, plan, source, error)
                    }
                } else {
                    slices += try self.assembleLocal(staged, [extent])
                }
            }
            return slices
        }
    }

    private func assembleLocal(_ staged: StagedFile, _ extents: [StagedFile.Extent]) throws(Errno) -> [ByteSlice] {
        var slices: [ByteSlice] = []
        for extent in extents {
            switch extent {
            case .staged(let range):
                let buffer = ByteBuffer(capacity: range.count)
                try staged.read(range, into: buffer.writable)
                slices.append(ByteSlice(buffer, 0..<range.count))
            case .zeros(let range): slices.append(zeros(range.count))
            case .base: preconditionFailure("a base range is not local")
            }
        }
        return slices
    }

    private func zeros(_ count: Int) -> ByteSlice {
        let buffer = ByteBuffer(capacity: count)
        buffer.writable.initializeMemory(as: UInt8.self, repeating: 0)
        return ByteSlice(buffer, 0..<count)
    }

    public func write(
        _ inode: InodeNumber, _ handle: FileHandle, offset: Int64, _ bytes: UnsafeRawBufferPointer, mayKillSetID: Bool
    ) -> Answer<Int> {
        do throws(Errno) {
            let end = offset + Int64(bytes.count)
            guard offset >= 0, end <= Self.largestFile else { throw .fileTooLarge }
            let staged = try stagedFile(inode)
            try staged.write(bytes, at: offset)
            let streaming = try change { state throws(Errno) in
                try state.noteWrite(inode, offset..<end, clock.wall(), clearsSetID: mayKillSetID)
            }
            if let streaming {
                streaming.noteWrite(offset..<end)
                pump(inode, streaming)
            } else {
                startStreaming(inode, at: end)
            }
            return .ready(bytes.count)
        } catch {
            return .failed(error)
        }
    }

    /// The staged file of a node, made at its first change.
    func stagedFile(_ inode: InodeNumber) throws(Errno) -> StagedFile {
        while true {
            let file = try look { state throws(Errno) -> FileState in
                guard let file = try state.tree.node(inode).file else { throw .isDirectory }
                return file
            }
            if let staged = file.staged { return staged }
            let made = try journal.staging.create(baseSize: file.size)
            let kept = try change { state throws(Errno) -> StagedFile? in
                guard let now = try state.tree.node(inode).file else { throw .isDirectory }
                if let staged = now.staged { return staged }
                // A foreign version may have come in between: then the base is another.
                guard now.identity == file.identity, now.size == file.size else { return nil }
                state.tree[unkept: inode]?.file?.staged = made
                return made
            }
            if kept !== made { made.discard() }
            if let kept { return kept }
        }
    }

    /// Truncates or grows a file.
    func resize(_ inode: InodeNumber, to size: Int64) throws(Errno) {
        guard size >= 0 else { throw .invalidArgument }
        guard size <= Self.largestFile else { throw .fileTooLarge }
        let isNoChange = try look { state throws(Errno) in
            guard let file = try state.tree.node(inode).file else { throw .isDirectory }
            return file.size == size
        }
        if isNoChange, size > 0 { return }
        if isNoChange {
            try change { state throws(Errno) in try state.noteResize(inode, to: size, clock.wall()) }
            return
        }
        var isDone = false
        while !isDone {
            let staged = try stagedFile(inode)
            try staged.truncate(to: size)
            let streaming: StreamingUpload?
            (isDone, streaming) = try change { state throws(Errno) in
                // After the last close the staged bytes may go at any moment.
                guard state.tree[inode]?.file?.staged === staged else { return (false, nil) }
                try state.noteResize(inode, to: size, clock.wall())
                return (true, state.tree[unkept: inode]?.file?.openStreaming)
            }
            streaming?.noteWrite(size..<Int64.max)
        }
    }

    public func fallocate(
        _ inode: InodeNumber, _ handle: FileHandle, mode: Int32, offset: Int64, length: Int64
    ) -> Answer<Void> {
        let (keepSize, punch, zero) = (Int32(0x01), Int32(0x02), Int32(0x10))
        do throws(Errno) {
            guard offset >= 0, length > 0 else { throw .invalidArgument }
            guard offset <= Self.largestFile - length else { throw .fileTooLarge }
            let range = offset..<offset + length
            switch mode {
            case 0:
                if try look({ state throws(Errno) in state.tree[inode]?.file?.size ?? 0 }) < range.upperBound {
                    try resize(inode, to: range.upperBound)
                }
            case keepSize:
                break
            case punch | keepSize, zero | keepSize, zero:
                let staged = try stagedFile(inode)
                try staged.zero(range, growing: mode == zero)
                let streaming = try change { state throws(Errno) in
                    try state.noteResize(inode, to: staged.size, clock.wall())
                    return state.tree[unkept: inode]?.file?.openStreaming
                }
                streaming?.noteWrite(range)
            default:
                throw .notSupported
            }
            return .ready(())
        } catch {
            return .failed(error)
        }
    }

    public func lseek(
        _ inode: InodeNumber, _ handle: FileHandle, offset: Int64, whence: Int32
    ) -> Answer<Int64> {
        do throws(Errno) {
            let file = try look { state throws(Errno) -> FileState in
                guard let file = try state.tree.node(inode).file else { throw .isDirectory }
                return file
            }
            guard offset >= 0, offset < file.size else { throw .noSuchAddressOrDevice }
            let (seekData, seekHole) = (Int32(3), Int32(4))
            guard whence == seekData || whence == seekHole else { throw .invalidArgument }
            guard let staged = file.staged else { return .ready(whence == seekData ? offset : file.size) }
            for extent in staged.extents(offset..<file.size) {
                switch extent {
                case .zeros(let range): if whence == seekHole { return .ready(range.lowerBound) }
                case .staged(let range), .base(let range): if whence == seekData { return .ready(range.lowerBound) }
                }
            }
            guard whence == seekHole else { throw .noSuchAddressOrDevice }
            return .ready(file.size)
        } catch {
            return .failed(error)
        }
    }

    /// A whole clean file into an empty one: the bytes never leave S3. Anything else is for the kernel to copy (EXDEV).
    public func copyFileRange(
        from source: InodeNumber, _ sourceHandle: FileHandle, offset: Int64,
        to destination: InodeNumber, _ destinationHandle: FileHandle, offset destinationOffset: Int64, count: Int
    ) -> Answer<Int> {
        now { state throws(Errno) in
            guard source != destination, offset == 0, destinationOffset == 0,
                let from = try state.tree.node(source).file, let to = try state.tree.node(destination).file,
                !from.isDirty, from.staged == nil, from.location != nil, from.size > 0, Int64(count) >= from.size,
                to.size == 0, to.staged == nil, !from.isArchived, state.isStoredKnown(destination)
            else { throw .improperLink }
            // What is stored beside the source's bytes is not the destination's.
            if let node = state.tree[destination], node.attributes.stored == nil {
                let own = ObjectAttributes(contentType: state.contentType(node))
                state.tree[destination]?.attributes.stored = own
            }
            var copy = to
            copy.size = from.size
            copy.baseSize = from.size
            copy.location = from.location
            copy.identity = from.identity
            copy.generation += 1
            state.tree[destination]?.file = copy
            state.tree[destination]?.attributes.modified = clock.wall()
            state.tree[destination]?.attributes.hasExplicitTime = false
            state.notices.append(.inode(destination, data: true))
            return Int(from.size)
        }
    }
}

extension VolumeState {
    /// What one read needs.
    struct ReadPlan: Sendable {
        let range: Range<Int64>
        let ahead: Range<Int64>
        /// The file as it was when the read began.
        let node: Node?
        /// Files that are about to be read too.
        var neighbours: [Node] = []
    }

    /// Nil at the end of the file.
    mutating func planRead(
        _ inode: InodeNumber, _ handle: FileHandle, _ offset: Int64, _ count: Int
    ) throws(Errno) -> ReadPlan? {
        guard let file = try tree.node(inode).file else { throw .isDirectory }
        guard offset >= 0, offset < file.size, count > 0 else { return nil }
        let range = offset..<min(offset + Int64(count), file.size)
        let ahead =
            handles[handle]?.readAhead.plan(offset: offset, count: Int64(range.count), size: file.size) ?? range
        let node = tree[inode]
        var plan = ReadPlan(range: range, ahead: ahead, node: node)
        if let node, offset == 0, Self.smallSize(node) != nil { plan.neighbours = filesReadNext(after: node) }
        return plan
    }

    /// Bytes of a small file that S3 has as the view shows it; nil for anything else.
    private static func smallSize(_ node: Node) -> Int64? {
        guard !node.isDirectory, !node.isArchived, (1...ReadAhead.smallFile).contains(node.size) else { return nil }
        guard let file = node.ownFile else { return node.size }
        return file.staged == nil && file.location != nil ? node.size : nil
    }

    private mutating func filesReadNext(after node: Node) -> [Node] {
        let tree = tree
        return neighbours.noteRead(node.inode, in: node.parent) { inode in
            tree[inode].flatMap { $0.isLinked && $0.parent == node.parent ? Self.smallSize($0) : nil }
        }.compactMap { tree[$0] }
    }

    /// Contents changed. Returns the upload that has begun, if any.
    mutating func noteWrite(
        _ inode: InodeNumber, _ range: Range<Int64>, _ now: Timestamp, clearsSetID: Bool
    ) throws(Errno) -> StreamingUpload? {
        guard let file = try tree.node(inode).file else { throw .isDirectory }
        tree[unkept: inode]?.file?.size = max(file.size, range.upperBound)
        noteContents(inode, now)
        if clearsSetID { tree[unkept: inode]?.attributes.clearSetID() }
        return file.openStreaming
    }

    mutating func noteResize(_ inode: InodeNumber, to size: Int64, _ now: Timestamp) throws(Errno) {
        _ = try tree.node(inode)
        tree[unkept: inode]?.file?.size = size
        noteContents(inode, now)
    }

    private mutating func noteContents(_ inode: InodeNumber, _ now: Timestamp) {
        tree[unkept: inode]?.file?.generation += 1
        // What is written now is for nobody before its own close.
        tree[unkept: inode]?.file?.isUnsettled = false
        tree[unkept: inode]?.attributes.modified = now
        tree[unkept: inode]?.attributes.changed = now
        tree[unkept: inode]?.attributes.hasExplicitTime = false
        tree[unkept: inode]?.attributes.overridden.insert(.time)
    }
}
