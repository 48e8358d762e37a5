import COpenSSL

/// Bytes that nobody can guess. Without a source of randomness the program ends: there is no safe way on.
public enum SecureRandom {
    public static func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            fill(UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<count]))
            initialized = count
        }
    }

    public static func fill(_ buffer: UnsafeMutableRawBufferPointer) {
        var rest = buffer[...]
        while !rest.isEmpty {
            // OpenSSL counts in Int32.
            let piece = UnsafeMutableRawBufferPointer(rebasing: rest.prefix(1 << 20))
            guard RAND_bytes(piece.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(piece.count)) == 1 else {
                // Not input: without the kernel's randomness nothing may be sealed, so nothing may go on.
                fatalError("no random bytes")
            }
            rest = rest.dropFirst(piece.count)
        }
    }
}

/// Overwrites memory that held a secret, in a way the compiler cannot leave out.
public func wipe(_ bytes: inout [UInt8]) {
    bytes.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
    bytes = []
}

/// Equal in content, found in a time that depends on the lengths alone.
public func isEqualInConstantTime(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    a.count == b.count && CRYPTO_memcmp(a, b, a.count) == 0
}
