import Bytes
import FileSystemCore
import Glibc
import Synchronization
import SystemPackage

extension MemoryFileSystem {
    // MARK: Attributes

    func getattr(_ inode: InodeNumber, _ handle: FileHandle?) -> Answer<AttributeReply> {
        answer("getattr", about: inode) { state throws(Errno) in
            AttributeReply(attributes: try state.node(inode).attributes, timeout: state.timeout)
        }
    }

    func setattr(
        _ inode: InodeNumber, _ changes: AttributeChanges, _ handle: FileHandle?, _ caller: Caller
    ) -> Answer<AttributeReply> {
        answer("setattr", about: inode) { state throws(Errno) in
            var node = try state.node(inode)
            if let mode = changes.mode { node.attributes.mode = node.attributes.mode & S_IFMT | mode }
            if let uid = changes.uid { node.attributes.uid = uid }
            if let gid = changes.gid { node.attributes.gid = gid }
            if let size = changes.size { node.resize(Int(size)) }
            if case .at(let time) = changes.accessed { node.attributes.accessed = time }
            if case .at(let time) = changes.modified { node.attributes.modified = time }
            if case .now = changes.modified { node.attributes.modified = Timestamp(seconds: Int64(time(nil))) }
            state.nodes[inode] = node
            return AttributeReply(attributes: node.attributes, timeout: state.timeout)
        }
    }

    func setxattr(_ inode: InodeNumber, _ name: [UInt8], _ value: [UInt8], _ mode: XattrMode) -> Answer<Void> {
        answer("setxattr", about: inode) { state throws(Errno) in
            let isThere = try state.node(inode).xattrs[name] != nil
            if mode == .create, isThere { throw .fileExists }
            if mode == .replace, !isThere { throw .noData }
            state.nodes[inode]?.xattrs[name] = value
        }
    }

    func getxattr(_ inode: InodeNumber, _ name: [UInt8]) -> Answer<[UInt8]> {
        answer("getxattr", about: inode) { state throws(Errno) in
            guard let value = try state.node(inode).xattrs[name] else { throw .noData }
            return value
        }
    }

    func listxattr(_ inode: InodeNumber) -> Answer<[UInt8]> {
        answer("listxattr", about: inode) { state throws(Errno) in
            try state.node(inode).xattrs.keys.sorted { $0.lexicographicallyPrecedes($1) }.flatMap { $0 + [0] }
        }
    }

    func removexattr(_ inode: InodeNumber, _ name: [UInt8]) -> Answer<Void> {
        answer("removexattr", about: inode) { state throws(Errno) in
            guard try state.node(inode).xattrs[name] != nil else { throw .noData }
            state.nodes[inode]?.xattrs[name] = nil
        }
    }

    // MARK: Files

    func open(_ inode: InodeNumber, flags: Int32, _ caller: Caller) -> Answer<Opened> {
        answer("open", about: inode) { state throws(Errno) in
            if flags & O_TRUNC != 0 { state.nodes[inode]?.resize(0) }
            return state.open(inode)
        }
    }

    func create(
        _ parent: InodeNumber, _ name: FileName, mode: UInt32, flags: Int32, _ caller: Caller
    ) -> Answer<Created> {
        answer("create", named: name) { state throws(Errno) in
            let entry = try state.make(parent, name, mode: mode, caller)
            guard let inode = entry.attributes?.inode else { throw .ioError }
            return Created(entry: entry, opened: state.open(inode))
        }
    }

    /// In pieces of at most 64 KiB, as a cache of blocks gives them.
    func read(_ inode: InodeNumber, _ handle: FileHandle, offset: Int64, count: Int) -> Answer<[ByteSlice]> {
        answer("read", about: inode, mayHang: true) { state throws(Errno) in
            guard state.handles[handle] == inode else { throw .badFileDescriptor }
            state.readSizes.append(count)
            let bytes = try state.node(inode).bytes
            let range = min(Int(offset), bytes.count)..<min(Int(offset) + count, bytes.count)
            return stride(from: range.lowerBound, to: range.upperBound, by: 65_536).map { start in
                ByteSlice(bytes[start..<min(start + 65_536, range.upperBound)])
            }
        }
    }

    func write(
        _ inode: InodeNumber, _ handle: FileHandle, offset: Int64, _ bytes: UnsafeRawBufferPointer, mayKillSetID: Bool
    ) -> Answer<Int> {
        let copy = Array(bytes)
        return answer("write", about: inode) { state throws(Errno) in
            guard state.handles[handle] == inode else { throw .badFileDescriptor }
            state.writeSizes.append(copy.count)
            let end = Int(offset) + copy.count
            if try state.node(inode).bytes.count < end { state.nodes[inode]?.resize(end) }
            state.nodes[inode]?.bytes.replaceSubrange(Int(offset)..<end, with: copy)
            return copy.count
        }
    }

    func flush(_ inode: InodeNumber, _ handle: FileHandle, _ caller: Caller) -> Answer<Void> {
        answer("flush", about: inode) { _ throws(Errno) in }
    }

