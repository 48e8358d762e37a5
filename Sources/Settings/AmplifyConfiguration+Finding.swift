extension AmplifyConfiguration {
    /// Whether `file` is one of an app's files rather than a `mount.conf`: by its content, and by its name where the
    /// content could be either.
    static func looksLikeOne(_ file: SettingsFile) -> Bool {
        let first = file.text.split(whereSeparator: \.isNewline).lazy
            .map { $0.trimmed }.first { !$0.isEmpty && !$0.hasPrefix("#") }
        guard let first else { return false }
        let beginnings = [
            "{", "//", "/*", "'", "\"use strict\"", "import ", "export ", "const ", "let ", "var ", "final ", "window.",
            "module.", "Amplify.", "Auth.", "(", "String ",
        ]
        if beginnings.contains(where: { first.hasPrefix($0) }) { return true }
        return [".json", ".js", ".mjs", ".cjs", ".ts", ".jsx", ".tsx", ".dart"].contains { file.path.hasSuffix($0) }
    }

    /// Takes what is known from the object literals of the file.
    init(_ file: SettingsFile) throws(SettingsError) {
        let bytes = Array(file.text.utf8)
        var found: AmplifyConfiguration?
        var firstFailure: LiteralReader.Failure?
        var position = 0
        var tries = 0
        while let start = Self.nextObject(bytes, from: position), tries < 64 {
            tries += 1
            var reader = LiteralReader(bytes, at: start)
            do {
                let object = try reader.readObject()
                position = reader.position
                if let part = Self.interpret(object) { found = found?.completed(by: part) ?? part }
            } catch {
                firstFailure = firstFailure ?? error
                position = start + 1
            }
        }
        if let found {
            self = found
        } else if let failure = firstFailure {
            throw SettingsError(
                .malformed,
                "\(file.path):\(failure.line): this can't be read as a plain object: \(failure.reason). Write a "
                    + "mount.conf by hand; mount.example.conf explains it.")
        } else {
            throw SettingsError(
                .malformed,
                "\(file.path) has nothing that an Amplify configuration has. Give amplify_outputs.json, "
                    + "amplifyconfiguration.json, aws-exports.js or a mount.conf.")
        }
    }

    /// The next `{` that begins a value: at the start, or behind `=`, `(`, `:`, a quote, `default` or `return`.
    private static func nextObject(_ bytes: [UInt8], from start: Int) -> Int? {
        var position = start
        var word: [UInt8] = []
        var last: UInt8? = start == 0 ? nil : UInt8(ascii: ";")
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "/"), let end = commentEnd(bytes, position) {
                position = end
                continue
            }
            if byte == UInt8(ascii: "{"), beginsValue(after: last, word: word) { return position }
            if byte > 0x20 {
                let isLetter = (0x61...0x7A).contains(byte)
                let continues = isLetter && position > 0 && (0x61...0x7A).contains(bytes[position - 1])
                word = isLetter ? (continues ? word : []) + [byte] : []
                if word.count > 16 { word.removeFirst() }
                last = byte
            }
            position += 1
        }
        return nil
    }

    private static func beginsValue(after last: UInt8?, word: [UInt8]) -> Bool {
        guard let last else { return true }
        if Array("=(:'\"".utf8).contains(last) { return true }
        return word == Array("default".utf8) || word == Array("return".utf8)
    }

    private static func commentEnd(_ bytes: [UInt8], _ start: Int) -> Int? {
        guard start + 1 < bytes.count else { return nil }
        switch bytes[start + 1] {
        case UInt8(ascii: "/"):
            // The // of an address in a string is none.
            if start > 0, bytes[start - 1] == UInt8(ascii: ":") { return nil }
            return bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
        case UInt8(ascii: "*"):
            var end = start + 2
            while end + 1 < bytes.count, bytes[end] != UInt8(ascii: "*") || bytes[end + 1] != UInt8(ascii: "/") {
                end += 1
            }
            return min(end + 2, bytes.count)
        default: return nil
        }
    }

    /// What another object of the same file adds: hand-written configurations often come in two calls.
    private func completed(by other: AmplifyConfiguration) -> AmplifyConfiguration {
        var result = self
        let fields: [WritableKeyPath<AmplifyConfiguration, String>] = [
            \.userPoolID, \.appClientID, \.appClientSecret, \.identityPoolID, \.bucket, \.region, \.s3Endpoint,
            \.userPoolEndpoint, \.identityPoolEndpoint,
        ]
        for field in fields where result[keyPath: field].isEmpty { result[keyPath: field] = other[keyPath: field] }
        if result.spaces.isEmpty { result.spaces = other.spaces }
        result.pathStyle = result.pathStyle || other.pathStyle
        result.unreadable += other.unreadable
        return result
    }
}
