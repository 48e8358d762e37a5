/// Puts values together as bytes: numbers little-endian, strings with their length (32 bits) before them.
public struct ByteWriter: Sendable {
    public private(set) var bytes: [UInt8] = []

    public init() {}

    public mutating func add<I: FixedWidthInteger>(_ number: I) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    public mutating func add(_ flag: Bool) { bytes.append(flag ? 1 : 0) }

    /// At most 4 GiB.
    public mutating func add(_ string: [UInt8]) {
        add(UInt32(string.count))
        bytes.append(contentsOf: string)
    }

    public mutating func add(_ text: String) {
        let utf8 = text.utf8
        add(UInt32(utf8.count))
        bytes.append(contentsOf: utf8)
    }

    /// All that another one has put together, without its length.
    public mutating func append(_ other: ByteWriter) { bytes.append(contentsOf: other.bytes) }

    /// A flag, and the value where there is one.
    public mutating func add<Value>(optional value: Value?, _ body: (inout ByteWriter, Value) -> Void) {
        add(value != nil)
        if let value { body(&self, value) }
    }
}

/// Takes apart what `ByteWriter` has put together. Anything else, whatever it is, throws and never traps.
public struct ByteReader: Sendable {
    /// The bytes are not what was to be read.
    public struct Malformed: Error, Sendable {
        public init() {}
    }

    private var rest: ArraySlice<UInt8>

    public init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    public var isAtEnd: Bool { rest.isEmpty }

    public mutating func number<I: FixedWidthInteger>(_ type: I.Type = I.self) throws(Malformed) -> I {
        let bytes = try take(MemoryLayout<I>.size)
        var number: I = 0
        withUnsafeMutableBytes(of: &number) { target in
            for (index, byte) in bytes.enumerated() { target[index] = byte }
        }
        return I(littleEndian: number)
    }

    public mutating func flag() throws(Malformed) -> Bool { try number(UInt8.self) != 0 }

    public mutating func string() throws(Malformed) -> [UInt8] { Array(try slice()) }

    /// A string without a copy.
    public mutating func slice() throws(Malformed) -> ArraySlice<UInt8> { try take(Int(try number(UInt32.self))) }

    public mutating func text() throws(Malformed) -> String {
        guard let text = String(validating: try slice(), as: UTF8.self) else { throw Malformed() }
        return text
    }

    public mutating func optional<Value>(
        _ body: (inout ByteReader) throws(Malformed) -> Value
    ) throws(Malformed) -> Value? {
        try flag() ? try body(&self) : nil
    }

    private mutating func take(_ count: Int) throws(Malformed) -> ArraySlice<UInt8> {
        guard count <= rest.count else { throw Malformed() }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }
}
