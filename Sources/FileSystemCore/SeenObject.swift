import ObjectStore

/// What S3 was last seen to hold under a key, without the key: whoever keeps it knows the directory and the name.
///
/// There is one for each object of the space that is known, in the base and in the view, so it is small: most have no
/// memory beside it.
struct SeenObject: Hashable, Sendable {
    private var tag: PackedETag
    var isArchived: Bool
    /// Bytes.
    var size: Int64
    /// Seconds since 1970.
    var lastModified: Int64

    init(eTag: ETag, size: Int64, lastModified: Int64, isArchived: Bool) {
        tag = PackedETag(eTag)
        self.isArchived = isArchived
        self.size = size
        self.lastModified = lastModified
    }

    init(_ object: ObjectSummary) {
        self.init(
            eTag: object.version.eTag, size: object.size, lastModified: object.lastModified,
            isArchived: object.isArchived)
    }

    var eTag: ETag { tag.eTag }

    func hasVersion(of other: SeenObject) -> Bool { tag == other.tag }

    /// As a listing would give it.
    func summary(at key: ObjectKey) -> ObjectSummary {
        ObjectSummary(
            version: ObjectVersion(key: key, eTag: eTag), size: size, lastModified: lastModified,
            isArchived: isArchived)
    }
}

/// An ETag in 17 bytes where it happens to be 32 hexadecimal digits, as most are; it says the same as its text.
private enum PackedETag: Hashable, Sendable {
    case digits(UInt64, UInt64)
    case text(ETag)

    private static let digits = Array("0123456789abcdef".utf8)

    init(_ eTag: ETag) {
        let utf8 = eTag.text.utf8
        let half = utf8.index(utf8.startIndex, offsetBy: 16, limitedBy: utf8.endIndex) ?? utf8.endIndex
        if utf8.count == 32, let high = Self.number(utf8[..<half]), let low = Self.number(utf8[half...]) {
            self = .digits(high, low)
        } else {
            self = .text(eTag)
        }
    }

    /// Nil for what would not come back as it is, capital letters too.
    private static func number(_ digits: Substring.UTF8View) -> UInt64? {
        var number: UInt64 = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): number = number << 4 | UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): number = number << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return number
    }

    var eTag: ETag {
        switch self {
        case .text(let eTag): return eTag
        case .digits(let high, let low):
            let bytes = (0..<32).map { place in
                let half = place < 16 ? high : low
                return Self.digits[Int(half >> UInt64(60 - place % 16 * 4) & 15)]
            }
            return ETag(decoding: bytes)
        }
    }
}
