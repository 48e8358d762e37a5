import COpenSSL

/// SHA-256 (FIPS 180-4), at once or in pieces.
public struct SHA256: ~Copyable {
    public static let byteCount = 32

    // Unchecked: a fetched algorithm is constant and OpenSSL counts its references atomically. It is never freed.
    nonisolated(unsafe) private static let algorithm = EVP_MD_fetch(nil, "SHA256", nil)

    private let context: OpaquePointer

    public init() {
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, Self.algorithm, nil) == 1 else {
            // Not input: libcrypto fails here only when the process has no memory left.
            fatalError("no memory for a digest")
        }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        let done = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
        precondition(done == 1, "a digest cannot fail")
    }

    public mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    /// The digest, 32 bytes.
    public consuming func finalize() -> [UInt8] {
        digest(context)
    }

    public static func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: byteCount) { digest, count in
            let done = EVP_Digest(bytes.baseAddress, bytes.count, digest.baseAddress, nil, algorithm, nil)
            precondition(done == 1, "a digest cannot fail")
            count = byteCount
        }
    }

    public static func hash(_ bytes: [UInt8]) -> [UInt8] {
        bytes.withUnsafeBytes { hash($0) }
    }
}

private func digest(_ context: OpaquePointer) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: SHA256.byteCount) { digest, count in
        let done = EVP_DigestFinal_ex(context, digest.baseAddress, nil)
        precondition(done == 1, "a digest cannot fail")
        count = SHA256.byteCount
    }
}
