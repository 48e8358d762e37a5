import SystemPackage

/// A name that both Linux and S3 can hold: 1 to 255 bytes of UTF-8 without `/` and NUL, and neither `.` nor `..`.
///
/// Compared as bytes: the NFC and NFD spellings of one word are two names, as on ext4.
struct EntryName: Hashable, Comparable, Sendable, CustomStringConvertible {
    static let maximumByteCount = 255
    let bytes: [UInt8]

    /// Says with the errno of docs/SEMANTICS.md, "Calls", why a name cannot be stored.
    init(_ name: FileName) throws(Errno) {
        guard name.bytes.count <= Self.maximumByteCount else { throw .fileNameTooLong }
        guard let name = EntryName(name.bytes) else {
            throw String(validating: name.bytes, as: UTF8.self) == nil ? .illegalByteSequence : .invalidArgument
        }
        self = name
    }

    /// Nil for a component of a key that cannot be a name; such keys are hidden.
    init?(_ bytes: some Collection<UInt8>) {
        guard (1...Self.maximumByteCount).contains(bytes.count),
            !bytes.contains(where: { $0 == 0 || $0 == UInt8(ascii: "/") }),
            !bytes.elementsEqual([UInt8(ascii: ".")]), !bytes.elementsEqual([UInt8(ascii: "."), UInt8(ascii: ".")]),
            String(validating: bytes, as: UTF8.self) != nil
        else { return nil }
        self.bytes = Array(bytes)
    }

    private init(trusted bytes: [UInt8]) { self.bytes = bytes }

    /// All bytes at once: an array's own way takes them one by one.
    func hash(into hasher: inout Hasher) { bytes.withUnsafeBytes { hasher.combine(bytes: $0) } }

    /// Stands for the root, which has no name; never compared or shown.
    static let root = EntryName(trusted: [])

    var description: String { String(decoding: bytes, as: UTF8.self) }
    var fileName: FileName { FileName(bytes) }

    static func < (a: EntryName, b: EntryName) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }

    /// Where the extension begins (its dot), or the end: `a.tar.gz` splits before `.gz`, `.profile` not at all.
    private var extensionStart: Int {
        guard let dot = bytes.lastIndex(of: UInt8(ascii: ".")), dot > 0 else { return bytes.count }
        return dot
    }

    /// In lower case, without the dot; empty when there is none.
    var pathExtension: String {
        String(decoding: bytes[extensionStart...].dropFirst(), as: UTF8.self).lowercased()
    }

    /// The name with `text` put before its extension, cut so that it stays a name.
    func inserting(_ text: String) -> EntryName {
        // What follows the last dot of a long title is no extension.
        let start = bytes.count - extensionStart <= 32 ? extensionStart : bytes.count
        let (stem, suffix) = (bytes[..<start], bytes[start...])
        var room = max(Self.maximumByteCount - text.utf8.count - suffix.count, 0)
        while room < stem.count, room > 0, stem[room] & 0xC0 == 0x80 { room -= 1 }
        return EntryName(Array(stem.prefix(room)) + Array(text.utf8) + Array(suffix)) ?? self
    }
}
