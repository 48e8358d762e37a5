import Bytes
import Journal
import ObjectStore
import SystemPackage

/// What the simulator looks at: the view as it is, without a question to S3, and what the journal ought to hold.
extension Volume {
    /// One name of the view.
    package struct Shown: Sendable {
        package let inode: InodeNumber
        /// Below the root, without a slash at either end.
        package let path: String
        package let isDirectory: Bool
        /// Bytes; 0 for a directory.
        package let size: Int64
        /// Nil where S3 has not been asked, and nothing was set here.
        package let permissions: UInt32?
        /// Where the clean bytes are.
        package let location: ObjectVersion?
        let staged: StagedFile?
        /// Changed here.
        package let isDirty: Bool
        /// Changed here, and nothing is queued that would tell S3.
        package let isUnpublished: Bool

        /// True when something is staged and some of the bytes are still those at `location`.
        package var usesBase: Bool {
            staged?.extents(0..<size).contains { if case .base = $0 { true } else { false } } ?? false
        }

        /// The bytes that a reader would see; nil when some of them are nowhere. `object` gives a version's bytes.
        package func contents(_ object: (ObjectVersion) -> [UInt8]?) -> [UInt8]? {
            guard let staged else { return location.map(object) ?? [UInt8](repeating: 0, count: Int(size)) }
            var bytes = [UInt8](repeating: 0, count: Int(size))
            for extent in staged.extents(0..<size) {
                switch extent {
                case .zeros: continue
                case .staged(let range):
                    let isRead = bytes.withUnsafeMutableBytes { bytes in
                        let part = UnsafeMutableRawBufferPointer(
                            rebasing: bytes[Int(range.lowerBound)..<Int(range.upperBound)])
                        return (try? staged.read(range, into: part)) != nil
                    }
                    if !isRead { return nil }
                case .base(let range):
                    let (low, high) = (Int(range.lowerBound), Int(range.upperBound))
                    guard let base = location.flatMap(object), base.count >= high else { return nil }
                    bytes.replaceSubrange(low..<high, with: base[low..<high])
                }
            }
            return bytes
        }
    }

    /// Everything that has a name, in no order.
    package func shown() -> [Shown] {
        let found = try? look { state throws(Errno) in
            var found: [Shown] = []
            var waiting = [(InodeNumber.root, "")]
            while let (parent, path) = waiting.popLast() {
                for (name, inode) in state.tree[parent]?.directory?.children ?? [:] {
                    guard let node = state.tree[inode] else { continue }
                    let path = path.isEmpty ? "\(name)" : "\(path)/\(name)"
                    found.append(
                        Shown(
                            inode: inode, path: path, isDirectory: node.isDirectory, size: node.file?.size ?? 0,
                            permissions: node.attributes.knownPermissions, location: node.file?.location,
                            staged: node.file?.staged,
                            isDirty: node.file?.isDirty == true, isUnpublished: try isUnpublished(node, state)))
                    if node.isDirectory { waiting.append((inode, path)) }
                }
            }
            return found
        }
        return found ?? []
    }

    /// How a row differs from what it ought to be, in what a recovery makes of it; nil when it does not.
    package static func difference(_ name: [UInt8], _ row: [UInt8], _ wanted: [UInt8]) -> String? {
        guard row != wanted else { return nil }
        do throws(ByteReader.Malformed) {
            guard let first = name.first else { return "a row without a name" }
            var (left, right) = (ByteReader(row[...]), ByteReader(wanted[...]))
            switch RowKind(rawValue: first) {
            case .node:
                let (a, b) = (try NodeRow(&left).recovered, try NodeRow(&right).recovered)
                return a == b ? nil : "node \(a) should be \(b)"
            case .intent:
                let id = IntentID(value: 0)
                return "intent \(try left.intent(id)) should be \(try right.intent(id))"
            default:
                return "row \(String(decoding: name, as: UTF8.self)) is not the state's"
            }
        } catch {
            return "row \(String(decoding: name, as: UTF8.self)) is malformed"
        }
    }

