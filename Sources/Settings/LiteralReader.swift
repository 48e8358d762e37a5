/// Reads object literals: JSON with what JavaScript adds and people use, which is unquoted keys, single quotes, trailing
/// commas, comments, plain template strings, and values that are code, which are kept as such. Runs nothing.
///
/// Bounded: 32 levels, 20,000 values, and each byte is looked at a fixed number of times.
struct LiteralReader {
    struct Failure: Error {
        let line: Int
        let reason: String
    }

    static let deepest = 32
    static let mostValues = 20_000

    private let bytes: [UInt8]
    /// Where the next byte is read.
    private(set) var position: Int
    private var depth = 0
    private var values = 0

    init(_ bytes: [UInt8], at position: Int = 0) {
        self.bytes = bytes
        self.position = position
    }

    /// The object that begins at `position`; afterwards the position is behind its closing brace.
    mutating func readObject() throws(Failure) -> Literal {
        guard peek == UInt8(ascii: "{") else { throw failure("no object begins here") }
        return try readValue()
    }

    private mutating func readValue() throws(Failure) -> Literal {
        values += 1
        guard values <= Self.mostValues else { throw failure("there are more than \(Self.mostValues) values") }
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.deepest else { throw failure("it is nested deeper than \(Self.deepest) levels") }
        let start = position
        let value = try readPrimary()
        try skipBlanks()
        guard let value, endsValue(peek) || depth == 1 else { return try skipCode(from: start) }
        return value
    }

    /// Nil for what isn't a plain value.
    private mutating func readPrimary() throws(Failure) -> Literal? {
        switch peek {
        case UInt8(ascii: "{"): return .object(try readMembers())
        case UInt8(ascii: "["): return .list(try readItems())
        case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "`"): return try readString().map { .text($0) }
        default:
            let word = readWord()
            switch word {
            case "true": return .flag(true)
            case "false": return .flag(false)
            case "null", "undefined": return .null
            default: return Double(word).map { .number($0) }
            }
        }
    }

    private mutating func readMembers() throws(Failure) -> [Literal.Member] {
        var members: [Literal.Member] = []
        position += 1
        while true {
            try skipBlanks()
            if take(UInt8(ascii: "}")) { return members }
            guard let key = try readKey() else {
                _ = try skipCode(from: position)
                try takeSeparator(before: UInt8(ascii: "}"))
                continue
            }
            try skipBlanks()
            if take(UInt8(ascii: ":")) {
                try skipBlanks()
                members.append(.init(key: key, value: try readValue()))
            } else {
                members.append(.init(key: key, value: try skipCode(from: position)))
            }
            try takeSeparator(before: UInt8(ascii: "}"))
        }
    }

    private mutating func readItems() throws(Failure) -> [Literal] {
        var items: [Literal] = []
        position += 1
        while true {
            try skipBlanks()
            if take(UInt8(ascii: "]")) { return items }
            items.append(try readValue())
            try takeSeparator(before: UInt8(ascii: "]"))
        }
    }

    /// Nil for a computed key or a spread.
    private mutating func readKey() throws(Failure) -> String? {
        switch peek {
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            guard let text = try readString() else { throw failure("a key can't be read") }
            return text
        default:
            let word = readWord()
            return word.isEmpty ? nil : word
        }
    }

    private mutating func takeSeparator(before end: UInt8) throws(Failure) {
        try skipBlanks()
        guard take(UInt8(ascii: ",")) || peek == end else {
            throw failure("expected , or \(Character(UnicodeScalar(end))) here")
        }
    }
}

