/// The base address of a service: scheme, host, port.
struct Endpoint {
    /// Without a slash at the end.
    let text: String
    let isPlain: Bool
    let host: String

    /// Nil unless `text` is `http(s)://HOST[:PORT]`, optionally with one `/` after it.
    init?(_ text: String) {
        let bare = text.hasSuffix("/") ? String(text.dropLast()) : text
        let scheme = ["https://", "http://"].first { bare.hasPrefix($0) }
        guard let scheme, let (host, port) = Self.split(bare.dropFirst(scheme.count)) else { return nil }
        if let port, UInt16(port) == nil || UInt16(port) == 0 { return nil }
        self.text = bare
        self.isPlain = scheme == "http://"
        self.host = host
    }

    /// This machine, and nothing that a name server could send elsewhere.
    var isLoopback: Bool {
        if host == "localhost" || host == "[::1]" { return true }
        let numbers = host.split(separator: ".", omittingEmptySubsequences: false)
        return numbers.count == 4 && numbers[0] == "127" && numbers.allSatisfy { UInt8($0) != nil }
    }

    private static func split(_ authority: Substring) -> (host: String, port: Substring?)? {
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            let inside = authority[authority.index(after: authority.startIndex)..<end]
            let rest = authority[authority.index(after: end)...]
            guard !inside.isEmpty, inside.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else { return nil }
            guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
            return (String(authority[...end]), rest.isEmpty ? nil : rest.dropFirst())
        }
        let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
        let allowed: (Character) -> Bool = { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "." || $0 == "-") }
        guard (1...2).contains(parts.count), !parts[0].isEmpty, parts[0].allSatisfy(allowed) else { return nil }
        return (String(parts[0]), parts.count == 2 ? parts[1] : nil)
    }
}
