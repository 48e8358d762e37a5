import Bytes

/// User metadata travels in headers, which are safe for printable ASCII only. Any other value is written as S3 itself
/// answers it: encoded words of RFC 2047, `=?UTF-8?B?…?=`. So every client that reads what S3 says reads ours too.
enum MetadataText {
    /// RFC 2047 §2: no word is longer than 75 characters. 45 bytes make 60 of base64, and 12 are around them.
    private static let bytesPerWord = 45

    static func encode(_ value: String) -> String {
        guard needsEncoding(value) else { return value }
        var words: [String] = []
        var word: [UInt8] = []
        for scalar in value.unicodeScalars {
            let bytes = Array(String(scalar).utf8)
            if word.count + bytes.count > bytesPerWord {
                words.append(encodedWord(word))
                word = []
            }
            word += bytes
        }
        words.append(encodedWord(word))
        return words.joined(separator: " ")
    }

    /// Leaves what is not an encoded word as it is. White space between two encoded words is not part of the value.
    static func decode(_ text: String) -> String {
        guard text.contains("=?") else { return text }
        var result = ""
        var rest = text[...]
        var afterWord = false
        while let start = rest.firstRange(of: "=?") {
            guard let (value, end) = encodedWord(at: start.lowerBound, in: rest) else {
                result += rest[..<start.upperBound]
                rest = rest[start.upperBound...]
                afterWord = false
                continue
            }
            let between = rest[..<start.lowerBound]
            if !(afterWord && between.allSatisfy(\.isWhitespace)) { result += between }
            result += value
            rest = rest[end...]
            afterWord = true
        }
        return result + rest
    }

    /// An empty value needs it because clients drop headers without one; spaces at the ends and runs of them, because
    /// the signature and HTTP do not keep them; and what looks encoded, because it would be decoded.
    private static func needsEncoding(_ value: String) -> Bool {
        value.isEmpty || value.hasPrefix(" ") || value.hasSuffix(" ") || value.contains("  ") || value.contains("=?")
            || value.utf8.contains { $0 < 0x20 || $0 > 0x7E }
    }

    private static func encodedWord(_ bytes: [UInt8]) -> String { "=?UTF-8?B?\(Base64.encode(bytes))?=" }

    /// `=?charset?encoding?text?=`
    private static func encodedWord(at start: String.Index, in text: Substring) -> (String, String.Index)? {
        let fields = text[start...].dropFirst(2)
        guard let first = fields.firstIndex(of: "?"),
            let second = fields[fields.index(after: first)...].firstIndex(of: "?"),
            let end = fields[fields.index(after: second)...].firstRange(of: "?=")
        else { return nil }
        let charset = fields[..<first].lowercased()
        let body = fields[fields.index(after: second)..<end.lowerBound]
        let bytes: [UInt8]?
        switch fields[fields.index(after: first)..<second] {
        case "B", "b": bytes = Base64.decode(String(body))
        case "Q", "q": bytes = quoted(body)
        default: bytes = nil
        }
        guard let bytes else { return nil }
        switch charset {
        case "utf-8", "us-ascii": return String(validating: bytes, as: UTF8.self).map { ($0, end.upperBound) }
        case "iso-8859-1":
            return (String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) })), end.upperBound)
        default: return nil
        }
    }

    /// RFC 2047 §4.2: `_` is a space, `=XX` a byte.
    private static func quoted(_ text: Substring) -> [UInt8]? {
        if text.utf8.contains(UInt8(ascii: "%")) || text.utf8.contains(UInt8(ascii: "+")) {
            return quoted(Substring(text.replacing("%", with: "=25").replacing("+", with: "=2B")))
        }
        return URLText.percentDecode(
            text.utf8.map { $0 == UInt8(ascii: "=") ? UInt8(ascii: "%") : $0 == UInt8(ascii: "_") ? 0x20 : $0 })
    }
}
