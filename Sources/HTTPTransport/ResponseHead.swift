/// Status and fields of an answer, taken line by line as libcurl hands them out. Interim heads (1xx) are dropped; lines
/// after the final head (trailers) are ignored.
struct ResponseHead {
    static let maximumByteCount = 64 << 10

    enum Step {
        case incomplete
        /// This line ended the final head.
        case complete
        case ignored
        case malformed
        case tooLarge
    }

    private(set) var status = 0
    private(set) var headers: [(name: String, value: String)] = []
    private(set) var isComplete = false
    private var byteCount = 0

    /// One line, with its line end.
    mutating func take(_ line: UnsafeRawBufferPointer) -> Step {
        if isComplete { return .ignored }
        byteCount += line.count
        guard byteCount <= Self.maximumByteCount else { return .tooLarge }
        var text = Slice(base: line, bounds: 0..<line.count)
        while let last = text.last, last == UInt8(ascii: "\n") || last == UInt8(ascii: "\r") { text.removeLast() }
        if text.isEmpty { return end() }
        if text.starts(with: "HTTP/".utf8) { return begin(text) }
        return add(text)
    }

    private mutating func end() -> Step {
        guard status >= 200 else { return status == 0 ? .malformed : .incomplete }
        isComplete = true
        return .complete
    }

    /// `HTTP/1.1 200 OK`
    private mutating func begin(_ line: Slice<UnsafeRawBufferPointer>) -> Step {
        let digits = line.drop { $0 != UInt8(ascii: " ") }.dropFirst().prefix(3)
        guard digits.count == 3, let status = Int(String(decoding: digits, as: UTF8.self)), (100...999).contains(status)
        else { return .malformed }
        self.status = status
        headers.removeAll(keepingCapacity: true)
        return .incomplete
    }

    private mutating func add(_ line: Slice<UnsafeRawBufferPointer>) -> Step {
        // A line that begins with a blank goes on with the one before (obsolete folding, RFC 9112 §5.2).
        if let first = line.first, isBlank(first), !headers.isEmpty {
            headers[headers.count - 1].value += " " + text(line)
            return .incomplete
        }
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex else { return .malformed }
        headers.append((text(line[..<colon]), text(line[(colon + 1)...])))
        return .incomplete
    }

    /// Without the blanks around it.
    private func text(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
        var bytes = bytes.drop(while: isBlank)
        while let last = bytes.last, isBlank(last) { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
}
