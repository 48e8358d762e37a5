import Bytes

/// Changes of rows that become durable together or not at all.
public struct RowBatch: Sendable {
    private(set) var writer = ByteWriter()

    public init() {}

    public var isEmpty: Bool { writer.bytes.isEmpty }
    public var byteCount: Int { writer.bytes.count }

    public mutating func set(_ name: [UInt8], _ value: [UInt8]) {
        writer.add(true)
        writer.add(name)
        writer.add(value)
    }

    public mutating func remove(_ name: [UInt8]) {
        writer.add(false)
        writer.add(name)
    }

    public mutating func append(_ other: RowBatch) { writer.append(other.writer) }

    /// Its rows by name; removed ones are left out.
    package var rows: [[UInt8]: [UInt8]] {
        var rows: [[UInt8]: [UInt8]] = [:]
        _ = Self.read(writer.bytes[...]) { name, value in rows[Array(name)] = value.map { Array($0) } }
        return rows
    }

    /// Calls `body` with each row of a batch; the value is nil for one that is removed. False when the bytes are no batch.
    static func read(
        _ bytes: ArraySlice<UInt8>, _ body: (ArraySlice<UInt8>, ArraySlice<UInt8>?) -> Void
    ) -> Bool {
        var reader = ByteReader(bytes)
        do throws(ByteReader.Malformed) {
            while !reader.isAtEnd {
                let isSet = try reader.flag()
                let name = try reader.slice()
                body(name, isSet ? try reader.slice() : nil)
            }
            return true
        } catch {
            return false
        }
    }
}
