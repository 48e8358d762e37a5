/// Base64 (RFC 4648 §4): written with padding, read also without it and in the URL-safe alphabet of §5.
public enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    public static func encode(_ bytes: [UInt8]) -> String {
        let count = (bytes.count + 2) / 3 * 4
        return String(unsafeUninitializedCapacity: count) { text in
            var end = 0
            for start in stride(from: 0, to: bytes.count, by: 3) {
                let present = min(3, bytes.count - start)
                var group = UInt32(bytes[start]) << 16
                if present > 1 { group |= UInt32(bytes[start + 1]) << 8 }
                if present > 2 { group |= UInt32(bytes[start + 2]) }
                for digit in 0..<4 {
                    let sextet = Int(group >> (18 - 6 * digit)) & 0x3F
                    text[end + digit] = digit <= present ? alphabet[sextet] : UInt8(ascii: "=")
                }
                end += 4
            }
            return end
        }
    }

    /// Nil for a character outside both alphabets, for padding in the middle, and for a length no bytes encode to.
    public static func decode(_ text: String) -> [UInt8]? {
        var digits = Array(text.utf8)[...]
        for _ in 0..<2 where digits.last == UInt8(ascii: "=") { digits.removeLast() }
        guard digits.count % 4 != 1 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count * 3 / 4)
        var group: UInt32 = 0
        var bits = 0
        for digit in digits {
            guard let sextet = value(of: digit) else { return nil }
            group = group << 6 | UInt32(sextet)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
            }
        }
        return bytes
    }

    private static func value(of digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): digit - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"), UInt8(ascii: "-"): 62
        case UInt8(ascii: "/"), UInt8(ascii: "_"): 63
        default: nil
        }
    }
}
