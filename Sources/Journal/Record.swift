/// One entry of a log: a head of 64 bytes, and for data the protected bytes after it.
///
///     0   4  magic
///     4   1  kind; 3 zeros
///     8   8  sequence number: 1 for the first record, each next one more
///     16  8  offset in the file; for `size` the new size
///     24  8  length: of the payload, or of the range of zeros
///     32 28  seal; 4 zeros
///     64     payload, 1 to 65,536 bytes (data and rows only)
///
/// Numbers are little-endian. The seal covers the payload, the first 32 bytes and the log's salt, so a record cannot be
/// changed, moved within its log, or taken from another log.
package struct Record: Hashable, Sendable {
    package enum Kind: UInt8, Sendable {
        case data = 1
        case zeros, size
        /// The end of a batch of rows, and what stands before it (`RowLog`).
        case rows, rowsContinued
        /// What stands before it is what the log held when it was rewritten.
        case rewritten
    }

    package static let headByteCount = 64
    /// Small, so that a random read opens little.
    static let payloadLimit = 64 << 10
    static let fullByteCount = headByteCount + payloadLimit
    package static let sealOffset = 32
    private static let magic: UInt32 = 0x5243_4753

    package var kind: Kind
    var sequence: UInt64
    var offset: Int64
    var length: Int64

    var payloadCount: Int {
        switch kind {
        case .data, .rows, .rowsContinued: Int(length)
        case .zeros, .size, .rewritten: 0
        }
    }
    package var byteCount: Int { Self.headByteCount + payloadCount }

    init(_ kind: Kind, sequence: UInt64, offset: Int64, length: Int64) {
        self.kind = kind
        self.sequence = sequence
        self.offset = offset
        self.length = length
    }

    /// Nil for what cannot be a record's head.
    package init?(loading head: UnsafeRawBufferPointer) {
        guard head.count >= Self.headByteCount,
            UInt32(littleEndian: head.loadUnaligned(as: UInt32.self)) == Self.magic,
            let kind = Kind(rawValue: head[4])
        else { return nil }
        func number(_ at: Int) -> Int64 { Int64(littleEndian: head.loadUnaligned(fromByteOffset: at, as: Int64.self)) }
        self.init(kind, sequence: UInt64(bitPattern: number(8)), offset: number(16), length: number(24))
        let isSound =
            switch kind {
            case .data, .rows, .rowsContinued: (1...Int64(Self.payloadLimit)).contains(length)
            case .zeros: length > 0
            case .size, .rewritten: length == 0
            }
        guard isSound, offset >= 0, !offset.addingReportingOverflow(length).overflow else { return nil }
    }

    /// Writes the head but for the seal.
    func store(into head: UnsafeMutableRawBufferPointer) {
        head.storeBytes(of: Self.magic.littleEndian, as: UInt32.self)
        head.storeBytes(of: UInt32(kind.rawValue).littleEndian, toByteOffset: 4, as: UInt32.self)
        head.storeBytes(of: sequence.littleEndian, toByteOffset: 8, as: UInt64.self)
        head.storeBytes(of: offset.littleEndian, toByteOffset: 16, as: Int64.self)
        head.storeBytes(of: length.littleEndian, toByteOffset: 24, as: Int64.self)
        head.storeBytes(of: 0, toByteOffset: 60, as: UInt32.self)
    }
}
