/// Where a section or a key stands in a TOML file, for messages. The parser has found the file to be sound; this only
/// looks for the line, and finds none for spellings that nobody uses, such as inline tables.
struct LineIndex {
    private var sections: [String: Int] = [:]
    private var keys: [String: Int] = [:]

    init(_ text: String) {
        var section = ""
        var number = 0
        for line in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
            number += 1
            let content = line.trimmed
            if content.hasPrefix("["), let end = content.firstIndex(of: "]") {
                section = Self.name(content[content.index(after: content.startIndex)..<end])
                sections[section] = sections[section] ?? number
            } else if !content.hasPrefix("#"), let equals = content.firstIndex(of: "=") {
                let key = Self.name(content[..<equals])
                let path = section.isEmpty ? key : section + "." + key
                keys[path] = keys[path] ?? number
            }
        }
    }

    func line(ofSection name: String) -> Int? { sections[name] }

    /// The line of `key` in `section`, or outside of all sections.
    func line(of key: String, in section: String?) -> Int? {
        keys[section.map { $0 + "." + key } ?? key]
    }

    private static func name(_ text: Substring) -> String {
        text.split(separator: ".").map { part in
            part.trimmed.split(whereSeparator: { $0 == "\"" || $0 == "'" }).joined()
        }.joined(separator: ".")
    }
}