extension LiteralReader {
    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private func endsValue(_ byte: UInt8?) -> Bool {
        byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]")
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        position += 1
        return true
    }

    private func failure(_ reason: String) -> Failure {
        let before = bytes[..<min(position, bytes.count)]
        return Failure(line: 1 + before.count { $0 == UInt8(ascii: "\n") }, reason: reason)
    }

    /// Letters, digits and what numbers and names are made of.
    private mutating func readWord() -> String {
        let start = position
        while let byte = peek, byte >= 0x80 || Self.isWord(byte) { position += 1 }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default:
            [UInt8(ascii: "_"), UInt8(ascii: "$"), UInt8(ascii: "-"), UInt8(ascii: "+"), UInt8(ascii: ".")].contains(
                byte)
        }
    }

    /// Blanks and comments.
    private mutating func skipBlanks() throws(Failure) {
        while let byte = peek {
            switch byte {
            case 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20: position += 1
            case UInt8(ascii: "/"):
                guard try skipComment() else { return }
            default: return
            }
        }
    }

    private mutating func skipComment() throws(Failure) -> Bool {
        guard position + 1 < bytes.count else { return false }
        switch bytes[position + 1] {
        case UInt8(ascii: "/"):
            position = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            return true
        case UInt8(ascii: "*"):
            var end = position + 2
            while end + 1 < bytes.count, bytes[end] != UInt8(ascii: "*") || bytes[end + 1] != UInt8(ascii: "/") {
                end += 1
            }
            guard end + 1 < bytes.count else { throw failure("a comment has no end") }
            position = end + 2
            return true
        default: return false
        }
    }

    /// Passes over an expression up to the `,`, `}` or `]` that ends it.
    private mutating func skipCode(from start: Int) throws(Failure) -> Literal {
        var open: [UInt8] = []
        while true {
            try skipBlanks()
            guard let byte = peek else { throw failure("the object has no end") }
            if open.isEmpty, endsValue(byte) { break }
            switch byte {
            case UInt8(ascii: "{"): open.append(UInt8(ascii: "}"))
            case UInt8(ascii: "["): open.append(UInt8(ascii: "]"))
            case UInt8(ascii: "("): open.append(UInt8(ascii: ")"))
            case UInt8(ascii: "}"), UInt8(ascii: "]"), UInt8(ascii: ")"):
                guard open.popLast() == byte else { throw failure("brackets don't match") }
            case UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "`"):
                _ = try readString()
                continue
            default: break
            }
            guard open.count <= Self.deepest else { throw failure("it is nested deeper than \(Self.deepest) levels") }
            position += 1
        }
        return .code(String(decoding: bytes[start..<position].prefix(80), as: UTF8.self).trimmed)
    }
}

extension LiteralReader {
    /// A string in any of the three quotes; nil for a template string with code in it, which is passed over.
    private mutating func readString() throws(Failure) -> String? {
        let quote = bytes[position]
        var result: [UInt8] = []
        var hasCode = false
        position += 1
        while let byte = peek {
            position += 1
            switch byte {
            case quote: return hasCode ? nil : String(decoding: result, as: UTF8.self)
            case UInt8(ascii: "\\"): result += try readEscape()
            case 0x0A where quote != UInt8(ascii: "`"):
                position -= 1
                throw failure("a string has no end on its line")
            default:
                if quote == UInt8(ascii: "`"), byte == UInt8(ascii: "$"), peek == UInt8(ascii: "{") { hasCode = true }
                result.append(byte)
            }
        }
        throw failure("a string has no end")
    }

    private mutating func readEscape() throws(Failure) -> [UInt8] {
        guard let byte = peek else { throw failure("a string has no end") }
        position += 1
        switch byte {
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case 0x0A: return []
        case UInt8(ascii: "x"): return try encoded(readHex(2))
        case UInt8(ascii: "u"): return try readUnicodeEscape()
        default: return [byte]
        }
    }

    private mutating func readUnicodeEscape() throws(Failure) -> [UInt8] {
        if take(UInt8(ascii: "{")) {
            guard let end = bytes[position...].prefix(8).firstIndex(of: UInt8(ascii: "}")) else {
                throw failure("a \\u{…} in a string has no end")
            }
            let value = try readHex(end - position)
            position = end + 1
            return try encoded(value)
        }
        let first = try readHex(4)
        guard (0xD800..<0xDC00).contains(first), bytes[position...].starts(with: [0x5C, UInt8(ascii: "u")]) else {
            return try encoded(first)
        }
        position += 2
        let second = try readHex(4)
        guard (0xDC00..<0xE000).contains(second) else { throw failure("half a character in a string") }
        return try encoded(0x10000 + (first - 0xD800) << 10 + (second - 0xDC00))
    }

    private mutating func readHex(_ count: Int) throws(Failure) -> UInt32 {
        let digits = bytes[position...].prefix(count)
        guard digits.count == count, !digits.contains(0x2B), !digits.contains(0x2D),
            let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw failure("a \\ in a string is followed by no character") }
        position += count
        return value
    }

    private func encoded(_ value: UInt32) throws(Failure) -> [UInt8] {
        guard let scalar = UnicodeScalar(value) else { throw failure("half a character in a string") }
        return Array(String(Character(scalar)).utf8)
    }
}
