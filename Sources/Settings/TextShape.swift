/// What the text of one setting must look like. Empty always means "not set".
enum TextShape: Sendable {
    case userPoolID, appClientID, appClientSecret, identityPoolID, bucket, region, prefix, endpoint, path

    /// What a person is told when the text is refused.
    var expectation: String {
        switch self {
        case .userPoolID: "a user pool id, REGION_NAME, such as \"eu-west-1_Ab3dEf9Hi\""
        case .appClientID: "an app client id of letters and digits, such as \"1example23456789\""
        case .appClientSecret: "the app client's secret, without blanks"
        case .identityPoolID:
            "an identity pool id, REGION:UUID, such as \"eu-west-1:f602c14b-0fde-409c-9a7e-0baccbfd87d0\""
        case .bucket: "a bucket's name of 3 to 63 letters, digits, dots and hyphens"
        case .region: "a region such as \"eu-west-1\""
        case .prefix:
            "a key prefix such as \"private/{identity_id}/images/\", without a leading slash, empty, `.` or `..` "
                + "components, and with no other braces than {identity_id}"
        case .endpoint: "an address such as \"https://s3.example.com\" or \"http://127.0.0.1:9000\", without a path"
        case .path: "a path from /, or from ~/"
        }
    }

    /// `text` as it is to be kept, or nil if it has not this shape.
    func normalized(_ text: String) -> String? {
        if text.isEmpty { return text }
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return nil }
        switch self {
        case .userPoolID: return Self.isUserPoolID(text) ? text : nil
        case .appClientID: return text.utf8.count <= 128 && text.utf8.allSatisfy(Self.isWord) ? text : nil
        case .appClientSecret: return text.utf8.count <= 256 && !text.utf8.contains(0x20) ? text : nil
        case .identityPoolID: return Self.isIdentityPoolID(text) ? text : nil
        case .bucket: return Self.isBucket(text) ? text : nil
        case .region: return Self.isRegion(text) ? text : nil
        case .prefix: return PrefixTemplate.normalized(text)
        case .endpoint: return Endpoint(text).map { $0.text }
        case .path: return text.utf8.count < 4096 ? text : nil
        }
    }

    /// Lower-case words with hyphens between them; other stores than AWS have regions like "auto".
    static func isRegion(_ text: String) -> Bool {
        let words = text.split(separator: "-", omittingEmptySubsequences: false)
        return text.utf8.count <= 32
            && words.allSatisfy { word in
                !word.isEmpty && word.utf8.allSatisfy { Self.isDigit($0) || (0x61...0x7A).contains($0) }
            }
    }

    /// As AWS names its regions: `eu-west-1`, `us-gov-west-1`.
    static func isAWSRegion(_ text: String) -> Bool {
        let words = text.split(separator: "-")
        return isRegion(text) && words.count >= 3 && words[words.count - 1].utf8.allSatisfy(isDigit)
    }

    private static func isUserPoolID(_ text: String) -> Bool {
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        return parts.count == 2 && isAWSRegion(String(parts[0])) && !parts[1].isEmpty && text.utf8.count <= 55
            && parts[1].utf8.allSatisfy { isWord($0) && $0 != 0x5F }
    }

    private static func isIdentityPoolID(_ text: String) -> Bool {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, isAWSRegion(String(parts[0])) else { return false }
        let groups = parts[1].split(separator: "-", omittingEmptySubsequences: false)
        return groups.map(\.utf8.count) == [8, 4, 4, 4, 12]
            && groups.joined().utf8.allSatisfy { isDigit($0) || (0x61...0x66).contains($0 | 0x20) }
    }

    private static func isBucket(_ text: String) -> Bool {
        (3...63).contains(text.utf8.count) && !text.hasPrefix(".") && !text.hasPrefix("-")
            && text.utf8.allSatisfy { isWord($0) || $0 == 0x2E || $0 == 0x2D } && !text.contains("..")
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func isWord(_ byte: UInt8) -> Bool {
        isDigit(byte) || (0x61...0x7A).contains(byte | 0x20) || byte == 0x5F
    }
}
