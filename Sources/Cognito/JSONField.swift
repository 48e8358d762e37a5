import FoundationEssentials

/// A value in a request. Secrets stay secrets until the body is written.
enum JSONField: Encodable, Sendable, ExpressibleByStringLiteral, Equatable {
    case text(String)
    case secret(Secret)
    case object([String: JSONField])

    init(stringLiteral value: String) { self = .text(value) }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let text): try container.encode(text)
        case .secret(let secret): try container.encode(secret.reveal())
        case .object(let fields): try container.encode(fields)
        }
    }
}

typealias JSONFields = [String: JSONField]
