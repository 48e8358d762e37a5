import CExpat
import Glibc

/// Why a document was not read to its end.
enum XMLProblem: Error, Equatable {
    case malformed(line: Int)
    /// A document type: only an attacker sends one, to define entities that expand without end.
    case documentType
    /// Deeper, or with longer texts or more of them, than any answer of S3.
    case tooLarge
}

/// Reads a document in one pass, from bytes to a subclass's fields, without a tree and without strings.
///
/// Bounds: the document is as large as the transport let it be; `maximumDepth` elements deep; `maximumText` bytes in
/// one element.
class XMLReader {
    static let maximumDepth = 16
    static let maximumText = 64 << 10

    /// Set by `start` of a subclass: the element's text is wanted by `end`.
    final var wantsText = false
    /// Elements that are open; the root alone is 1.
    private(set) final var depth = 0
    private final var text: [UInt8] = []
    private final var problem: XMLProblem?
    private final var parser: XML_Parser?

    /// An element begins at `depth`. The name is valid during the call.
    func start(_ name: UnsafeRawBufferPointer) {}

    /// The last element that began at `depth` ends; `text` is empty unless it was wanted.
    func end(text: [UInt8]) {}

    /// Stops reading; `read` then throws `problem`.
    final func stop(_ problem: XMLProblem) {
        self.problem = self.problem ?? problem
        XML_StopParser(parser, XML_Bool(XML_FALSE))
    }

    final func read(_ document: [UInt8]) throws(XMLProblem) {
        guard let parser = XML_ParserCreate("UTF-8") else { throw .tooLarge }
        self.parser = parser
        defer {
            self.parser = nil
            XML_ParserFree(parser)
        }
        // The parser calls back only inside XML_Parse below, during which `self` is alive.
        XML_SetUserData(parser, Unmanaged.passUnretained(self).toOpaque())
        XML_SetElementHandler(parser, elementStarted, elementEnded)
        XML_SetCharacterDataHandler(parser, charactersFound)
        XML_SetStartDoctypeDeclHandler(parser, documentTypeFound)
        let status = document.withUnsafeBytes { bytes in
            XML_Parse(parser, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), CInt(clamping: bytes.count), 1)
        }
        if let problem { throw problem }
        guard status == XML_STATUS_OK else { throw .malformed(line: Int(XML_GetCurrentLineNumber(parser))) }
    }

    fileprivate final func started(_ name: UnsafeRawBufferPointer) {
        guard problem == nil else { return }
        depth += 1
        if depth > Self.maximumDepth { return stop(.tooLarge) }
        text.removeAll(keepingCapacity: true)
        wantsText = false
        start(name)
    }

    fileprivate final func ended() {
        guard problem == nil else { return }
        end(text: text)
        text.removeAll(keepingCapacity: true)
        wantsText = false
        depth -= 1
    }

    fileprivate final func found(_ characters: UnsafeRawBufferPointer) {
        guard wantsText, problem == nil else { return }
        if text.count + characters.count > Self.maximumText { return stop(.tooLarge) }
        text.append(contentsOf: characters)
    }
}

/// The reader that `read` gave to the parser as its user data.
private func reader(_ userData: UnsafeMutableRawPointer?) -> XMLReader? {
    userData.map { Unmanaged<XMLReader>.fromOpaque($0).takeUnretainedValue() }
}

private func elementStarted(
    _ userData: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?,
    _ attributes: UnsafeMutablePointer<UnsafePointer<CChar>?>?
) {
    guard let name else { return }
    reader(userData)?.started(UnsafeRawBufferPointer(start: name, count: strlen(name)))
}

private func elementEnded(_ userData: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?) {
    reader(userData)?.ended()
}

private func charactersFound(_ userData: UnsafeMutableRawPointer?, _ bytes: UnsafePointer<CChar>?, _ count: CInt) {
    guard let bytes, count > 0 else { return }
    reader(userData)?.found(UnsafeRawBufferPointer(start: bytes, count: Int(count)))
}

private func documentTypeFound(
    _ userData: UnsafeMutableRawPointer?, _ name: UnsafePointer<CChar>?, _ systemID: UnsafePointer<CChar>?,
    _ publicID: UnsafePointer<CChar>?, _ hasInternalSubset: CInt
) {
    reader(userData)?.stop(.documentType)
}

extension UnsafeRawBufferPointer {
    /// True when these are exactly the bytes of `text`.
    func spells(_ text: StaticString) -> Bool {
        guard let baseAddress, count == text.utf8CodeUnitCount else { return false }
        return memcmp(baseAddress, text.utf8Start, count) == 0
    }
}

extension [UInt8] {
    /// True when these are exactly the bytes of `text`.
    func spells(_ text: StaticString) -> Bool { withUnsafeBytes { $0.spells(text) } }
}
