import FoundationEssentials

/// Reads the services' JSON, whose names begin with a capital (`IdentityId`) or underscores (`__type`), into ours.
enum WireDecoder {
    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    static func decode<Answer: Decodable>(_ type: Answer.Type, from bytes: [UInt8]) throws -> Answer {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .custom { path in
            let name = path[path.count - 1].stringValue.drop { $0 == "_" }
            return Key(stringValue: name.prefix(1).lowercased() + name.dropFirst())
        }
        return try decoder.decode(type, from: Data(bytes))
    }
}
