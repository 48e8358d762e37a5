import Bytes
import ObjectStore

/// The POSIX attributes of a file as its object's metadata keeps them: `mode`, `uid`, `gid`, `mtime`, spelled as s3fs
/// does (decimal; `mode` with the file type) and with `mtime` as rclone reads it. Extended attributes are in `xattr`.
struct StoredAttributes: Sendable, Equatable {
    /// File type and permissions, where stored.
    var mode: UInt32?
    var uid: UInt32?
    var gid: UInt32?
    var modified: Timestamp?
    /// Names with their `user.` prefix.
    var xattrs: [String: [UInt8]] = [:]

    static let names: Set<String> = ["mode", "uid", "gid", "mtime", "xattr"]

    init() {}

    /// Ignores what it cannot read: another program may have written anything there.
    init(_ metadata: [String: String]) {
        mode = metadata["mode"].flatMap { UInt32($0) }
        uid = metadata["uid"].flatMap { UInt32($0) }
        gid = metadata["gid"].flatMap { UInt32($0) }
        modified = metadata["mtime"].flatMap { Timestamp(decimal: $0) }
        xattrs = metadata["xattr"].map(Self.unpack) ?? [:]
    }

    /// Puts these into `metadata`, leaving other names alone.
    func write(to metadata: inout [String: String]) {
        if let mode { metadata["mode"] = String(mode) }
        if let uid { metadata["uid"] = String(uid) }
        if let gid { metadata["gid"] = String(gid) }
        if let modified { metadata["mtime"] = modified.decimal }
        // Another program's, in a form of its own, stays.
        if xattrs.isEmpty, let other = metadata["xattr"], Self.unpack(other).isEmpty { return }
        metadata["xattr"] = xattrs.isEmpty ? nil : Self.pack(xattrs)
    }

    /// `name=base64` pairs, percent-encoded, joined by `&`: printable ASCII whatever the value is.
    static func pack(_ xattrs: [String: [UInt8]]) -> String {
        xattrs.sorted { $0.key < $1.key }
            .map { "\(escape($0.key))=\(Base64.encode($0.value))" }
            .joined(separator: "&")
    }

    private static func unpack(_ text: String) -> [String: [UInt8]] {
        var xattrs: [String: [UInt8]] = [:]
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, let name = unescape(parts[0]), let value = Base64.decode(String(parts[1])) else {
                continue
            }
            xattrs[name] = value
        }
        return xattrs
    }

    private static func escape(_ text: String) -> String {
        var out = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                out.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                out += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return out
    }

    private static func unescape(_ text: some StringProtocol) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
                return nil
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension Timestamp {
    /// Decimal seconds, with as many decimals as are needed: `1700000000`, `1700000000.5`, `-2177452800`.
    var decimal: String {
        guard nanoseconds != 0 else { return String(seconds) }
        // Seconds count down and nanoseconds up: before 1970 the decimal number lies between the two.
        let negative = seconds < 0
        let whole = negative ? -(seconds + 1) : seconds
        let fraction = negative ? 1_000_000_000 - Int64(nanoseconds) : Int64(nanoseconds)
        var digits = String(fraction)
        digits = String(repeating: "0", count: 9 - digits.count) + digits
        while digits.hasSuffix("0") { digits.removeLast() }
        return "\(negative ? "-" : "")\(whole).\(digits)"
    }

    /// Nil when the text is no decimal number of seconds.
    init?(decimal text: String) {
        let negative = text.hasPrefix("-")
        let parts = text.dropFirst(negative ? 1 : 0).split(
            separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let whole = Int64(first), whole >= 0, whole < 1 << 53 else { return nil }
        var fraction: Int32 = 0
        if parts.count == 2 {
            let digits = parts[1].prefix(9)
            guard digits.allSatisfy(\.isASCII), let value = Int32(digits), value >= 0 else { return nil }
            fraction = value
            for _ in digits.count..<9 { fraction *= 10 }
        }
        switch (negative, fraction) {
        case (false, _): self.init(seconds: whole, nanoseconds: fraction)
        case (true, 0): self.init(seconds: -whole)
        case (true, _): self.init(seconds: -whole - 1, nanoseconds: 1_000_000_000 - fraction)
        }
    }
}
