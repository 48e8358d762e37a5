import Glibc

/// The bytes of a file, in sets: a run asks for them all the time, and they are long.
struct Contents: Hashable, Sendable {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    static func == (a: Contents, b: Contents) -> Bool {
        guard a.bytes.count == b.bytes.count else { return false }
        return a.bytes.withUnsafeBytes { first in
            b.bytes.withUnsafeBytes { second in
                guard let one = first.baseAddress, let other = second.baseAddress else { return true }
                return memcmp(one, other, first.count) == 0
            }
        }
    }

    /// Most contents differ at their beginning.
    func hash(into hasher: inout Hasher) {
        hasher.combine(bytes.count)
        bytes.withUnsafeBytes { hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: $0.prefix(256))) }
    }

    /// Bytes that are like no others.
    static func make(_ token: Int, count: Int) -> [UInt8] {
        let unit = Array("<\(token)>".utf8)
        return (0..<max(count, unit.count)).map { unit[$0 % unit.count] }
    }

    /// How bytes are told to a person.
    static func name(_ bytes: [UInt8]?) -> String {
        guard let bytes else { return "nothing" }
        return "'\(String(decoding: bytes.prefix(24), as: UTF8.self))' (\(bytes.count) bytes)"
    }
}
