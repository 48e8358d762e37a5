/// The full name of an object in its bucket: 1 to 1024 bytes of valid UTF-8 (S3 user guide, "Naming objects").
///
/// Compared and ordered as bytes: NFC and NFD spellings are two keys, and the order is S3's listing order.
public struct ObjectKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    public static let maximumByteCount = 1024
    public let bytes: [UInt8]

    /// Nil when `bytes` is empty, too long or not UTF-8.
    public init?(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, bytes.count <= Self.maximumByteCount, isUTF8(bytes) else { return nil }
        self.bytes = bytes
    }

    public init?(_ text: String) { self.init(Array(text.utf8)) }

    /// All bytes at once: an array's own way takes them one by one.
    public func hash(into hasher: inout Hasher) { bytes.withUnsafeBytes { hasher.combine(bytes: $0) } }

    public var description: String { String(decoding: bytes, as: UTF8.self) }

    public static func < (a: ObjectKey, b: ObjectKey) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }
}

/// The beginning that all keys of a space or a directory share: empty, or UTF-8 that ends in `/`.
///
/// A prefix that ends in `/` cannot name a sibling's keys, so nothing outside the space is ever listed.
public struct KeyPrefix: Hashable, Sendable, CustomStringConvertible {
    public let bytes: [UInt8]

    /// Nil when `bytes` is not UTF-8, too long for any key below it, or does not end in `/` though it is not empty.
    public init?(_ bytes: [UInt8]) {
        guard bytes.isEmpty || bytes.last == UInt8(ascii: "/"), bytes.count < ObjectKey.maximumByteCount,
            isUTF8(bytes)
        else { return nil }
        self.bytes = bytes
    }

    public init?(_ text: String) { self.init(Array(text.utf8)) }

    /// All bytes at once: an array's own way takes them one by one.
    public func hash(into hasher: inout Hasher) { bytes.withUnsafeBytes { hasher.combine(bytes: $0) } }

    /// The prefix that this one is directly below; nil for the empty one.
    public var parent: KeyPrefix? {
        if bytes.isEmpty { return nil }
        let end = bytes.dropLast().lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
        return KeyPrefix(Array(bytes[..<end]))
    }

    public var description: String { String(decoding: bytes, as: UTF8.self) }
}

/// Without making a string of what most often is ASCII: a listing asks for a thousand keys.
private func isUTF8(_ bytes: [UInt8]) -> Bool {
    bytes.allSatisfy { $0 < 0x80 } || String(validating: bytes, as: UTF8.self) != nil
}

/// Names one version of an object's bytes. Opaque: compared, never parsed or computed (S3 says what it is made of only
/// for some objects). Held without the quotes of the header.
public struct ETag: Hashable, Sendable, CustomStringConvertible {
    public let text: String

    /// Takes the tag as any server writes it: quoted, unquoted, or with the quotes escaped for XML.
    public init(_ raw: some StringProtocol) {
        var text = String(raw)[...]
        for quote in ["\"", "&#34;", "&quot;"] where text.hasPrefix(quote) && text.hasSuffix(quote) {
            text = text.dropFirst(quote.count).dropLast(quote.count)
        }
        self.text = String(text)
    }

    /// The same from bytes, quoted or not: the quick way for listings.
    public init(decoding bytes: [UInt8]) {
        let quote = UInt8(ascii: "\"")
        if bytes.count >= 2, bytes.first == quote, bytes.last == quote {
            self.init(unquoted: String(decoding: bytes[1..<bytes.count - 1], as: UTF8.self))
        } else if bytes.contains(UInt8(ascii: "&")) {
            self.init(String(decoding: bytes, as: UTF8.self))
        } else {
            self.init(unquoted: String(decoding: bytes, as: UTF8.self))
        }
    }

    private init(unquoted text: String) { self.text = text }

    public var description: String { text }

    /// As it stands in `If-Match` and `ETag` headers.
    public var quoted: String { "\"\(text)\"" }
}

/// One immutable state of one object: what cached bytes belong to.
public struct ObjectVersion: Hashable, Sendable {
    public var key: ObjectKey
    public var eTag: ETag

    public init(key: ObjectKey, eTag: ETag) {
        self.key = key
        self.eTag = eTag
    }
}
