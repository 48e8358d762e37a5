import COpenSSL

/// HMAC with SHA-256 (RFC 2104).
public enum HMACSHA256 {
    public static let byteCount = 32

    public static func authenticate(key: [UInt8], message: [UInt8]) -> [UInt8] {
        key.withUnsafeBytes { key in message.withUnsafeBytes { authenticate(key: key, message: $0) } }
    }

    public static func authenticate(key: SealingKey, message: [UInt8]) -> [UInt8] {
        key.withBytes { key in message.withUnsafeBytes { authenticate(key: key, message: $0) } }
    }

    public static func authenticate(key: UnsafeRawBufferPointer, message: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: byteCount) { code, count in
            authenticate(key: key, message: message, into: UnsafeMutableRawBufferPointer(code))
            count = byteCount
        }
    }

    /// Compares a code in constant time.
    public static func isValid(_ code: [UInt8], key: [UInt8], message: [UInt8]) -> Bool {
        let expected = authenticate(key: key, message: message)
        return code.count == byteCount && CRYPTO_memcmp(code, expected, byteCount) == 0
    }

    /// Writes the code to the first 32 bytes of `code`.
    static func authenticate(
        key: UnsafeRawBufferPointer, message: UnsafeRawBufferPointer, into code: UnsafeMutableRawBufferPointer
    ) {
        precondition(code.count >= byteCount, "no room for the code")
        // OpenSSL takes a null key for "the key of the former call", so an empty key needs an address.
        let none: UInt8 = 0
        let done = withUnsafeBytes(of: none) { none in
            HMAC(
                EVP_sha256(), key.baseAddress ?? none.baseAddress, Int32(key.count),
                (message.baseAddress ?? none.baseAddress)?.assumingMemoryBound(to: UInt8.self), message.count,
                code.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
        }
        precondition(done != nil, "HMAC cannot fail")
    }
}

/// Key derivation with HMAC-SHA-256 (RFC 5869).
public enum HKDF {
    /// The pseudo-random key of `keyMaterial`.
    public static func extract(keyMaterial: [UInt8], salt: [UInt8]) -> [UInt8] {
        HMACSHA256.authenticate(key: salt, message: keyMaterial)
    }

    /// `count` bytes (at most 255 × 32) from a pseudo-random key.
    public static func expand(pseudoRandomKey: [UInt8], info: [UInt8], count: Int) -> [UInt8] {
        precondition((0...255 * HMACSHA256.byteCount).contains(count), "more than HKDF can give")
        var result: [UInt8] = []
        var block: [UInt8] = []
        var number: UInt8 = 1
        while result.count < count {
            block = HMACSHA256.authenticate(key: pseudoRandomKey, message: block + info + [number])
            result += block
            number &+= 1
        }
        return Array(result.prefix(count))
    }

    public static func derive(keyMaterial: [UInt8], salt: [UInt8], info: [UInt8], count: Int) -> [UInt8] {
        expand(pseudoRandomKey: extract(keyMaterial: keyMaterial, salt: salt), info: info, count: count)
    }
}
