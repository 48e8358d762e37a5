/// A value as it was written down, before anybody asked what it means.
enum RawValue: Sendable {
    case text(String)
    case integer(Int64)
    case real(Double)
    case flag(Bool)
    /// After `=` in `-o`, or of a flag: text that may mean any of the above.
    case word(String)
    /// A list, a table, a date; no setting is one.
    case other(String)

    /// For a message; long text is cut.
    var shown: String {
        switch self {
        case .text(let text), .word(let text):
            text.count > 80 ? "\"\(text.prefix(80))…\"" : "\"\(text)\""
        case .integer(let value): "\(value)"
        case .real(let value): "\(value)"
        case .flag(let value): "\(value)"
        case .other(let kind): kind
        }
    }

    var asText: String? {
        switch self {
        case .text(let text), .word(let text): text
        default: nil
        }
    }
}

/// What kind of value a setting takes, and which field of `MountSettings` it is.
enum SettingForm: Sendable {
    typealias Field<Value> = any WritableKeyPath<MountSettings, Value> & Sendable

    case text(Field<String>, TextShape)
    case flag(Field<Bool>)
    /// Bytes.
    case size(Field<Int64>, ClosedRange<Int64>)
    case seconds(Field<Double>, ClosedRange<Double>)
    case count(Field<Int>, ClosedRange<Int>)
    /// Permission bits; nil is unset.
    case octal(Field<UInt32?>)
    /// A user's or group's number; nil is unset.
    case identifier(Field<UInt32?>)
    /// `set` returns nil for a word that isn't one of the choices.
    case choice(
        [String], get: @Sendable (MountSettings) -> String, set: @Sendable (inout MountSettings, String) -> Void?)

    var expectation: String {
        switch self {
        case .text(_, let shape): shape.expectation
        case .flag: "true or false"
        case .size(_, let range):
            "a size from \(Quantity.text(bytes: range.lowerBound)) to \(Quantity.text(bytes: range.upperBound)): bytes, "
                + "or text such as \"10 GiB\""
        case .seconds(_, let range):
            "a time from \(Quantity.text(seconds: range.lowerBound)) to \(Quantity.text(seconds: range.upperBound)): "
                + "seconds, or text such as \"5 s\" or \"10 min\""
        case .count(_, let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .octal: "permission bits in octal, in quotes, from \"000\" to \"777\""
        case .identifier: "a whole number from 0 to 4294967294"
        case .choice(let words, _, _): words.map { "\"\($0)\"" }.joined(separator: " or ")
        }
    }

    /// Puts `raw` into its field; false if it isn't what `expectation` says.
    func store(_ raw: RawValue, in settings: inout MountSettings) -> Bool {
        switch self {
        case .text(let field, let shape):
            keep(raw.asText.flatMap(shape.normalized), in: &settings, field)
        case .flag(let field): keep(Self.flag(raw), in: &settings, field)
        case .size(let field, let range): keep(Self.size(raw, range), in: &settings, field)
        case .seconds(let field, let range): keep(Self.seconds(raw, range), in: &settings, field)
        case .count(let field, let range):
            keep(
                Self.integer(raw).flatMap { Int(exactly: $0) }.flatMap { range.contains($0) ? $0 : nil }, in: &settings,
                field)
        case .octal(let field): keep(Self.octal(raw), in: &settings, field)
        case .identifier(let field):
            keep(
                Self.integer(raw).flatMap { UInt32(exactly: $0) }.flatMap { $0 == .max ? nil : $0 }, in: &settings,
                field)
        case .choice(_, _, let set): raw.asText.flatMap { set(&settings, $0) } != nil
        }
    }

    func text(in settings: MountSettings) -> String? {
        switch self {
        case .text(let field, _): TOMLText.quoted(settings[keyPath: field])
        case .flag(let field): "\(settings[keyPath: field])"
        case .size(let field, _):
            settings[keyPath: field] == 0 ? "0" : TOMLText.quoted(Quantity.text(bytes: settings[keyPath: field]))
        case .seconds(let field, _): TOMLText.quoted(Quantity.text(seconds: settings[keyPath: field]))
        case .count(let field, _): "\(settings[keyPath: field])"
        case .octal(let field): settings[keyPath: field].map { TOMLText.octal($0) }
        case .identifier(let field): settings[keyPath: field].map { "\($0)" }
        case .choice(_, let get, _): TOMLText.quoted(get(settings))
        }
    }

    private func keep<Value>(_ value: Value?, in settings: inout MountSettings, _ field: Field<Value>) -> Bool {
        guard let value else { return false }
        settings[keyPath: field] = value
        return true
    }

    private func keep<Value>(_ value: Value?, in settings: inout MountSettings, _ field: Field<Value?>) -> Bool {
        guard let value else { return false }
        settings[keyPath: field] = value
        return true
    }
}

extension SettingForm {
    private static func flag(_ raw: RawValue) -> Bool? {
        switch raw {
        case .flag(let value): value
        case .word("true"), .word("yes"), .word("on"): true
        case .word("false"), .word("no"), .word("off"): false
        default: nil
        }
    }

    private static func integer(_ raw: RawValue) -> Int64? {
        switch raw {
        case .integer(let value): value
        case .word(let text): text.utf8.first == 0x2B ? nil : Int64(text)
        default: nil
        }
    }

    private static func size(_ raw: RawValue, _ range: ClosedRange<Int64>) -> Int64? {
        let bytes = integer(raw) ?? raw.asText.flatMap(Quantity.size)
        return bytes.flatMap { range.contains($0) ? $0 : nil }
    }

    private static func seconds(_ raw: RawValue, _ range: ClosedRange<Double>) -> Double? {
        let value: Double? =
            switch raw {
            case .integer(let value): Double(value)
            case .real(let value): value
            case .text(let text), .word(let text): Quantity.seconds(text)
            default: nil
            }
        return value.flatMap { range.contains($0) ? $0 : nil }
    }

    /// Digits in text only: a bare 77 in a file would be decimal, which nobody means.
    private static func octal(_ raw: RawValue) -> UInt32? {
        guard let text = raw.asText, (1...4).contains(text.utf8.count), text.utf8.first != 0x2B else { return nil }
        return UInt32(text, radix: 8).flatMap { $0 <= 0o777 ? $0 : nil }
    }
}
