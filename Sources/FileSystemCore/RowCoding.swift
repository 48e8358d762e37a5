import Bytes
import Journal
import ObjectStore

/// How values stand in rows. Each `add` has the reader's function of the same order below it; what does not read as what
/// it should be is `Malformed`, whatever it is.
extension ByteWriter {
    mutating func add(_ time: Timestamp) {
        add(time.seconds)
        add(time.nanoseconds)
    }

    mutating func add(_ version: ObjectVersion) {
        add(version.key.bytes)
        add(version.eTag.text)
    }

    /// Without the key, which is the row's name.
    mutating func add(_ object: SeenObject) {
        add(object.eTag.text)
        add(object.size)
        add(object.lastModified)
        add(object.isArchived)
    }

    mutating func add(_ texts: [String: String]) {
        add(UInt32(texts.count))
        for (name, text) in texts.sorted(by: { $0.key < $1.key }) {
            add(name)
            add(text)
        }
    }

    mutating func add(_ attributes: ObjectAttributes) {
        add(attributes.contentType)
        add(attributes.headers)
        add(attributes.metadata)
    }

    mutating func add(_ attributes: NodeAttributes) {
        add(attributes.permissions)
        add(attributes.uid)
        add(attributes.gid)
        add(attributes.modified)
        add(attributes.changed)
        add(UInt32(attributes.xattrs.count))
        for (name, value) in attributes.xattrs.sorted(by: { $0.key < $1.key }) {
            add(name)
            add(value)
        }
        add(optional: attributes.stored) { $0.add($1) }
        add(attributes.isDirty)
        add(attributes.hasExplicitTime)
        add(attributes.overridden.rawValue)
    }

    mutating func add(_ place: Place) {
        add(place.prefix.bytes)
        add(optional: place.name) { $0.add($1.bytes) }
    }

    mutating func add(_ point: StagedFile.Point) {
        add(point.log)
        add(point.sequence)
    }

    mutating func add(_ attempt: Attempt) {
        add(attempt.inode.value)
        add(attempt.size)
        add(optional: attempt.metadata) { $0.add($1) }
        add(optional: attempt.eTag) { $0.add($1.text) }
    }

    mutating func add(_ kept: KeptUpload) {
        add(kept.upload.key.bytes)
        add(kept.upload.id)
        add(kept.attributes)
        add(UInt32(kept.parts.count))
        for part in kept.parts {
            add(UInt16(part.number.value))
            add(part.eTag.text)
            add(part.size)
            add(optional: part.crc32c) { $0.add($1) }
        }
    }

    /// Without the id, which is the row's name.
    mutating func add(_ intent: Intent) {
        add(intent.order)
        add(intent.kind.rawValue)
        add(intent.key.bytes)
        add(optional: intent.source) { $0.add($1.bytes) }
        add(optional: intent.inode) { $0.add($1.value) }
        add(optional: intent.requires) { $0.add($1.value) }
        add(intent.place)
    }
}

extension ByteReader {
    /// A number that goes on being counted up from: one near the largest there is was never written.
    static func counter(_ number: UInt64) throws(Malformed) -> UInt64 {
        guard number < 1 << 62 else { throw Malformed() }
        return number
    }

    mutating func timestamp() throws(Malformed) -> Timestamp {
        Timestamp(seconds: try number(), nanoseconds: try number())
    }

    mutating func key() throws(Malformed) -> ObjectKey {
        guard let key = ObjectKey(try string()) else { throw Malformed() }
        return key
    }

    mutating func version() throws(Malformed) -> ObjectVersion {
        ObjectVersion(key: try key(), eTag: try eTag())
    }

    mutating func eTag() throws(Malformed) -> ETag { ETag(decoding: try string()) }

    mutating func object() throws(Malformed) -> SeenObject {
        SeenObject(
            eTag: try eTag(), size: try number(), lastModified: try number(), isArchived: try flag())
    }

    mutating func texts() throws(Malformed) -> [String: String] {
        var texts: [String: String] = [:]
        for _ in 0..<(try number(UInt32.self)) { texts[try text()] = try text() }
        return texts
    }

    mutating func objectAttributes() throws(Malformed) -> ObjectAttributes {
        ObjectAttributes(contentType: try text(), headers: try texts(), metadata: try texts())
    }

    mutating func nodeAttributes() throws(Malformed) -> NodeAttributes {
        let (permissions, uid, gid): (UInt32, UInt32, UInt32) = (try number(), try number(), try number())
        let (modified, changed) = (try timestamp(), try timestamp())
        var attributes = NodeAttributes(
            permissions: permissions, uid: uid, gid: gid, accessed: modified, modified: modified, changed: changed)
        for _ in 0..<(try number(UInt32.self)) { attributes.xattrs[try text()] = try string() }
        attributes.stored = try optional { (reader) throws(Malformed) in try reader.objectAttributes() }
        attributes.isDirty = try flag()
        attributes.hasExplicitTime = try flag()
        attributes.overridden = NodeAttributes.Fields(rawValue: try number())
        return attributes
    }

    mutating func name() throws(Malformed) -> EntryName {
        guard let name = EntryName(try slice()) else { throw Malformed() }
        return name
    }

    mutating func prefix() throws(Malformed) -> KeyPrefix {
        guard let prefix = KeyPrefix(try string()) else { throw Malformed() }
        return prefix
    }

    mutating func place() throws(Malformed) -> Place {
        Place(prefix: try prefix(), name: try optional { (reader) throws(Malformed) in try reader.name() })
    }

    mutating func point() throws(Malformed) -> StagedFile.Point {
        StagedFile.Point(log: try number(), sequence: try number())
    }

    mutating func attempt() throws(Malformed) -> Attempt {
        Attempt(
            inode: InodeNumber(try number()), size: try number(),
            metadata: try optional { (reader) throws(Malformed) in try reader.texts() },
            eTag: try optional { (reader) throws(Malformed) in try reader.eTag() })
    }

    mutating func upload() throws(Malformed) -> KeptUpload {
        let upload = Upload(key: try key(), id: try text())
        var kept = KeptUpload(upload: upload, attributes: try objectAttributes(), parts: [])
        for _ in 0..<(try number(UInt32.self)) {
            guard let number = PartNumber(Int(try number(UInt16.self))) else { throw Malformed() }
            kept.parts.append(
                UploadedPart(
                    number: number, eTag: try eTag(), size: try self.number(),
                    crc32c: try optional { (reader) throws(Malformed) in try reader.number() }))
        }
        return kept
    }

    mutating func intent(_ id: IntentID) throws(Malformed) -> Intent {
        let order = try Self.counter(try number())
        guard let kind = Intent.Kind(rawValue: try number()) else { throw Malformed() }
        return Intent(
            id: id, order: order, kind: kind, key: try key(),
            source: try optional { (reader) throws(Malformed) in try reader.key() },
            inode: try optional { (reader) throws(Malformed) in InodeNumber(try reader.number()) },
            requires: try optional { (reader) throws(Malformed) in IntentID(value: try reader.number()) },
            place: try place())
    }
}
