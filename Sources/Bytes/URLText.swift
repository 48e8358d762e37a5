/// Percent-encoding (RFC 3986 §2.1) of bytes, as SigV4 demands it: all but the unreserved characters is encoded, with
/// upper-case digits.
public enum URLText {
    private static let digits = Array("0123456789ABCDEF".utf8)

    /// `keepingSlashes` leaves `/` as it is: for paths, not for query values.
    public static func percentEncode(_ bytes: some Collection<UInt8>, keepingSlashes: Bool = false) -> String {
        String(unsafeUninitializedCapacity: bytes.count * 3) { text in
            var end = 0
            for byte in bytes {
                if isUnreserved(byte) || (keepingSlashes && byte == UInt8(ascii: "/")) {
                    text[end] = byte
                    end += 1
                } else {
                    text[end] = UInt8(ascii: "%")
                    text[end + 1] = digits[Int(byte >> 4)]
                    text[end + 2] = digits[Int(byte & 15)]
                    end += 3
                }
            }
            return end
        }
    }

    public static func percentEncode(_ text: String, keepingSlashes: Bool = false) -> String {
        percentEncode(text.utf8, keepingSlashes: keepingSlashes)
    }

    /// Nil for a `%` that two hexadecimal digits do not follow. `plusIsSpace` reads `+` as a space, as forms and S3's
    /// listings write it.
    public static func percentDecode(_ encoded: some Collection<UInt8>, plusIsSpace: Bool = false) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(encoded.count)
        var rest = encoded.makeIterator()
        while let byte = rest.next() {
            if byte == UInt8(ascii: "%") {
                guard let high = rest.next().flatMap(Hex.value(of:)), let low = rest.next().flatMap(Hex.value(of:))
                else { return nil }
                bytes.append(high << 4 | low)
            } else {
                bytes.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return bytes
    }

    public static func percentDecode(_ encoded: String, plusIsSpace: Bool = false) -> [UInt8]? {
        percentDecode(encoded.utf8, plusIsSpace: plusIsSpace)
    }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