    func fsync(_ inode: InodeNumber, _ handle: FileHandle, dataOnly: Bool) -> Answer<Void> {
        answer(dataOnly ? "fdatasync" : "fsync", about: inode, mayHang: true) { _ throws(Errno) in }
    }

    func release(_ inode: InodeNumber, _ handle: FileHandle) -> Answer<Void> {
        let name = state.withLock { $0.nodes[inode]?.name ?? [] }
        guard name.starts(with: Array("slow".utf8)) else {
            return answer("release", about: inode) { state throws(Errno) in state.handles[handle] = nil }
        }
        return .later { () async throws(Errno) in
            self.state.withLock { $0.calls["releasing", default: 0] += 1 }
            let isWhole = (try? await Task.sleep(for: .seconds(1))) != nil
            self.state.withLock { $0.calls[isWhole ? "release" : "cancelled", default: 0] += 1 }
        }
    }

    func fallocate(
        _ inode: InodeNumber, _ handle: FileHandle, mode: Int32, offset: Int64, length: Int64
    ) -> Answer<Void> {
        answer("fallocate", about: inode) { state throws(Errno) in
            let end = Int(offset + length)
            let count = try state.node(inode).bytes.count
            if mode & 1 == 0, end > count { state.nodes[inode]?.resize(end) }
            // FALLOC_FL_PUNCH_HOLE
            if mode & 2 != 0, Int(offset) < count {
                let range = Int(offset)..<min(end, count)
                state.nodes[inode]?.bytes.replaceSubrange(range, with: repeatElement(0, count: range.count))
            }
        }
    }

    func lseek(_ inode: InodeNumber, _ handle: FileHandle, offset: Int64, whence: Int32) -> Answer<Int64> {
        answer("lseek", about: inode) { state throws(Errno) in
            let size = Int64(try state.node(inode).bytes.count)
            guard offset < size else { throw .noSuchAddressOrDevice }
            return whence == 3 ? offset : size
        }
    }

    func copyFileRange(
        from source: InodeNumber, _ sourceHandle: FileHandle, offset: Int64,
        to destination: InodeNumber, _ destinationHandle: FileHandle, offset destinationOffset: Int64, count: Int
    ) -> Answer<Int> {
        answer("copyFileRange", about: source) { state throws(Errno) in
            let bytes = try state.node(source).bytes
            let part = bytes[min(Int(offset), bytes.count)..<min(Int(offset) + count, bytes.count)]
            let end = Int(destinationOffset) + part.count
            if try state.node(destination).bytes.count < end { state.nodes[destination]?.resize(end) }
            state.nodes[destination]?.bytes.replaceSubrange(Int(destinationOffset)..<end, with: part)
            return part.count
        }
    }

    // MARK: Directories

    func opendir(_ inode: InodeNumber) -> Answer<Opened> {
        answer("opendir", about: inode) { state throws(Errno) in state.open(inode) }
    }

    func readdir(
        _ inode: InodeNumber, _ handle: FileHandle, offset: UInt64, plus: Bool,
        _ add: (_ entry: DirectoryEntry, _ next: UInt64) -> Bool
    ) throws(Errno) {
        let children = try state.withLock { state throws(Errno) in
            state.calls[plus ? "readdirplus" : "readdir", default: 0] += 1
            return try state.node(inode).children.map { child in
                (child, state.nodes[child.inode]?.attributes)
            }
        }
        for (index, dots) in [".", ".."].enumerated() where offset <= index {
            let entry = DirectoryEntry(name: FileName(Array(dots.utf8)), inode: inode, type: S_IFDIR, entry: nil)
            guard add(entry, UInt64(index + 1)) else { return }
        }
        for (child, attributes) in children where child.number + 3 > offset {
            guard let attributes else { continue }
            let timeout = state.withLock { $0.timeout }
            let entry = Entry(attributes: attributes, entryTimeout: timeout, attributeTimeout: timeout)
            let one = DirectoryEntry(
                name: child.name, inode: child.inode, type: attributes.mode & S_IFMT, entry: plus ? entry : nil)
            guard add(one, child.number + 3) else { return }
            if plus { state.withLock { $0.nodes[child.inode]?.lookupCount += 1 } }
        }
    }

    func fsyncdir(_ inode: InodeNumber, _ handle: FileHandle) -> Answer<Void> {
        answer("fsyncdir", about: inode) { _ throws(Errno) in }
    }

    func releasedir(_ inode: InodeNumber, _ handle: FileHandle) {
        state.withLock { state in
            state.calls["releasedir", default: 0] += 1
            state.handles[handle] = nil
        }
    }
}

extension MemoryFileSystem.State {
    mutating func open(_ inode: InodeNumber) -> Opened {
        let handle = FileHandle(nextHandle)
        nextHandle += 1
        handles[handle] = inode
        return Opened(handle: handle, keepCache: false)
    }
}

extension MemoryFileSystem.Node {
    mutating func resize(_ count: Int) {
        bytes = Array(bytes.prefix(count)) + repeatElement(0, count: max(count - bytes.count, 0))
        attributes.size = Int64(count)
    }
}
