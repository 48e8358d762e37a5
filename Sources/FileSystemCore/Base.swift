import Bytes
import Journal
import ObjectStore
import SystemPackage

/// What S3 was last seen to hold: the lowest of the three layers (base, overlay, view).
///
/// Changed only by listings and by the results of commits, never by a local change. A directory is kept under its key
/// prefix, so a renamed directory's old and new places are two entries until its commits are through.
struct Base: Sendable {
    struct Directory: Sendable {
        /// Objects directly below, without the marker.
        var objects: [EntryName: SeenObject] = [:]
        /// Names with keys below them, or with a marker of their own.
        var directories: Set<EntryName> = []
        /// The zero-byte (usually) object whose key is the prefix itself.
        var marker: SeenObject?
        /// Keys that cannot be shown as names, by reason; counted, never touched.
        var hidden: [ObjectKey: HiddenReason] = [:]
        /// A complete listing told what is here; else it is only what commits and single questions told.
        var isListed = false

        /// Nothing is known to be at or below it.
        var isEmpty: Bool { marker == nil && objects.isEmpty && directories.isEmpty && hidden.isEmpty }
    }

    /// The prefix of the space: nothing above it is known.
    private let root: KeyPrefix
    private var directories: [[UInt8]: Directory] = [:]
    /// What the journal must learn.
    private var changes = RowBatch()

    init(root: KeyPrefix) { self.root = root }

    mutating func takeChanges() -> RowBatch {
        defer { changes = RowBatch() }
        return changes
    }

    /// The object at `name` below `prefix`, as last seen.
    func object(_ prefix: KeyPrefix, _ name: EntryName) -> ObjectSummary? {
        guard let seen = directories[prefix.bytes]?.objects[name] else { return nil }
        return ObjectKey(prefix.bytes + name.bytes).map(seen.summary)
    }

    func marker(_ prefix: KeyPrefix) -> ObjectSummary? {
        guard let seen = directories[prefix.bytes]?.marker else { return nil }
        return ObjectKey(prefix.bytes).map(seen.summary)
    }

    func directory(_ prefix: KeyPrefix) -> Directory? { directories[prefix.bytes] }

    var hiddenCount: Int { directories.values.reduce(0) { $0 + $1.hidden.count } }

    /// Takes in a complete listing. Names that stay are still those which the view shares.
    mutating func replace(_ prefix: KeyPrefix, with listed: Directory) {
        // Taken out, so that it is changed in place.
        var known = directories.removeValue(forKey: prefix.bytes) ?? Directory()
        if !known.isListed { changes.set(RowKind.listed.name(prefix.bytes), []) }
        if known.marker != listed.marker { note(.marker, prefix.bytes, listed.marker) }
        let objects = known.objects.keys.filter { listed.objects[$0] == nil }
        for name in objects {
            known.objects[name] = nil
            changes.remove(RowKind.object.name(prefix.bytes + name.bytes))
        }
        let isFirst = known.objects.isEmpty
        for (name, object) in listed.objects where known.objects[name] != object {
            if !isFirst { known.objects[name] = object }
            note(prefix, name, object)
        }
        if isFirst { known.objects = listed.objects }
        for name in known.directories.subtracting(listed.directories) {
            known.directories.remove(name)
            changes.remove(Self.directoryRow(prefix.bytes, name))
        }
        for name in listed.directories where known.directories.insert(name).inserted {
            changes.set(Self.directoryRow(prefix.bytes, name), [])
        }
        (known.marker, known.hidden, known.isListed) = (listed.marker, listed.hidden, true)
        directories[prefix.bytes] = known
    }

    private static func directoryRow(_ parent: [UInt8], _ name: EntryName) -> [UInt8] {
        RowKind.directory.name(parent + name.bytes + [UInt8(ascii: "/")])
    }

