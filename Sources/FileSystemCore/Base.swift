import Bytes
import Journal
import ObjectStore

/// What S3 was last seen to hold: the lowest of the three layers (base, overlay, view).
///
/// Changed only by listings and by the results of commits, never by a local change. A directory is kept under its key
/// prefix, so a renamed directory's old and new places are two entries until its commits are through.
struct Base: Sendable {
    struct Directory: Sendable {
        /// Objects directly below, without the marker.
        var objects: [EntryName: ObjectSummary] = [:]
        /// Names with keys below them, or with a marker of their own.
        var directories: Set<EntryName> = []
        /// The zero-byte (usually) object whose key is the prefix itself.
        var marker: ObjectSummary?
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
    /// What the journal has learned since `beginRecord`; nil while nobody records.
    private var record: RowBatch?

    init(root: KeyPrefix) { self.root = root }

    mutating func takeChanges() -> RowBatch {
        defer { changes = RowBatch() }
        record?.append(changes)
        return changes
    }

    /// A copy as of now, which costs nothing until one of the two changes. What `takeChanges` gives from now on is recorded.
    mutating func beginRecord() -> Base {
        record = RowBatch()
        return self
    }

    /// What has changed since `beginRecord`.
    mutating func endRecord() -> RowBatch {
        defer { record = nil }
        return record ?? RowBatch()
    }

    /// The object at `name` below `prefix`, as last seen.
    func object(_ prefix: KeyPrefix, _ name: EntryName) -> ObjectSummary? {
        directories[prefix.bytes]?.objects[name]
    }

    func marker(_ prefix: KeyPrefix) -> ObjectSummary? { directories[prefix.bytes]?.marker }

    func directory(_ prefix: KeyPrefix) -> Directory? { directories[prefix.bytes] }

    var hiddenCount: Int { directories.values.reduce(0) { $0 + $1.hidden.count } }

    /// Takes in a complete listing.
    mutating func replace(_ prefix: KeyPrefix, with directory: Directory) {
        let before = directories[prefix.bytes] ?? Directory()
        directories[prefix.bytes] = directory
        directories[prefix.bytes]?.isListed = true
        if !before.isListed { changes.set(RowKind.listed.name(prefix.bytes), []) }
        if before.marker != directory.marker { note(.marker, prefix.bytes, directory.marker) }
        for name in before.objects.keys where directory.objects[name] == nil {
            note(.object, prefix.bytes + name.bytes, nil)
        }
        for (name, object) in directory.objects where before.objects[name] != object {
            note(.object, prefix.bytes + name.bytes, object)
        }
        for name in before.directories.subtracting(directory.directories) {
            changes.remove(RowKind.directory.name(prefix.bytes + name.bytes + [UInt8(ascii: "/")]))
        }
        for name in directory.directories.subtracting(before.directories) {
            changes.set(RowKind.directory.name(prefix.bytes + name.bytes + [UInt8(ascii: "/")]), [])
        }
    }

    mutating func set(_ prefix: KeyPrefix, _ name: EntryName, to object: ObjectSummary?) {
        directories[prefix.bytes, default: Directory()].objects[name] = object
        note(.object, prefix.bytes + name.bytes, object)
        if object != nil { noteDirectory(prefix) } else { noteGone(prefix) }
    }

    mutating func setMarker(_ prefix: KeyPrefix, to object: ObjectSummary?) {
        directories[prefix.bytes, default: Directory()].marker = object
        note(.marker, prefix.bytes, object)
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

    /// Names in all of them.
    var nameCount: Int { directories.values.reduce(0) { $0 + $1.objects.count + $1.directories.count } }

    /// After the last row: what was removed again has left nothing.
    mutating func dropEmpty() { directories = directories.filter { $0.value.isListed || !$0.value.isEmpty } }

    mutating func restore(_ parent: [UInt8], _ name: EntryName, _ object: ObjectSummary?) {
        directories[parent, default: Directory()].objects[name] = object
    }

    mutating func restoreMarker(_ prefix: [UInt8], _ object: ObjectSummary?) {
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

    /// Everything, for a new log.
    func allRows() -> RowBatch {
        var all = Base(root: root)
        for (bytes, directory) in directories {
            guard let prefix = KeyPrefix(bytes) else { continue }
            var known = directory
            known.isListed = false
            all.replace(prefix, with: known)
            if !directory.isListed { all.changes.remove(RowKind.listed.name(bytes)) }
        }
        return all.takeChanges()
    }

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

    private mutating func note(_ kind: RowKind, _ name: [UInt8], _ object: ObjectSummary?) {
        guard let object else { return changes.remove(kind.name(name)) }
        var writer = ByteWriter()
        writer.add(object)
        changes.set(kind.name(name), writer.bytes)
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
                marker = object
            } else if let name = EntryName(rest) {
                objects[name] = object
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

    /// After the last page: a name that is both goes to the directory (docs/SEMANTICS.md §1).
    mutating func settle() {
        for name in directories {
            guard let object = objects.removeValue(forKey: name) else { continue }
            hidden[object.version.key] = .besideDirectory
        }
    }

    private static func reason(_ component: ArraySlice<UInt8>) -> HiddenReason {
        if component.isEmpty || component.contains(UInt8(ascii: "/")) { return .emptyComponent }
        if component.contains(0) { return .nul }
        return component.count > EntryName.maximumByteCount ? .tooLong : .dots
    }
}
