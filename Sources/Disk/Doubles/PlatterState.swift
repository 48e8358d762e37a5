import Glibc
import SystemPackage

/// All of a simulated disk: nodes by number, the names as processes see them and as they stand on the disk.
struct PlatterState: Sendable {
    /// A directory's names, to node numbers.
    struct Directory: Sendable {
        var live: [String: Int] = [:]
        var durable: [String: Int] = [:]
    }

    enum Node: Sendable {
        case file(FileImage)
        case directory(Directory)
    }

    /// One name that changed: to another node, or to none.
    struct NameChange: Sendable {
        let directory: Int
        let name: String
        let node: Int?
    }

    struct Opened: Sendable {
        let node: Int
        let handle: Int
        let boot: Int
    }

    static let root = 0
    /// Power cuts so far.
    var boot = 0
    var nodes: [Node] = [.directory(Directory())]
    /// Changes of names that are not on the disk, oldest first. Each is there whole or not at all.
    var pending: [[NameChange]] = []
    var random: SeededRandom
    var faults = SimulatedDisk.Faults()
    var script: [(call: SimulatedDisk.Call, error: Errno)] = []
    var counts: [SimulatedDisk.Call: Int] = [:]
    var used: Int64 = 0
    /// Views whose process runs.
    var living: Set<Int> = []
    /// How many changing calls a view has left.
    var halts: [Int: Int] = [:]
    private var nextView = 1
    private var nextHandle = 1

    init(_ random: SeededRandom) { self.random = random }

    mutating func newView() -> Int {
        defer { nextView += 1 }
        living.insert(nextView)
        return nextView
    }

    /// Counts the call and says whether it may run.
    mutating func begin(_ call: SimulatedDisk.Call, _ view: Int) throws(Errno) {
        guard living.contains(view) else { throw .ioError }
        counts[call, default: 0] += 1
        if let index = script.firstIndex(where: { $0.call == call }) { throw script.remove(at: index).error }
        if call != .read && call != .names, let left = halts[view] {
            halts[view] = left - 1
            // A write sees to it itself, since it may end in the middle.
            if left <= 0 && call != .write { throw halted(view) }
        }
    }

    mutating func halted(_ view: Int) -> Errno {
        end(view)
        return .ioError
    }

    /// The process is gone, and its locks with it.
    mutating func end(_ view: Int) {
        living.remove(view)
        halts[view] = nil
        for index in nodes.indices { withFile(index) { $0.locks.removeAll { $0.view == view } } }
    }

    // MARK: Files

    /// Changes a file in its place.
    @discardableResult
    mutating func withFile<R>(_ index: Int, _ body: (inout FileImage) -> R) -> R? {
        guard case .file(var file) = nodes[index] else { return nil }
        // Taken out, so that its bytes are not copied.
        nodes[index] = .directory(Directory())
        defer { nodes[index] = .file(file) }
        return body(&file)
    }

    mutating func open(_ path: FilePath, _ flags: Int32) throws(Errno) -> Opened {
        let (parent, name) = try place(path)
        let node: Int
        if let found = try directory(parent).live[name] {
            if flags & O_CREAT != 0, flags & O_EXCL != 0 { throw .fileExists }
            guard case .file = nodes[found] else { throw .isDirectory }
            node = found
        } else {
            guard flags & O_CREAT != 0 else { throw .noSuchFileOrDirectory }
            node = nodes.count
            nodes.append(.file(FileImage()))
            apply([NameChange(directory: parent, name: name, node: node)])
        }
        if flags & O_TRUNC != 0 { resize(node, to: 0) }
        withFile(node) { $0.openCount += 1 }
        defer { nextHandle += 1 }
        return Opened(node: node, handle: nextHandle, boot: boot)
    }

    mutating func close(_ node: Int, _ handle: Int) {
        withFile(node) { file in
            file.openCount -= 1
            file.locks.removeAll { $0.handle == handle }
        }
        freeIfUnused(node)
    }

    mutating func resize(_ node: Int, to size: Int) {
        let change = withFile(node) { file in
            let old = file.live.count
            file.truncate(to: size)
            return size - old
        }
        used += Int64(change ?? 0)
    }

    /// Gives back the room of a file that nobody can reach. What stands on the disk stays: its name may come back.
    private mutating func freeIfUnused(_ node: Int) {
        let freed = withFile(node) { file -> Int in
            guard file.linkCount == 0, file.openCount == 0, !file.isFreed else { return 0 }
            file.isFreed = true
            return file.live.count
        }
        used -= Int64(freed ?? 0)
    }

    // MARK: Names

    /// The directory that holds `path`'s last name, and that name.
    func place(_ path: FilePath) throws(Errno) -> (directory: Int, name: String) {
        guard let name = path.lastComponent?.string else { throw .isDirectory }
        return (try directoryNode(path.removingLastComponent()), name)
    }

    func directoryNode(_ path: FilePath) throws(Errno) -> Int {
        var node = Self.root
        for component in path.components {
            guard let next = try directory(node).live[component.string] else { throw .noSuchFileOrDirectory }
            node = next
        }
        _ = try directory(node)
        return node
    }

    func directory(_ path: FilePath) throws(Errno) -> Directory { try directory(try directoryNode(path)) }

    func directory(_ node: Int) throws(Errno) -> Directory {
        guard case .directory(let directory) = nodes[node] else { throw .notDirectory }
        return directory
    }

    mutating func createDirectory(_ path: FilePath) throws(Errno) {
        var node = Self.root
        for component in path.components {
            let name = component.string
            if let next = try directory(node).live[name] {
                _ = try directory(next)
                node = next
                continue
            }
            let new = nodes.count
            nodes.append(.directory(Directory()))
            apply([NameChange(directory: node, name: name, node: new)])
            syncNames(of: node)
            node = new
        }
    }

    mutating func rename(_ old: FilePath, to new: FilePath) throws(Errno) {
        let from = try place(old)
        let to = try place(new)
        guard let node = try directory(from.directory).live[from.name] else { throw .noSuchFileOrDirectory }
        guard case .file = nodes[node] else { throw .invalidArgument }
        if let there = try directory(to.directory).live[to.name] {
            if there == node { return }
            guard case .file = nodes[there] else { throw .isDirectory }
        }
        apply([
            NameChange(directory: from.directory, name: from.name, node: nil),
            NameChange(directory: to.directory, name: to.name, node: node),
        ])
    }

    mutating func remove(_ path: FilePath) throws(Errno) {
        let (parent, name) = try place(path)
        guard let node = try directory(parent).live[name] else { return }
        guard case .file = nodes[node] else { throw .isDirectory }
        apply([NameChange(directory: parent, name: name, node: nil)])
    }

    mutating func removeEmpty(_ path: FilePath) throws(Errno) {
        guard let (parent, name) = try? place(path), let node = try directory(parent).live[name] else { return }
        guard try directory(node).live.isEmpty else { throw .directoryNotEmpty }
        apply([NameChange(directory: parent, name: name, node: nil)])
    }

    /// Changes names as processes see them; the disk learns of it later.
    private mutating func apply(_ changes: [NameChange]) {
        pending.append(changes)
        for change in changes {
            guard case .directory(var directory) = nodes[change.directory] else { continue }
            nodes[change.directory] = .directory(Directory())
            let old = directory.live.removeValue(forKey: change.name)
            directory.live[change.name] = change.node
            nodes[change.directory] = .directory(directory)
            if let node = change.node { withFile(node) { $0.linkCount += 1 } }
            if let old {
                withFile(old) { $0.linkCount -= 1 }
                freeIfUnused(old)
            }
        }
    }
}
