/// A small answer of S3: a root, its children, and their children's texts (`Error`, `CopyObjectResult`,
/// `DeleteResult` and so on). Namespace declarations are ignored, since servers differ in them.
struct AnswerDocument: Sendable {
    struct Child: Sendable {
        var name: String
        var text: String
        /// Texts of the elements below, where there are any.
        var fields: [String: String]
    }

    static let maximumChildren = 10_000

    var root: String
    var children: [Child]

    init(_ bytes: [UInt8]) throws(XMLProblem) {
        let reader = AnswerReader()
        try reader.read(bytes)
        root = reader.root
        children = reader.children
    }

    /// The text of the first child of that name.
    subscript(name: String) -> String? { children.first { $0.name == name }?.text }
}

private final class AnswerReader: XMLReader {
    var root = ""
    var children: [AnswerDocument.Child] = []
    private var fields: [String: String] = [:]
    private var childName = ""
    private var fieldName = ""

    override func start(_ name: UnsafeRawBufferPointer) {
        switch depth {
        case 1: root = String(decoding: name, as: UTF8.self)
        case 2:
            childName = String(decoding: name, as: UTF8.self)
            fields = [:]
            wantsText = true
        case 3:
            fieldName = String(decoding: name, as: UTF8.self)
            wantsText = true
        default: break
        }
    }

    override func end(text: [UInt8]) {
        switch depth {
        case 2:
            if children.count == AnswerDocument.maximumChildren { return stop(.tooLarge) }
            let text = fields.isEmpty ? String(decoding: text, as: UTF8.self) : ""
            children.append(.init(name: childName, text: text, fields: fields))
        case 3 where fields.count < 32:
            fields[fieldName] = String(decoding: text, as: UTF8.self)
        default: break
        }
    }
}
