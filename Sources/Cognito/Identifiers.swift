/// `region_name`, as Cognito writes it: `ap-southeast-2_Ab3dEf9Hi`.
public struct UserPoolID: Hashable, Sendable, CustomStringConvertible {
    public let text: String
    public let region: String
    /// The part that SRP hashes.
    public let name: String

    public init?(_ text: String) {
        let parts = text.split(separator: "_", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, isRegion(parts[0]), (1...55).contains(parts[1].utf8.count),
            parts[1].utf8.allSatisfy(isASCIIAlphanumeric)
        else { return nil }
        self.text = text
        self.region = String(parts[0])
        self.name = String(parts[1])
    }

    public var description: String { text }
}

/// `region:uuid` of an identity pool.
public struct IdentityPoolID: Hashable, Sendable, CustomStringConvertible {
    public let text: String
    public let region: String

    public init?(_ text: String) {
        guard let region = regionOfIdentity(text) else { return nil }
        self.text = text
        self.region = region
    }

    public var description: String { text }
}

/// `region:uuid` of one user in an identity pool: the name of the user's space. Safe as one component of a key.
public struct IdentityID: Hashable, Sendable, CustomStringConvertible {
    public let text: String

    public init?(_ text: String) {
        guard regionOfIdentity(text) != nil else { return nil }
        self.text = text
    }

    public var description: String { text }
}

/// At most 55 bytes in all (Cognito's own limit); letters, digits and `-` around one colon.
private func regionOfIdentity(_ text: String) -> String? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard text.utf8.count <= 55, parts.count == 2, isRegion(parts[0]), !parts[1].isEmpty,
        parts[1].utf8.allSatisfy({ isASCIIAlphanumeric($0) || $0 == UInt8(ascii: "-") })
    else { return nil }
    return String(parts[0])
}

private func isRegion(_ text: Substring) -> Bool {
    (1...32).contains(text.utf8.count)
        && text.utf8.allSatisfy { isASCIIAlphanumeric($0) || $0 == UInt8(ascii: "-") }
}

func isASCIIAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
    default: false
    }
}
