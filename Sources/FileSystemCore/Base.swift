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
    }

    private var directories: [[UInt8]: Directory] = [:]

    /// The object at `name` below `prefix`, as last seen.
    func object(_ prefix: KeyPrefix, _ name: EntryName) -> ObjectSummary? {
        directories[prefix.bytes]?.objects[name]
    }

    func marker(_ prefix: KeyPrefix) -> ObjectSummary? { directories[prefix.bytes]?.marker }

    func directory(_ prefix: KeyPrefix) -> Directory? { directories[prefix.bytes] }

    var hiddenCount: Int { directories.values.reduce(0) { $0 + $1.hidden.count } }

    mutating func replace(_ prefix: KeyPrefix, with directory: Directory) { directories[prefix.bytes] = directory }

    mutating func set(_ prefix: KeyPrefix, _ name: EntryName, to object: ObjectSummary?) {
        directories[prefix.bytes, default: Directory()].objects[name] = object
    }

    mutating func setMarker(_ prefix: KeyPrefix, to object: ObjectSummary?) {
        directories[prefix.bytes, default: Directory()].marker = object
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
