import CChecksum

/// CRC-32C (Castagnoli), fed piece by piece. S3 calls it `CRC32C`.
public struct CRC32C: Hashable, Sendable {
    /// The checksum of all bytes so far; 0 for none.
    public private(set) var value: UInt32 = 0

    public init() {}

    /// The checksum of all of `slice`.
    public init(_ slice: ByteSlice) { slice.withBytes { update($0) } }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        value = cognitofs_crc32c(value, bytes.baseAddress, bytes.count)
    }

    /// As S3's headers spell it: base64 of the four bytes, most significant first.
    public var base64: String { Base64.encode(value.bigEndianBytes) }
}

/// CRC-64/NVME, fed piece by piece. S3 calls it `CRC64NVME`, its default checksum for whole objects.
public struct CRC64NVME: Hashable, Sendable {
    /// The checksum of all bytes so far; 0 for none.
    public private(set) var value: UInt64 = 0

    public init() {}

    /// The checksum of all of `slice`.
    public init(_ slice: ByteSlice) { slice.withBytes { update($0) } }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        value = cognitofs_crc64nvme(value, bytes.baseAddress, bytes.count)
    }

    /// As S3's headers spell it: base64 of the eight bytes, most significant first.
    public var base64: String { Base64.encode(value.bigEndianBytes) }
}

extension FixedWidthInteger {
    /// Most significant byte first.
    fileprivate var bigEndianBytes: [UInt8] {
        stride(from: bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: self >> $0) }
    }
}
