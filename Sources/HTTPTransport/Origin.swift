/// Where a request goes: what connections are kept and counted by.
struct Origin: Hashable, Sendable, CustomStringConvertible {
    /// Scheme, host and port as the URL spells them.
    let text: String

    /// Host and port, for messages.
    var description: String { text.split(separator: "/").last.map(String.init) ?? text }

    /// Nil when `url` is not an absolute `http` or `https` URL, holds a user name, or has a character that must be
    /// encoded.
    init?(url: String) {
        guard url.hasPrefix("https://") || url.hasPrefix("http://"),
            url.utf8.allSatisfy({ (0x21...0x7E).contains($0) }),
            let colon = url.utf8.firstIndex(of: UInt8(ascii: ":"))
        else { return nil }
        let authority = url.utf8[url.utf8.index(colon, offsetBy: 3)...]
        let end = authority.firstIndex { [UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#")].contains($0) }
        let host = authority[..<(end ?? authority.endIndex)]
        guard !host.isEmpty, !host.contains(UInt8(ascii: "@")) else { return nil }
        self.text = String(url[..<(end ?? url.endIndex)])
    }
}
