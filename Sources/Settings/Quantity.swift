/// Sizes and times as people write them: a number, and a unit if it isn't the basic one.
enum Quantity {
    /// Binary units, and decimal ones with a capital B and no `i`, as in fallocate(1) and dd(1).
    private static let sizes: [(unit: String, bytes: Int64)] = [
        ("", 1), ("B", 1),
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40), ("PiB", 1 << 50),
        ("K", 1 << 10), ("M", 1 << 20), ("G", 1 << 30), ("T", 1 << 40), ("P", 1 << 50),
        ("kB", 1_000), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("PB", 1_000_000_000_000_000),
    ]

    private static let times: [(unit: String, seconds: Double)] = [
        ("", 1), ("s", 1), ("ms", 0.001), ("m", 60), ("min", 60), ("h", 3600), ("d", 86_400),
    ]

    /// Bytes, or nil if `text` isn't a size that fits.
    static func size(_ text: String) -> Int64? {
        guard let (number, unit) = parts(text), let scale = sizes.first(where: { $0.unit == unit })?.bytes else {
            return nil
        }
        if let whole = Int64(number) {
            let (bytes, overflow) = whole.multipliedReportingOverflow(by: scale)
            return overflow ? nil : bytes
        }
        guard let value = Double(number) else { return nil }
        return Int64(exactly: (value * Double(scale)).rounded())
    }

    /// Seconds, or nil if `text` isn't a time.
    static func seconds(_ text: String) -> Double? {
        guard let (number, unit) = parts(text), let value = Double(number),
            let scale = times.first(where: { $0.unit == unit })?.seconds
        else { return nil }
        return value * scale
    }

    /// The shortest exact spelling: "10 GiB", "1536 MiB", "5 B".
    static func text(bytes: Int64) -> String {
        for (unit, scale) in sizes[2...6].reversed() where bytes != 0 && bytes % scale == 0 {
            return "\(bytes / scale) \(unit)"
        }
        return bytes == 0 ? "0" : "\(bytes) B"
    }

    /// The largest unit that leaves a whole number: "5 s", "10 min", "0.5 s".
    static func text(seconds: Double) -> String {
        guard seconds > 0 else { return "0 s" }
        for (unit, scale) in [("d", 86_400.0), ("h", 3600), ("min", 60)]
        where seconds.truncatingRemainder(dividingBy: scale) == 0 {
            return "\(whole(seconds / scale)) \(unit)"
        }
        return "\(whole(seconds)) s"
    }

    private static func whole(_ value: Double) -> String {
        Int64(exactly: value).map { String($0) } ?? String(value)
    }

    /// Digits with at most one point, then a unit; blanks between and around are allowed.
    private static func parts(_ text: String) -> (number: String, unit: String)? {
        let trimmed = text.trimmed
        let number = trimmed.prefix { ("0"..."9").contains($0) || $0 == "." }
        let unit = String(trimmed.dropFirst(number.count)).trimmed
        guard let first = number.first, first != ".", number.last != ".", number.count <= 20 else { return nil }
        return (String(number), unit)
    }
}

extension StringProtocol {
    /// Without blanks, tabs and line ends at both ends.
    var trimmed: String {
        let blank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0.isNewline }
        guard let first = firstIndex(where: { !blank($0) }), let last = lastIndex(where: { !blank($0) }) else {
            return ""
        }
        return String(self[first...last])
    }
}