    /// What is queued, in words.
    package func queue() -> [String] {
        let queue = try? look { state throws(Errno) in
            state.overlay.committer.intents.map { intent, isRunning, isHeld, failure in
                let source = intent.source.map { "\($0) -> " } ?? ""
                let requires = intent.requires.map { " after \($0.value)" } ?? ""
                let state = isRunning ? " running" : isHeld ? " held" : ""
                return "\(intent.id.value)/\(intent.order) \(intent.kind) \(source)\(intent.key)\(requires)\(state)"
                    + (failure.map { " (\($0))" } ?? "")
            }
        }
        return queue ?? []
    }

    /// The nodes that the journal keeps, and what S3 was seen to hold, in words.
    package func kept() -> [String] {
        let nodes = try? look { state throws(Errno) in
            let nodes = state.tree.nodes.values.map(\.inode).filter(state.isNodeKept).sorted { $0.value < $1.value }
            return nodes.compactMap { inode in state.tree[inode].map { "\(inode.value) \(NodeRow($0).recovered)" } }
                + state.base.prefixes.flatMap { prefix in
                    let directory = state.base.directory(prefix)
                    return ["base \(prefix) with \(directory?.directories.map { "\($0)" }.sorted() ?? [])"]
                        + (directory?.objects.sorted { $0.key < $1.key } ?? []).compactMap { name, _ in
                            state.base.object(prefix, name).map { "base \($0.version) \($0.size)" }
                        } + (state.base.marker(prefix).map { ["base \($0.version)"] } ?? [])
                }
        }
        return nodes ?? []
    }

    private func isUnpublished(_ node: Node, _ state: VolumeState) throws(Errno) -> Bool {
        guard node.file?.isDirty == true else { return false }
        return state.overlay.committer.intents(for: try state.tree.key(node.inode)).isEmpty
    }

    /// A file that may have no name any more.
    package func shown(_ inode: InodeNumber) -> Shown? {
        try? look { state throws(Errno) in
            let node = try state.tree.node(inode)
            return Shown(
                inode: inode, path: "", isDirectory: node.isDirectory, size: node.file?.size ?? 0,
                permissions: node.attributes.knownPermissions, location: node.file?.location, staged: node.file?.staged,
                isDirty: node.file?.isDirty == true, isUnpublished: false)
        }
    }

    /// The rows that the journal may hold besides `expectedRows`: of directories that S3 tells of too, as they are now.
    package func otherRows() -> RowBatch {
        let rows = try? look { state throws(Errno) in
            var rows = RowBatch()
            for node in state.tree.nodes.values
            where node.isDirectory && node.isLinked && state.mayStandInJournal(node.inode) {
                rows.set(RowKind.node.name(node.inode.value), NodeRow(node).bytes)
            }
            return rows
        }
        return rows ?? RowBatch()
    }

    /// The rows that the journal ought to hold now, worked out from the state alone. What it holds besides may only be
    /// `otherRows`.
    package func expectedRows() -> RowBatch {
        let rows = try? look { state throws(Errno) in
            var copy = state
            var rows = RowBatch()
            try copy.base.writeRows { rows.append($0) }
            rows.append(copy.overlayRows(isRewritten: true))
            return rows
        }
        return rows ?? RowBatch()
    }
}

extension NodeAttributes {
    fileprivate var knownPermissions: UInt32? { stored != nil || overridden.contains(.mode) ? permissions : nil }
}

extension NodeRow {
    /// All but what may change without need of another row: where in its log a staged file's contents end, and the times
    /// of what nobody has closed.
    fileprivate var recovered: String {
        func text(_ contents: Contents?) -> String {
            contents.map { "\($0.generation) \($0.size) \($0.staged?.name ?? "-")" } ?? "none"
        }
        let place = "\(parent.value)/\(name) \(attributes.permissions) \(attributes.isDirty)"
        guard let file else { return place }
        let clean = "\(file.location.map { "\($0)" } ?? "-") \(file.identity.map { "\($0)" } ?? "-") \(file.baseSize)"
        return "\(place) at \(clean), closed \(text(file.closed)), synced \(text(file.synced))"
    }
}
