import Bytes
import FileSystemCore
import Glibc
import Synchronization
import SystemPackage

/// A file system in memory that keeps the contract of `FileSystem` in the simplest way, and can be told to misbehave.
///
/// Names say how a file behaves: `later…` gives every answer about it after a task has run, `hang…` answers read and fsync
/// only when the waiting task is cancelled, `stuck…` so does lookup, and `slow…` takes its time to release.
final class MemoryFileSystem: FileSystem {
    struct Node {
        var attributes: FileAttributes
        var bytes: [UInt8] = []
        /// Of a directory, in the order of creation. The offset after a child is its number + 3, for good.
        var children: [(number: UInt64, name: FileName, inode: InodeNumber)] = []
        var nextNumber: UInt64 = 0
        var xattrs: [[UInt8]: [UInt8]] = [:]
        var name: [UInt8] = []
        var lookupCount: UInt64 = 0
    }

    struct State {
        var nodes: [InodeNumber: Node] = [:]
        var nextInode: UInt64 = 2
        var nextHandle: UInt64 = 1
        var handles: [FileHandle: InodeNumber] = [:]
        var timeout = 60.0
        /// What was asked, by name of the operation.
        var calls: [String: Int] = [:]
        var writeSizes: [Int] = []
        var readSizes: [Int] = []
    }

    let state: Mutex<State>
    let notifier = Mutex<(any KernelNotifier)?>(nil)

    init(timeout: Double = 60) {
        var state = State()
        state.timeout = timeout
        state.nodes[.root] = Node(attributes: Self.attributes(.root, S_IFDIR | 0o755, geteuid(), getegid()))
        self.state = Mutex(state)
    }

    static func attributes(_ inode: InodeNumber, _ mode: mode_t, _ uid: uid_t, _ gid: gid_t) -> FileAttributes {
        let time = Timestamp(seconds: 1_700_000_000, nanoseconds: 123_456_789)
        return FileAttributes(
            inode: inode, mode: mode, linkCount: mode & S_IFMT == S_IFDIR ? 2 : 1, uid: uid, gid: gid, size: 0,
            accessed: time, modified: time, changed: time)
    }

    /// Changes what is stored without the kernel's knowledge.
    func change<R: Sendable>(_ body: (inout State) throws -> R) rethrows -> R {
        try state.withLock { state in try body(&state) }
    }

    func calls(_ operation: String) -> Int { state.withLock { $0.calls[operation] ?? 0 } }

    /// Runs `body` now, or, for names that want it, in a task.
    func answer<R: Sendable>(
        _ operation: String, about inode: InodeNumber? = nil, named name: FileName? = nil, mayHang: Bool = false,
        _ body: @escaping @Sendable (inout State) throws(Errno) -> R
    ) -> Answer<R> {
        let subject = state.withLock { state in
            state.calls[operation, default: 0] += 1
            return name?.bytes ?? inode.flatMap { state.nodes[$0]?.name } ?? []
        }
        if mayHang, subject.starts(with: Array("hang".utf8)) {
            return hang()
        }
        if subject.starts(with: Array("later".utf8)) {
            return .later { () async throws(Errno) -> R in
                await Task.yield()
                return try self.run(body).get()
            }
        }
        switch run(body) {
        case .success(let value): return .ready(value)
        case .failure(let errno): return .failed(errno)
        }
    }

    private func hang<R: Sendable>() -> Answer<R> {
        .later { () async throws(Errno) -> R in
            self.state.withLock { $0.calls["hanging", default: 0] += 1 }
            try? await Task.sleep(for: .seconds(3600))
            self.state.withLock { $0.calls["cancelled", default: 0] += 1 }
            throw .interrupted
        }
    }

    private func run<R: Sendable>(_ body: @Sendable (inout State) throws(Errno) -> R) -> Result<R, Errno> {
        state.withLock { state in
            do throws(Errno) { return .success(try body(&state)) } catch { return .failure(error) }
        }
    }

    func attach(_ notifier: any KernelNotifier) { self.notifier.withLock { $0 = notifier } }

    // MARK: Names

    func lookup(_ parent: InodeNumber, _ name: FileName) -> Answer<Entry> {
        if name.bytes.starts(with: Array("stuck".utf8)) { return hang() }
        return answer("lookup", named: name) { state throws(Errno) in
            guard name.bytes.count <= 255 else { throw .fileNameTooLong }
            return try state.lookup(parent, name)
        }
    }

    func forget(_ inode: InodeNumber, count: UInt64) {
        state.withLock { state in
            state.calls["forget", default: 0] += 1
            guard let known = state.nodes[inode]?.lookupCount else { return }
            precondition(known >= count, "more forgotten than looked up")
            state.nodes[inode]?.lookupCount = known - count
        }
    }

    func mkdir(_ parent: InodeNumber, _ name: FileName, mode: UInt32, _ caller: Caller) -> Answer<Entry> {
        answer("mkdir", named: name) { state throws(Errno) in
            try state.make(parent, name, mode: mode & 0o7777 | S_IFDIR, caller)
        }
    }

