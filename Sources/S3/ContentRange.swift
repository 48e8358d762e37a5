import HTTPTransport

/// Which bytes of an object an answer holds: what `Content-Range` and `Content-Length` say together.
struct ContentRange: Equatable, Sendable {
    var bytes: Range<Int64>
    /// Nil when the server does not tell (`*`).
    var objectSize: Int64?

    /// Nil when the answer does not say. An answer without `Content-Range` is the whole object, whatever was asked;
    /// some servers send the range that was asked for with status 200, so the status decides nothing.
    init?(_ response: HTTPResponse) {
        if let text = response["content-range"] {
            self.init(text)
        } else if let length = response["content-length"].flatMap({ Int64($0) }), length >= 0, response.status == 200 {
            self.init(bytes: 0..<length, objectSize: length)
        } else {
            return nil
        }
    }

    /// `bytes 0-99/1234`, both ends included.
    init?(_ text: String) {
        guard text.hasPrefix("bytes ") else { return nil }
        let pieces = text.dropFirst(6).split(separator: "/", omittingEmptySubsequences: false)
        guard pieces.count == 2 else { return nil }
        let ends = pieces[0].split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
        guard ends.count == 2, let first = ends[0], let last = ends[1], first >= 0, last >= first, last < .max else {
            return nil
        }
        if pieces[1] == "*" {
            self.init(bytes: first..<last + 1, objectSize: nil)
        } else {
            guard let size = Int64(pieces[1]), size > last else { return nil }
            self.init(bytes: first..<last + 1, objectSize: size)
        }
    }

    private init(bytes: Range<Int64>, objectSize: Int64?) {
        self.bytes = bytes
        self.objectSize = objectSize
    }
}
