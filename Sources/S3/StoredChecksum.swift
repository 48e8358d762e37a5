import Bytes
import HTTPTransport

/// A checksum as S3 keeps it beside an object, one of those that this program can compute.
enum StoredChecksum: Hashable, Sendable {
    case crc32c(String)
    case crc64nvme(String)
    case crc32(String)
    /// Over the checksums of the parts, `…-N`: says nothing about bytes that were read, but equal ones are equal.
    case composite(String)

    /// The strongest one in the answer.
    init?(_ response: HTTPResponse) {
        let isComposite = response["x-amz-checksum-type"]?.uppercased() == "COMPOSITE"
        func value(_ name: String) -> String? {
            response["x-amz-checksum-\(name)"].flatMap { $0.isEmpty ? nil : $0 }
        }
        if let text = value("crc64nvme") {
            self = .crc64nvme(text)
        } else if let text = value("crc32c") {
            self = isComposite || text.contains("-") ? .composite(text) : .crc32c(text)
        } else if let text = value("crc32") {
            self = isComposite || text.contains("-") ? .composite(text) : .crc32(text)
        } else {
            return nil
        }
    }

    /// It can be computed from the bytes alone.
    var isComputable: Bool { if case .composite = self { false } else { true } }

    /// Nil when this checksum cannot be computed from the bytes alone.
    func fits(_ slice: ByteSlice) -> Bool? {
        switch self {
        case .crc32c(let text): CRC32C(slice).base64 == text
        case .crc64nvme(let text): CRC64NVME(slice).base64 == text
        case .crc32(let text): CRC32.base64(slice) == text
        case .composite: nil
        }
    }

    /// S3's checksum of checksums for an object whose parts were each confirmed; nil when one was not.
    static func composite(ofParts checksums: [UInt32?]) -> StoredChecksum? {
        var crc = CRC32C()
        for checksum in checksums {
            guard let checksum else { return nil }
            withUnsafeBytes(of: checksum.bigEndian) { crc.update($0) }
        }
        return .composite("\(crc.base64)-\(checksums.count)")
    }
}

/// CRC-32 as zlib has it: what other clients ask S3 to keep. Only read, never sent.
enum CRC32 {
    /// Eight bytes a step: `tables[k]` advances a byte that is followed by `k` zero bytes.
    private static let tables: [[UInt32]] = {
        var tables = [[UInt32]](repeating: [UInt32](repeating: 0, count: 256), count: 8)
        for byte in 0..<256 {
            var value = UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
            tables[0][byte] = value
        }
        for table in 1..<8 {
            for byte in 0..<256 {
                let before = tables[table - 1][byte]
                tables[table][byte] = before >> 8 ^ tables[0][Int(before & 0xFF)]
            }
        }
        return tables
    }()

    static func base64(_ slice: ByteSlice) -> String {
        let crc = slice.withBytes { checksum($0) }
        return Base64.encode(withUnsafeBytes(of: crc.bigEndian) { Array($0) })
    }

    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        let flat = tables.flatMap { $0 }
        return flat.withUnsafeBufferPointer { table in
            var crc: UInt32 = 0xFFFF_FFFF
            var index = 0
            while index + 8 <= bytes.count {
                let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self).littleEndian ^ UInt64(crc)
                crc = 0
                for step in 0..<8 { crc ^= table[(7 - step) << 8 + Int(word >> (8 * UInt64(step)) & 0xFF)] }
                index += 8
            }
            while index < bytes.count {
                crc = crc >> 8 ^ table[Int((crc ^ UInt32(bytes[index])) & 0xFF)]
                index += 1
            }
            return ~crc
        }
    }
}
