import Journal
import ObjectStore
import SystemPackage

/// The view: every node that has a name or that somebody still holds, and how they hang together.
struct Tree: Sendable {
    private(set) var nodes = NodeTable()
    private var nextInode: UInt64
    /// Nodes that may have changed in what the journal keeps of them.
    private var touched: Set<InodeNumber> = []
    /// Staged files that nothing leads to any more: to be removed once the journal says so.
    private var discarded: [StagedFile] = []
    /// The prefix of the space: the root's key prefix.
    let prefix: KeyPrefix

    /// Inode numbers begin above 2^32, so that they are not mistaken for another file system's when the last writer of a
    /// file is looked for among a process's descriptors.
    init(prefix: KeyPrefix, rootAttributes: NodeAttributes, firstInode: UInt64 = 1 << 32) {
        self.prefix = prefix
        nextInode = firstInode
        nodes.insert(
            Node(
                inode: .root, parent: .root, name: .root, kind: .directory(DirectoryState()),
                attributes: rootAttributes))
    }

    subscript(_ inode: InodeNumber) -> Node? {
        get { nodes[inode] }
        _modify {
            touched.insert(inode)
            yield &nodes[inode]
        }
    }

    /// For what the journal does not keep: counts, times of looking, what is written and neither closed nor synced.
    subscript(unkept inode: InodeNumber) -> Node? {
        get { nodes[inode] }
        _modify { yield &nodes[inode] }
    }

    var hasOnlyRoot: Bool { nodes.count < 2 }

    mutating func touch(_ inode: InodeNumber) { touched.insert(inode) }

    mutating func takeTouched() -> Set<InodeNumber> {
        defer { touched = [] }
        return touched
    }

    mutating func takeDiscarded() -> [StagedFile] {
        defer { discarded = [] }
        return discarded
    }

    /// Puts a node back that an earlier run of the volume had, under its number.
    mutating func restore(_ node: Node) {
        nextInode = max(nextInode, node.inode.value + 1)
        nodes.insert(node)
        nodes[node.parent]?.directory?.link(node.inode, node.name, isDirectory: node.isDirectory)
    }

    func node(_ inode: InodeNumber) throws(Errno) -> Node {
        guard let node = nodes[inode] else { throw .staleNFSFileHandle }
        return node
    }

    func directory(_ inode: InodeNumber) throws(Errno) -> DirectoryState {
        guard let directory = try node(inode).directory else { throw .notDirectory }
        return directory
    }

    func child(_ parent: InodeNumber, _ name: EntryName) -> Node? {
        nodes[parent]?.directory?.children[name].flatMap { nodes[$0] }
    }

    /// `isKept`: false for what base knows, which the journal has already.
    mutating func add(
        _ parent: InodeNumber, _ name: EntryName, _ kind: Node.Kind, _ attributes: NodeAttributes, isKept: Bool = true
    ) -> InodeNumber {
        let inode = InodeNumber(nextInode)
        nextInode += 1
        if isKept { touched.insert(inode) }
        let node = Node(inode: inode, parent: parent, name: name, kind: kind, attributes: attributes)
        nodes.insert(node)
        nodes[parent]?.directory?.link(inode, name, isDirectory: node.isDirectory)
        return inode
    }

    /// Takes the name away. The node stays while the kernel, a handle or a change in the queue holds it.
    mutating func detach(_ inode: InodeNumber) {
        guard let node = nodes[inode], node.isLinked else { return }
        touched.insert(inode)
        nodes[node.parent]?.directory?.unlink(inode, node.name)
        nodes[inode]?.isLinked = false
        removeIfUnused(inode)
    }

    mutating func move(_ inode: InodeNumber, to parent: InodeNumber, _ name: EntryName) {
        guard let node = nodes[inode] else { return }
        touched.insert(inode)
        nodes[node.parent]?.directory?.unlink(inode, node.name)
        nodes[inode]?.parent = parent
        nodes[inode]?.name = name
        nodes[parent]?.directory?.link(inode, name, isDirectory: node.isDirectory)
    }

    mutating func forget(_ inode: InodeNumber, count: UInt64) {
        guard inode != .root, let lookups = nodes[inode]?.lookupCount else { return }
        nodes[inode]?.lookupCount = lookups > count ? lookups - count : 0
        removeIfUnused(inode)
    }

    /// Drops a node that nothing leads to any more.
    mutating func removeIfUnused(_ inode: InodeNumber) {
        guard let node = nodes[inode], !node.isLinked, node.lookupCount == 0, (node.ownFile?.openCount ?? 0) == 0
        else { return }
        node.ownFile?.streaming?.cancel()
        if let staged = node.ownFile?.staged { discarded.append(staged) }
        for child in node.directory?.children.values.map({ $0 }) ?? [] { detach(child) }
        nodes.remove(inode)
    }

    /// The key prefix of a directory, from its place in the view.
    func keyPrefix(_ inode: InodeNumber) -> KeyPrefix? {
        guard let components = components(inode) else { return nil }
        return KeyPrefix(prefix.bytes + components.flatMap { $0.bytes + [UInt8(ascii: "/")] })
    }

    /// The directory of a key prefix, if the view has it.
    func inode(of prefix: KeyPrefix) -> InodeNumber? {
        guard prefix.bytes.starts(with: self.prefix.bytes) else { return nil }
        var inode = InodeNumber.root
        let path = prefix.bytes[self.prefix.bytes.count...]
        for component in path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).dropLast() {
            guard let name = EntryName(component), let child = child(inode, name), child.isDirectory else { return nil }
            inode = child.inode
        }
        return inode
    }

    /// The key for `name` in `parent`; ENAMETOOLONG when it would be over S3's 1024 bytes, for a directory with the `/` of
    /// its marker.
    func key(_ parent: InodeNumber, _ name: EntryName, isDirectory: Bool = false) throws(Errno) -> ObjectKey {
        let limit = ObjectKey.maximumByteCount - (isDirectory ? 1 : 0)
        guard let prefix = keyPrefix(parent), prefix.bytes.count + name.bytes.count <= limit,
            let key = ObjectKey(prefix.bytes + name.bytes)
        else { throw .fileNameTooLong }
        return key
    }

    func key(_ inode: InodeNumber) throws(Errno) -> ObjectKey {
        let node = try node(inode)
        return try key(node.parent, node.name, isDirectory: node.isDirectory)
    }

    /// The path below the mount point, for people and for `user.cognitofs` answers.
    func path(_ inode: InodeNumber) -> String {
        (components(inode) ?? []).map(\.description).joined(separator: "/")
    }

    /// Names from the root down; nil for a node whose directories are gone.
    private func components(_ inode: InodeNumber) -> [EntryName]? {
        var names: [EntryName] = []
        var current = inode
        while current != .root {
            guard let node = nodes[current] else { return nil }
            names.append(node.name)
            current = node.parent
        }
        return names.reversed()
    }

    /// True when `inode` is `ancestor` or lies below it.
    func isInside(_ inode: InodeNumber, _ ancestor: InodeNumber) -> Bool {
        var current = inode
        while current != ancestor {
            guard current != .root, let node = nodes[current] else { return false }
            current = node.parent
        }
        return true
    }
}
