import Sealing
import Testing

private func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

@Suite("Sealing")
struct SealerTests {
    private let text = Array("a photograph of a heron".utf8)

    @Test("A changed byte anywhere in nonce, ciphertext or tag does not open, and leaves zeros")
    func changedByte() {
        let sealer = Sealer(key: SealingKey())
        let sealed = sealer.seal(text, additionalData: [1, 2])
        #expect(sealed.count == text.count + Seal.byteCount)
        for position in sealed.indices {
            var changed = sealed
            changed[position] ^= 0x40
            #expect(sealer.open(changed, additionalData: [1, 2]) == nil)
        }
        #expect(sealer.open(sealed, additionalData: [1, 2]) == text)
    }

    @Test("What fails to open is wiped from the destination")
    func wiped() {
        let sealer = Sealer(key: SealingKey())
        var ciphertext = text
        let seal = text.withUnsafeBytes { plain in
            ciphertext.withUnsafeMutableBytes { sealer.seal(plain, additionalData: [7], into: $0) }
        }
        var opened = [UInt8](repeating: 0xEE, count: text.count)
        let isOpen = ciphertext.withUnsafeBytes { sealed in
            opened.withUnsafeMutableBytes { sealer.open(sealed, seal: seal, additionalData: [8], into: $0) }
        }
        #expect(!isOpen)
        #expect(opened == [UInt8](repeating: 0, count: text.count))
    }

    @Test("Other additional data, another key and cut bytes do not open")
    func mismatches() {
        let sealer = Sealer(key: SealingKey())
        let sealed = sealer.seal(text, additionalData: [1])
        #expect(sealer.open(sealed, additionalData: [2]) == nil)
        #expect(sealer.open(sealed, additionalData: []) == nil)
        #expect(Sealer(key: SealingKey()).open(sealed, additionalData: [1]) == nil)
        #expect(sealer.open(Array(sealed.dropLast()), additionalData: [1]) == nil)
        #expect(sealer.open([], additionalData: [1]) == nil)
        #expect(sealer.open(Array(sealed.prefix(27)), additionalData: [1]) == nil)
    }

    @Test("Nothing to seal is sealed too: its additional data is protected")
    func empty() {
        let sealer = Sealer(key: SealingKey())
        let sealed = sealer.seal([], additionalData: [9])
        #expect(sealed.count == Seal.byteCount)
        #expect(sealer.open(sealed, additionalData: [9]) == [])
        #expect(sealer.open(sealed, additionalData: [8]) == nil)
    }

    @Test("No nonce comes twice in ten thousand sealings from four tasks")
    func nonces() async {
        let sealer = Sealer(key: SealingKey())
        let all = await withTaskGroup(of: [[UInt8]].self) { group in
            for _ in 0..<4 {
                group.addTask { (0..<2500).map { _ in Array(sealer.seal([1], additionalData: []).prefix(12)) } }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(Set(all).count == 10_000)
    }

    @Test("Opens what NIST's test case 16 sealed")
    func vector() throws {
        // "The Galois/Counter Mode of Operation", McGrew and Viega, appendix B, test case 16.
        let key = try #require(
            SealingKey(bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")))
        let sealed = bytes(
            """
            cafebabefacedbaddecaf888
            522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
            8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662
            76fc6ece0f4e1768cddf8853bb2d551b
            """)
        let opened = Sealer(key: key).open(
            sealed, additionalData: bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2"))
        #expect(
            opened
                == bytes(
                    """
                    d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
                    1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39
                    """))
    }
}

@Suite("Keys, digests and random bytes")
struct DigestTests {
    @Test("A key is exactly 32 bytes and never prints them")
    func keys() throws {
        #expect(SealingKey([UInt8](repeating: 1, count: 31)) == nil)
        #expect(SealingKey([UInt8](repeating: 1, count: 33)) == nil)
        let key = try #require(SealingKey([UInt8](repeating: 0xAB, count: 32)))
        var dumped = ""
        dump(key, to: &dumped)
        for text in ["\(key)", String(reflecting: key), dumped, "\([key])", "\(Optional(key) as Any)"] {
            #expect(!text.lowercased().contains("ab, ") && !text.contains("171") && !text.contains("abab"))
        }
        #expect(key.withBytes { Array($0) } == [UInt8](repeating: 0xAB, count: 32))
    }

    @Test("Derived keys differ by purpose and by key, and are the same each time")
    func derived() {
        let key = SealingKey()
        func raw(_ key: SealingKey) -> [UInt8] { key.withBytes { Array($0) } }
        #expect(raw(key.derived([1])) == raw(key.derived([1])))
        #expect(raw(key.derived([1])) != raw(key.derived([2])))
        #expect(raw(key.derived([1])) != raw(SealingKey().derived([1])))
        #expect(raw(key.derived([1])) != raw(key))
    }

    @Test("SHA-256 gives the digests of FIPS 180, whole and in pieces")
    func sha256() {
        #expect(
            SHA256.hash([]) == bytes("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
        let abc = bytes("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(SHA256.hash(Array("abc".utf8)) == abc)
        var digest = SHA256()
        digest.update(Array("a".utf8))
        digest.update([])
        digest.update(Array("bc".utf8))
        #expect(digest.finalize() == abc)
    }

    @Test("HMAC-SHA-256 gives the codes of RFC 4231, an empty key included")
    func hmac() {
        #expect(
            HMACSHA256.authenticate(
                key: [UInt8](repeating: 0x0b, count: 20), message: Array("Hi There".utf8))
                == bytes("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"))
        #expect(
            HMACSHA256.authenticate(key: [], message: [])
                == bytes("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"))
    }

    @Test("HKDF gives the bytes of RFC 5869, with and without a salt")
    func hkdf() {
        #expect(
            HKDF.derive(
                keyMaterial: [UInt8](repeating: 0x0b, count: 22), salt: Array(0...12), info: Array(0xf0...0xf9),
                count: 42)
                == bytes(
                    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"))
        #expect(
            HKDF.derive(keyMaterial: [UInt8](repeating: 0x0b, count: 22), salt: [], info: [], count: 42)
                == bytes(
                    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"))
    }

    @Test("Random bytes have the length asked for and do not repeat")
    func random() {
        #expect(SecureRandom.bytes(0).isEmpty)
        #expect(SecureRandom.bytes(33).count == 33)
        #expect(SecureRandom.bytes(32) != SecureRandom.bytes(32))
    }

    @Test("Comparing in constant time tells equal from unequal, also by length")
    func comparing() {
        #expect(isEqualInConstantTime([1, 2], [1, 2]))
        #expect(!isEqualInConstantTime([1, 2], [1, 3]))
        #expect(!isEqualInConstantTime([1, 2], [1]))
    }
}
