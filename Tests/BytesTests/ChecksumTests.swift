import Bytes
import CChecksum
import FoundationEssentials
import Testing

struct Checksums {
    struct Vector: Decodable, Sendable, CustomTestStringConvertible {
        var text: String
        var crc32c: String
        var crc64nvme: String
        var testDescription: String { text.debugDescription }
    }

    static func vectors() throws -> [Vector] {
        try JSONDecoder().decode([Vector].self, from: Data(PackageResources.checksums_json))
    }

    @Test("The published checksums come out, as S3 spells them", arguments: try vectors())
    func published(_ vector: Vector) {
        let slice = ByteSlice(vector.text.utf8)
        #expect(CRC32C(slice).base64 == vector.crc32c)
        #expect(CRC64NVME(slice).base64 == vector.crc64nvme)
    }

    @Test("The check values of both catalogues come out")
    func checkValues() {
        let digits = ByteSlice("123456789".utf8)
        #expect(CRC32C(digits).value == 0xE306_9283)
        #expect(CRC64NVME(digits).value == 0xAE8B_1486_0A79_9888)
        // RFC 3720, appendix B.4: 32 bytes of zeros.
        #expect(CRC32C(ByteSlice([UInt8](repeating: 0, count: 32))).value == 0x8A91_36AA)
    }

    /// Lengths around every step of the fast loops: words, folds, lanes, and several lanes.
    static let lengths = [0, 1, 7, 8, 9, 15, 16, 63, 64, 65, 79, 80, 127, 128, 2048, 6143, 6144, 6145, 12_288, 100_003]

    @Test("The processor's instructions and the tables agree at every length and alignment", arguments: lengths)
    func fastIsPortable(_ count: Int) {
        let bytes = pseudorandom(count + 7)
        bytes.withUnsafeBytes { all in
            for shift in 0..<8 {
                let part = UnsafeRawBufferPointer(rebasing: all[shift..<min(all.count, shift + count)])
                let start = part.baseAddress
                #expect(cognitofs_crc32c(7, start, part.count) == cognitofs_crc32c_portable(7, start, part.count))
                #expect(cognitofs_crc64nvme(7, start, part.count) == cognitofs_crc64nvme_portable(7, start, part.count))
            }
        }
    }

    @Test("Bytes fed in pieces have the checksum of the whole", arguments: lengths)
    func pieces(_ cut: Int) {
        let bytes = pseudorandom(100_003)
        var short = CRC32C()
        var long = CRC64NVME()
        bytes.withUnsafeBytes { all in
            for part in [all[..<cut], all[cut...]] {
                short.update(UnsafeRawBufferPointer(rebasing: part))
                long.update(UnsafeRawBufferPointer(rebasing: part))
            }
        }
        #expect(short == CRC32C(ByteSlice(bytes)))
        #expect(long == CRC64NVME(ByteSlice(bytes)))
    }

    @Test("One flipped bit changes both checksums")
    func flippedBit() {
        var bytes = pseudorandom(50_000)
        let before = (CRC32C(ByteSlice(bytes)), CRC64NVME(ByteSlice(bytes)))
        bytes[31_337] ^= 4
        #expect(CRC32C(ByteSlice(bytes)) != before.0)
        #expect(CRC64NVME(ByteSlice(bytes)) != before.1)
    }

    private func pseudorandom(_ count: Int) -> [UInt8] {
        var state: UInt64 = 0x2545_F491_4F6C_DD1D
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }
}
