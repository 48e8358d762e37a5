import COpenSSL

/// One AES-256-GCM context with the key expanded, for one direction and one call at a time.
///
/// Unchecked: a context is in the hands of one call, or idle in its Sealer's list, never both.
final class CipherContext: @unchecked Sendable {
    // Unchecked: a fetched algorithm is constant and OpenSSL counts its references atomically. It is never freed.
    nonisolated(unsafe) private static let algorithm = EVP_CIPHER_fetch(nil, "AES-256-GCM", nil)

    private let context: OpaquePointer
    private var nonces: Nonces

    init(_ key: SealingKey, seals: Bool) {
        // Not input: libcrypto returns nil only when the process has no memory left.
        guard let context = EVP_CIPHER_CTX_new() else { fatalError("no memory for a cipher") }
        self.context = context
        nonces = Nonces(isCounting: key.countsNonces)
        let done = key.withBytes {
            EVP_CipherInit_ex(
                context, Self.algorithm, nil, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), nil, seals ? 1 : 0)
        }
        precondition(done == 1, "AES-256-GCM is missing")
    }

    // OpenSSL wipes the expanded key here.
    deinit { EVP_CIPHER_CTX_free(context) }

    func seal(
        _ plaintext: UnsafeRawBufferPointer, _ additionalData: UnsafeRawBufferPointer,
        into ciphertext: UnsafeMutableRawBufferPointer
    ) -> Seal {
        var seal = Seal()
        seal.nonce = nonces.next()
        let done = begin(seal) && add(additionalData) && cipher(plaintext, into: ciphertext) && finish()
        precondition(done, "sealing cannot fail")
        let got = withUnsafeMutableBytes(of: &seal.tag) {
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(Seal.tagByteCount), $0.baseAddress)
        }
        precondition(got == 1, "sealing cannot fail")
        return seal
    }

    func open(
        _ ciphertext: UnsafeRawBufferPointer, _ seal: Seal, _ additionalData: UnsafeRawBufferPointer,
        into plaintext: UnsafeMutableRawBufferPointer
    ) -> Bool {
        var tag = seal.tag
        guard begin(seal), add(additionalData), cipher(ciphertext, into: plaintext) else { return false }
        let set = withUnsafeMutableBytes(of: &tag) {
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(Seal.tagByteCount), $0.baseAddress)
        }
        return set == 1 && finish()
    }

    /// Starts a message under the key that the context already has.
    private func begin(_ seal: Seal) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: Seal.nonceByteCount, alignment: 8) { buffer in
            buffer.storeBytes(of: seal.nonce.0, as: UInt64.self)
            buffer.storeBytes(of: seal.nonce.1, toByteOffset: 8, as: UInt32.self)
            return EVP_CipherInit_ex(
                context, nil, nil, nil, buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), -1) == 1
        }
    }

    private func add(_ additionalData: UnsafeRawBufferPointer) -> Bool {
        if additionalData.isEmpty { return true }
        var count: Int32 = 0
        return EVP_CipherUpdate(
            context, nil, &count, additionalData.baseAddress?.assumingMemoryBound(to: UInt8.self),
            Int32(additionalData.count)) == 1
    }

    private func cipher(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Bool {
        var done = 0
        while done < source.count {
            // OpenSSL counts in Int32.
            let piece = min(source.count - done, 1 << 30)
            var count: Int32 = 0
            guard
                let input = source.baseAddress?.advanced(by: done), let output = target.baseAddress?.advanced(by: done),
                EVP_CipherUpdate(
                    context, output.assumingMemoryBound(to: UInt8.self), &count,
                    input.assumingMemoryBound(to: UInt8.self), Int32(piece)) == 1
            else { return false }
            done += piece
        }
        return true
    }

    /// Makes, or checks, the tag.
    private func finish() -> Bool {
        var count: Int32 = 0
        var none: UInt8 = 0
        return EVP_CipherFinal_ex(context, &none, &count) == 1
    }
}