    mutating func set(_ prefix: KeyPrefix, _ name: EntryName, to object: ObjectSummary?) {
        let seen = object.map { SeenObject($0) }
        directories[prefix.bytes, default: Directory()].objects[name] = seen
        // What a listing had told beside a directory of its name is told anew here.
        if let key = ObjectKey(prefix.bytes + name.bytes) { directories[prefix.bytes]?.hidden[key] = nil }
        note(prefix, name, seen)
        if object != nil { noteDirectory(prefix) } else { noteGone(prefix) }
    }

    mutating func setMarker(_ prefix: KeyPrefix, to object: ObjectSummary?) {
        let seen = object.map { SeenObject($0) }
        directories[prefix.bytes, default: Directory()].marker = seen
        note(.marker, prefix.bytes, seen)
        if object != nil { noteDirectory(prefix) } else { noteGone(prefix) }
    }

    /// Without anything at or below it, a directory is not on S3.
    private mutating func noteGone(_ prefix: KeyPrefix) {
        var below = prefix
        while let left = directories[below.bytes], left.isListed, left.isEmpty, below != root {
            leaveParent(below)
            guard let above = Self.split(below.bytes).flatMap({ KeyPrefix(Array($0.parent)) }) else { return }
            below = above
        }
    }

    // MARK: Taken back from the journal

    /// All directories of which something is known, those above before those below.
    var prefixes: [KeyPrefix] { directories.keys.sorted { $0.count < $1.count }.compactMap { KeyPrefix($0) } }

    /// After the last row: what was removed again has left nothing.
    mutating func dropEmpty() { directories = directories.filter { $0.value.isListed || !$0.value.isEmpty } }

    mutating func restore(_ parent: [UInt8], _ name: EntryName, _ object: SeenObject?) {
        directories[parent, default: Directory()].objects[name] = object
    }

    mutating func restoreMarker(_ prefix: [UInt8], _ object: SeenObject?) {
        directories[prefix, default: Directory()].marker = object
    }

    mutating func restoreDirectory(_ parent: [UInt8], _ name: EntryName, _ exists: Bool) {
        if exists {
            directories[parent, default: Directory()].directories.insert(name)
        } else {
            directories[parent]?.directories.remove(name)
        }
    }

    mutating func restoreListed(_ prefix: [UInt8], _ isListed: Bool) {
        directories[prefix, default: Directory()].isListed = isListed
    }

    /// Everything, for a new log, in batches of some ten thousand bytes.
    func writeRows(_ write: (RowBatch) throws(Errno) -> Void) throws(Errno) {
        // Of a base that has nothing else, so that its changes are the rows.
        var rows = Base(root: root)
        for (bytes, directory) in directories {
            guard let prefix = KeyPrefix(bytes) else { continue }
            if directory.isListed { rows.changes.set(RowKind.listed.name(bytes), []) }
            if directory.marker != nil { rows.note(.marker, bytes, directory.marker) }
            for name in directory.directories {
                rows.changes.set(Self.directoryRow(bytes, name), [])
                if rows.changes.byteCount > Self.batchByteCount { try write(rows.takeChanges()) }
            }
            for (name, object) in directory.objects {
                rows.note(prefix, name, object)
                if rows.changes.byteCount > Self.batchByteCount { try write(rows.takeChanges()) }
            }
        }
        try write(rows.takeChanges())
    }

    private static let batchByteCount = 64 << 10

    /// A directory is gone from S3, or will be when what is queued is through.
    mutating func forgetDirectory(_ prefix: KeyPrefix) {
        if let left = directories[prefix.bytes], left.isEmpty {
            directories[prefix.bytes] = nil
            if left.isListed { changes.remove(RowKind.listed.name(prefix.bytes)) }
        }
        leaveParent(prefix)
    }

    private mutating func leaveParent(_ prefix: KeyPrefix) {
        guard let (parent, name) = Self.split(prefix.bytes),
            directories[Array(parent)]?.directories.remove(name) != nil
        else { return }
        changes.remove(RowKind.directory.name(prefix.bytes))
    }

