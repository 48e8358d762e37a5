import Bytes
import Journal
import ObjectStore

/// A node as the journal keeps it: what a crash must find of it.
struct NodeRow: Sendable {
    var parent: InodeNumber
    var name: EntryName
    var attributes: NodeAttributes
    /// Nil for a directory.
    var file: File?
    /// Set for symbolic links.
    var linkTarget: [UInt8]?

    struct File: Sendable {
        /// The clean bytes, see `FileState`.
        var location: ObjectVersion?
        var identity: ObjectVersion?
        var baseSize: Int64
        /// What the last close left, and what the last fsync did, as far as S3 does not have it.
        var closed: Contents?
        var synced: Contents?
    }

    /// The contents of a moment.
    struct Contents: Sendable {
        /// The file's generation then: which of two contents is newer.
        var generation: UInt64
        /// Bytes.
        var size: Int64
        /// The name of the staged file and the place in its log; nil when nothing is staged.
        var staged: Staged?
        /// See `SettledContents`.
        var isClosed: Bool
    }

    struct Staged: Sendable {
        var name: String
        var point: StagedFile.Point
    }

    init(_ node: Node) {
        parent = node.parent
        name = node.name
        attributes = node.attributes
        linkTarget = node.linkTarget
        file = node.file.map { file in
            File(
                location: file.location, identity: file.identity, baseSize: file.baseSize,
                closed: file.pendingClose.map(Contents.init), synced: file.pendingSync.map(Contents.init))
        }
    }

    init(_ reader: inout ByteReader) throws(ByteReader.Malformed) {
        parent = InodeNumber(try reader.number())
        name = try reader.name()
        attributes = try reader.nodeAttributes()
        linkTarget = try reader.optional { (reader) throws(ByteReader.Malformed) in try reader.string() }
        file = try reader.optional { (reader) throws(ByteReader.Malformed) in try File(&reader) }
    }

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.add(parent.value)
        writer.add(name.bytes)
        writer.add(attributes)
        writer.add(optional: linkTarget) { $0.add($1) }
        writer.add(optional: file) { $1.write(to: &$0) }
        return writer.bytes
    }
}

extension NodeRow.File {
    init(_ reader: inout ByteReader) throws(ByteReader.Malformed) {
        location = try reader.optional { (reader) throws(ByteReader.Malformed) in try reader.version() }
        identity = try reader.optional { (reader) throws(ByteReader.Malformed) in try reader.version() }
        baseSize = try reader.number()
        guard baseSize >= 0 else { throw ByteReader.Malformed() }
        closed = try reader.optional { (reader) throws(ByteReader.Malformed) in try NodeRow.Contents(&reader) }
        synced = try reader.optional { (reader) throws(ByteReader.Malformed) in try NodeRow.Contents(&reader) }
    }

    func write(to writer: inout ByteWriter) {
        writer.add(optional: location) { $0.add($1) }
        writer.add(optional: identity) { $0.add($1) }
        writer.add(baseSize)
        writer.add(optional: closed) { $1.write(to: &$0) }
        writer.add(optional: synced) { $1.write(to: &$0) }
    }
}

extension NodeRow.Contents {
    init(_ settled: SettledContents) {
        generation = settled.generation
        size = settled.size
        staged = settled.staged.map { NodeRow.Staged(name: $0.name, point: $0.point) }
        isClosed = settled.isClosed
    }

    init(_ reader: inout ByteReader) throws(ByteReader.Malformed) {
        generation = try ByteReader.counter(try reader.number())
        size = try reader.number()
        guard size >= 0 else { throw ByteReader.Malformed() }
        staged = try reader.optional { (reader) throws(ByteReader.Malformed) in
            NodeRow.Staged(name: try reader.text(), point: try reader.point())
        }
        isClosed = try reader.flag()
    }

    func write(to writer: inout ByteWriter) {
        writer.add(generation)
        writer.add(size)
        writer.add(optional: staged) { writer, staged in
            writer.add(staged.name)
            writer.add(staged.point)
        }
        writer.add(isClosed)
    }
}
