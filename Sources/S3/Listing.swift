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
    private enum Section { case page, contents, commonPrefixes }
    private var section = Section.page
    /// The innermost element that is open, if its text matters.
    private enum Field {
        case none, isTruncated, continuation, encodingType, key, eTag, size, lastModified, storageClass
    }
    private var field = Field.none
    private var key: [UInt8] = []
    private var eTag: ETag?
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
        field = .none
        switch (depth, section) {
        case (1, _): if name.spells("ListBucketResult") { sawRoot = true } else { refuse(.notAListing) }
        case (2, _): startSection(name)
        case (3, .contents): field = Self.objectField(name)
        case (3, .commonPrefixes): if name.spells("Prefix") { field = .key }
        default: break
        }
        wantsText = field != .none
    }

    private func startSection(_ name: UnsafeRawBufferPointer) {
        if name.spells("Contents") {
            section = .contents
            (key, eTag, size, lastModified, isArchived) = ([], nil, nil, nil, false)
        } else if name.spells("CommonPrefixes") {
            section = .commonPrefixes
            key = []
        } else {
            section = .page
            field =
                name.spells("IsTruncated")
                ? .isTruncated
                : name.spells("NextContinuationToken")
                    ? .continuation : name.spells("EncodingType") ? .encodingType : .none
        }
    }

    private static func objectField(_ name: UnsafeRawBufferPointer) -> Field {
        if name.spells("Key") { return .key }
        if name.spells("ETag") { return .eTag }
        if name.spells("Size") { return .size }
        if name.spells("LastModified") { return .lastModified }
        return name.spells("StorageClass") ? .storageClass : .none
    }

    override func end(text: [UInt8]) {
        take(text)
        field = .none
        switch (depth, section) {
        case (2, .contents): endObject()
        case (2, .commonPrefixes): note(.prefix(key))
        case (1, _): finish()
        default: break
        }
    }

    private func take(_ text: [UInt8]) {
        switch field {
        case .none: break
        case .isTruncated: listing.isTruncated = text.spells("true")
        case .continuation: listing.continuation = String(decoding: text, as: UTF8.self)
        case .encodingType: isEncoded = text.spells("url")
        case .key: key = text
        case .eTag: eTag = ETag(decoding: text)
        case .size: size = number(text)
        case .lastModified: lastModified = CivilDate(iso8601: text)?.secondsSince1970
        case .storageClass: isArchived = text.spells("GLACIER") || text.spells("DEEP_ARCHIVE")
        }
    }

    private func endObject() {
        guard let size else { return refuse(.field("Size")) }
        guard let eTag, !eTag.text.isEmpty else { return refuse(.field("ETag")) }
        note(.object(key, eTag: eTag, size: size, lastModified: lastModified ?? 0, isArchived: isArchived))
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

    /// As forms are encoded: `%XX`, and plus for a space. Its own loop, since this is a listing's warmest one.
    private func decoded(_ text: [UInt8]) -> [UInt8]? {
        var isValid = true
        let name = [UInt8](unsafeUninitializedCapacity: text.count) { name, count in
            var index = 0
            while index < text.count {
                switch text[index] {
                case UInt8(ascii: "%"):
                    guard index + 2 < text.count, let high = Self.hexDigit(text[index + 1]),
                        let low = Self.hexDigit(text[index + 2])
                    else {
                        isValid = false
                        return
                    }
                    name[count] = high << 4 | low
                    index += 2
                case UInt8(ascii: "+"): name[count] = UInt8(ascii: " ")
                case let byte: name[count] = byte
                }
                count += 1
                index += 1
            }
        }
        return isValid ? name : nil
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
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
