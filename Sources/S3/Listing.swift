import Bytes
import ObjectStore

/// One page of ListObjectsV2, read straight from bytes.
struct Listing {
    var objects: [ObjectSummary] = []
    var commonPrefixes: [[UInt8]] = []
    var continuation: String?
    var isTruncated = false
    /// Entries whose names no key can have; nobody could ask for them.
    var unreadable = 0

    /// Throws when the document is no listing, is larger than `maximumEntries`, or a key does not lie under `prefix`.
    init(_ document: [UInt8], prefix: [UInt8], maximumEntries: Int = 1000) throws(ListingProblem) {
        let reader = ListingReader(prefix: prefix, maximumEntries: maximumEntries)
        do { try reader.read(document) } catch {
            throw reader.problem ?? .xml(error)
        }
        if let problem = reader.problem { throw problem }
        guard reader.sawRoot else { throw .notAListing }
        self = reader.listing
    }
    fileprivate init() {}
}

enum ListingProblem: Error, Equatable {
    case xml(XMLProblem)
    case notAListing
    case outsidePrefix
    case tooManyEntries
    case field(String)
}

private final class ListingReader: XMLReader {
    var listing = Listing()
    var sawRoot = false
    var problem: ListingProblem?
    private let prefix: [UInt8]
    private let maximumEntries: Int
    private var isEncoded = false

    /// As it stands in the document.
    private enum Entry {
        case object([UInt8], eTag: ETag, size: Int64, lastModified: Int64, isArchived: Bool)
        case prefix([UInt8])
    }
    private var entries: [Entry] = []

    /// The element at depth 2 that is open.
    private enum Section { case other, contents, commonPrefixes }
    private var section = Section.other
    private var key: [UInt8] = []
    private var eTag = ""
    private var size: Int64?
    private var lastModified: Int64?
    private var isArchived = false

    init(prefix: [UInt8], maximumEntries: Int) {
        self.prefix = prefix
        self.maximumEntries = maximumEntries
    }

    private func refuse(_ problem: ListingProblem) {
        self.problem = problem
        stop(.tooLarge)
    }

    override func start(_ name: UnsafeRawBufferPointer) {
        switch depth {
        case 1:
            if name.spells("ListBucketResult") { sawRoot = true } else { refuse(.notAListing) }
        case 2:
            if name.spells("Contents") {
                section = .contents
                key.removeAll(keepingCapacity: true)
                (eTag, size, lastModified, isArchived) = ("", nil, nil, false)
            } else if name.spells("CommonPrefixes") {
                section = .commonPrefixes
                key.removeAll(keepingCapacity: true)
            } else {
                section = .other
                wantsText = true
            }
        case 3: wantsText = section != .other
        default: break
        }
    }

    override func end(_ name: UnsafeRawBufferPointer, text: [UInt8]) {
        switch (depth, section) {
        case (2, .other): page(name, text)
        case (2, .contents): endObject()
        case (2, .commonPrefixes): note(.prefix(key))
        case (1, _): finish()
        case (3, .contents): object(name, text)
        case (3, .commonPrefixes): if name.spells("Prefix") { key = text }
        default: break
        }
    }

    private func page(_ name: UnsafeRawBufferPointer, _ text: [UInt8]) {
        if name.spells("IsTruncated") {
            listing.isTruncated = text.elementsEqual("true".utf8)
        } else if name.spells("NextContinuationToken") {
            listing.continuation = String(decoding: text, as: UTF8.self)
        } else if name.spells("EncodingType") {
            isEncoded = text.elementsEqual("url".utf8)
        }
    }

    private func object(_ name: UnsafeRawBufferPointer, _ text: [UInt8]) {
        if name.spells("Key") {
            key = text
        } else if name.spells("ETag") {
            eTag = String(decoding: text, as: UTF8.self)
        } else if name.spells("Size") {
            size = number(text)
        } else if name.spells("LastModified") {
            lastModified = CivilDate(iso8601: text)?.secondsSince1970
        } else if name.spells("StorageClass") {
            isArchived = text.elementsEqual("GLACIER".utf8) || text.elementsEqual("DEEP_ARCHIVE".utf8)
        }
    }

    private func endObject() {
        guard let size else { return refuse(.field("Size")) }
        guard !eTag.isEmpty else { return refuse(.field("ETag")) }
        note(.object(key, eTag: ETag(eTag), size: size, lastModified: lastModified ?? 0, isArchived: isArchived))
    }

    private func note(_ entry: Entry) {
        if entries.count == maximumEntries { return refuse(.tooManyEntries) }
        entries.append(entry)
    }

    /// Servers differ in whether `EncodingType` comes before the entries or after, so names are decoded at the end.
    private func finish() {
        for entry in entries where problem == nil {
            switch entry {
            case .prefix(let raw):
                if let name = name(raw) { listing.commonPrefixes.append(name) }
            case .object(let raw, let eTag, let size, let lastModified, let isArchived):
                guard let name = name(raw) else { continue }
                guard let key = ObjectKey(name) else {
                    listing.unreadable += 1
                    continue
                }
                listing.objects.append(
                    ObjectSummary(
                        version: ObjectVersion(key: key, eTag: eTag), size: size, lastModified: lastModified,
                        isArchived: isArchived))
            }
        }
    }

    private func name(_ raw: [UInt8]) -> [UInt8]? {
        guard let name = isEncoded ? decoded(raw) : raw else {
            refuse(.field("Key"))
            return nil
        }
        guard name.starts(with: prefix) else {
            refuse(.outsidePrefix)
            return nil
        }
        return name
    }

    private func decoded(_ text: [UInt8]) -> [UInt8]? {
        let needsWork = text.contains { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }
        return needsWork ? URLText.percentDecode(text, plusIsSpace: true) : text
    }

    /// Digits only; nil for anything else and for more than an `Int64` holds.
    private func number(_ text: [UInt8]) -> Int64? {
        guard !text.isEmpty, text.count <= 18 else { return nil }
        var value: Int64 = 0
        for byte in text {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int64(byte - 0x30)
        }
        return value
    }
}
