/// A value of an object literal: JSON, or what people write by hand in JavaScript.
enum Literal: Sendable, Equatable {
    case text(String)
    case number(Double)
    case flag(Bool)
    case null
    case list([Literal])
    /// In the order written; of equal keys the last counts, as in JavaScript.
    case object([Member])
    /// Something that only running the program would tell: a name, a call, a sum.
    case code(String)

    struct Member: Sendable, Equatable {
        let key: String
        let value: Literal
    }

    /// The value below a path of keys.
    subscript(_ path: String...) -> Literal? { self[path[...]] }

    private subscript(_ path: ArraySlice<String>) -> Literal? {
        guard let key = path.first else { return self }
        guard case .object(let members) = self, let member = members.last(where: { $0.key == key }) else { return nil }
        return member.value[path.dropFirst()]
    }

    var text: String? {
        if case .text(let text) = self { text } else { nil }
    }

    var members: [Member] {
        if case .object(let members) = self { members } else { [] }
    }

    var items: [Literal] {
        if case .list(let items) = self { items } else { [] }
    }
}