    /// Where something is known in a directory, it exists, and so do those above it.
    mutating func noteHeld(_ prefix: KeyPrefix) {
        if directories[prefix.bytes]?.isEmpty == false { noteDirectory(prefix) }
    }

    /// A directory was made here, or moved: all that is in it is known.
    mutating func noteMade(_ prefix: KeyPrefix) {
        // One that is back where it was, before its files have left.
        noteHeld(prefix)
        guard directories[prefix.bytes]?.isListed != true else { return }
        directories[prefix.bytes, default: Directory()].isListed = true
        changes.set(RowKind.listed.name(prefix.bytes), [])
    }

    /// S3 holds something at or below `prefix`, so each directory above it exists.
    private mutating func noteDirectory(_ prefix: KeyPrefix) {
        var below = prefix.bytes[...]
        while below.count > root.bytes.count, let (parent, name) = Self.split(below),
            directories[Array(parent), default: Directory()].directories.insert(name).inserted
        {
            changes.set(RowKind.directory.name(Array(below)), [])
            below = parent
        }
    }

    private mutating func note(_ prefix: KeyPrefix, _ name: EntryName, _ object: SeenObject?) {
        note(.object, prefix.bytes + name.bytes, object)
    }

    private mutating func note(_ kind: RowKind, _ key: [UInt8], _ object: SeenObject?) {
        guard let object else { return changes.remove(kind.name(key)) }
        var writer = ByteWriter()
        writer.add(object)
        changes.set(kind.name(key), writer.bytes)
    }

    /// A prefix as its parent's prefix and its name there; nil without a parent.
    private static func split(_ prefix: some Collection<UInt8>) -> (parent: ArraySlice<UInt8>, name: EntryName)? {
        let bytes = Array(prefix)
        guard let end = bytes.dropLast().lastIndex(of: UInt8(ascii: "/")),
            let name = EntryName(bytes[(end + 1)...].dropLast())
        else { return nil }
        return (bytes[...end], name)
    }
}

/// Why a key is not shown.
enum HiddenReason: String, Sendable {
    case emptyComponent = "an empty component"
    case dots = "a component . or .."
    case nul = "a NUL byte"
    case tooLong = "a component over 255 bytes"
    case besideDirectory = "an object beside keys below it"
}

extension Base.Directory {
    /// Sorts the pages of a delimited listing of `prefix` into names.
    mutating func add(_ page: ListPage, below prefix: KeyPrefix) {
        for object in page.objects {
            let key = object.version.key.bytes
            guard key.starts(with: prefix.bytes) else { continue }
            let rest = key[prefix.bytes.count...]
            if rest.isEmpty {
                marker = SeenObject(object)
            } else if let name = EntryName(rest) {
                objects[name] = SeenObject(object)
            } else {
                hidden[object.version.key] = Self.reason(rest)
            }
        }
        for common in page.commonPrefixes {
            guard common.starts(with: prefix.bytes), common.last == UInt8(ascii: "/") else { continue }
            let rest = common[prefix.bytes.count...].dropLast()
            if let name = EntryName(rest) {
                directories.insert(name)
            } else if let key = ObjectKey(common) {
                hidden[key] = Self.reason(rest)
            }
        }
    }

    /// After the last page: a name that is both goes to the directory (docs/SEMANTICS.md, "The space").
    mutating func settle(below prefix: KeyPrefix) {
        for name in directories where objects.removeValue(forKey: name) != nil { hide(name, below: prefix) }
    }

    /// Counts an object that is not shown, since a directory has its name.
    mutating func hide(_ name: EntryName, below prefix: KeyPrefix) {
        if let key = ObjectKey(prefix.bytes + name.bytes) { hidden[key] = .besideDirectory }
    }

    private static func reason(_ component: ArraySlice<UInt8>) -> HiddenReason {
        if component.isEmpty || component.contains(UInt8(ascii: "/")) { return .emptyComponent }
        if component.contains(0) { return .nul }
        return component.count > EntryName.maximumByteCount ? .tooLong : .dots
    }
}
