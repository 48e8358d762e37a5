/// Values as TOML spells them.
enum TOMLText {
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16, uppercase: true)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    static func octal(_ bits: UInt32) -> String {
        let digits = String(bits, radix: 8)
        return "\"" + String(repeating: "0", count: max(0, 3 - digits.count)) + digits + "\""
    }
}