    func mknod(_ parent: InodeNumber, _ name: FileName, mode: UInt32, _ caller: Caller) -> Answer<Entry> {
        answer("mknod", named: name) { state throws(Errno) in
            guard mode & S_IFMT == S_IFREG else { throw .notPermitted }
            return try state.make(parent, name, mode: mode, caller)
        }
    }

    func symlink(_ target: [UInt8], _ parent: InodeNumber, _ name: FileName, _ caller: Caller) -> Answer<Entry> {
        answer("symlink", named: name) { state throws(Errno) in
            try state.make(parent, name, mode: S_IFLNK | 0o777, bytes: target, caller)
        }
    }

    func readlink(_ inode: InodeNumber) -> Answer<[UInt8]> {
        answer("readlink", about: inode) { state throws(Errno) in try state.node(inode).bytes }
    }

    func unlink(_ parent: InodeNumber, _ name: FileName) -> Answer<Void> {
        answer("unlink", named: name) { state throws(Errno) in try state.remove(parent, name) }
    }

    func rmdir(_ parent: InodeNumber, _ name: FileName) -> Answer<Void> {
        answer("rmdir", named: name) { state throws(Errno) in
            guard try state.node(state.child(parent, name)).children.isEmpty else { throw .directoryNotEmpty }
            try state.remove(parent, name)
        }
    }

    func rename(
        _ parent: InodeNumber, _ name: FileName, to newParent: InodeNumber, _ newName: FileName, _ mode: RenameMode
    ) -> Answer<Void> {
        answer("rename", named: name) { state throws(Errno) in
            let inode = try state.child(parent, name)
            let target = try? state.child(newParent, newName)
            switch (mode, target) {
            case (.noReplace, .some): throw .fileExists
            case (.exchange, nil): throw .noSuchFileOrDirectory
            case (.exchange, let target?):
                try state.remove(parent, name)
                try state.remove(newParent, newName)
                state.add(parent, name, target)
                state.add(newParent, newName, inode)
            default:
                if target != nil { try state.remove(newParent, newName) }
                try state.remove(parent, name)
                state.add(newParent, newName, inode)
            }
        }
    }

    func statfs() -> FileSystemStatistics {
        FileSystemStatistics(blockSize: 4096, totalBytes: 1 << 50, freeBytes: 1 << 49, files: 77, nameLimit: 255)
    }
}

extension MemoryFileSystem.State {
    func node(_ inode: InodeNumber) throws(Errno) -> MemoryFileSystem.Node {
        guard let node = nodes[inode] else { throw .noSuchFileOrDirectory }
        return node
    }

    func child(_ parent: InodeNumber, _ name: FileName) throws(Errno) -> InodeNumber {
        guard let child = try node(parent).children.first(where: { $0.name == name }) else {
            throw .noSuchFileOrDirectory
        }
        return child.inode
    }

    /// Counts a lookup. A missing name is a negative entry.
    mutating func lookup(_ parent: InodeNumber, _ name: FileName) throws(Errno) -> Entry {
        guard let inode = try? child(parent, name), let attributes = nodes[inode]?.attributes else {
            return Entry(attributes: nil, entryTimeout: timeout, attributeTimeout: 0)
        }
        nodes[inode]?.lookupCount += 1
        return Entry(attributes: attributes, entryTimeout: timeout, attributeTimeout: timeout)
    }

    mutating func make(
        _ parent: InodeNumber, _ name: FileName, mode: mode_t, bytes: [UInt8] = [], _ caller: Caller
    ) throws(Errno) -> Entry {
        guard (try? child(parent, name)) == nil else { throw .fileExists }
        insert(parent, name, mode: mode, bytes: bytes, uid: caller.uid, gid: caller.gid)
        return try lookup(parent, name)
    }

    @discardableResult
    mutating func insert(
        _ parent: InodeNumber, _ name: FileName, mode: mode_t, bytes: [UInt8] = [], uid: uid_t = geteuid(),
        gid: gid_t = getegid()
    ) -> InodeNumber {
        let inode = InodeNumber(nextInode)
        nextInode += 1
        var node = MemoryFileSystem.Node(attributes: MemoryFileSystem.attributes(inode, mode, uid, gid))
        node.bytes = bytes
        node.attributes.size = Int64(bytes.count)
        nodes[inode] = node
        add(parent, name, inode)
        return inode
    }

    mutating func add(_ parent: InodeNumber, _ name: FileName, _ inode: InodeNumber) {
        let number = nodes[parent]?.nextNumber ?? 0
        nodes[parent]?.children.append((number, name, inode))
        nodes[parent]?.nextNumber = number + 1
        nodes[inode]?.name = name.bytes
    }

    mutating func remove(_ parent: InodeNumber, _ name: FileName) throws(Errno) {
        _ = try child(parent, name)
        nodes[parent]?.children.removeAll { $0.name == name }
    }
}
