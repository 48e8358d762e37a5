import COpenSSL
import Synchronization

/// AES-256-GCM under one key (NIST SP 800-38D): what it seals nobody reads or changes without the key.
///
/// Each sealing takes a fresh random 96-bit nonce, so there is no counter that a crash could set back. Random nonces
/// are safe for 2^32 sealings under one key (SP 800-38D §8.3); to stay far below, those who seal much make a Sealer
/// with a derived key for each file (`SealingKey.derived`).
///
/// Any thread may call anything; calls run side by side, each with a cipher context of its own.
public final class Sealer: Sendable {
    /// Idle cipher contexts, which keep the expanded key. Guards the lists only, never held while ciphering. At most
    /// `idleLimit` of each; more concurrent calls than that make and free their own.
    private let idle = Mutex(Idle())
    private let key: SealingKey

    private struct Idle {
        var sealing: [CipherContext] = []
        var opening: [CipherContext] = []
    }
    private static let idleLimit = 4

    public init(key: SealingKey) { self.key = key }

    /// Seals `plaintext` into `ciphertext` (at least as long, may be the same memory).
    public func seal(
        _ plaintext: UnsafeRawBufferPointer, additionalData: UnsafeRawBufferPointer,
        into ciphertext: UnsafeMutableRawBufferPointer
    ) -> Seal {
        precondition(ciphertext.count >= plaintext.count, "no room for the ciphertext")
        let context = idle.withLock { $0.sealing.popLast() } ?? CipherContext(key, seals: true)
        defer { idle.withLock { if $0.sealing.count < Self.idleLimit { $0.sealing.append(context) } } }
        return context.seal(plaintext, additionalData, into: ciphertext)
    }

    /// Opens `ciphertext` into `plaintext` (at least as long, may be the same memory). False when key, seal, additional
    /// data or a byte is not what it was; `plaintext` is zeros then.
    public func open(
        _ ciphertext: UnsafeRawBufferPointer, seal: Seal, additionalData: UnsafeRawBufferPointer,
        into plaintext: UnsafeMutableRawBufferPointer
    ) -> Bool {
        precondition(plaintext.count >= ciphertext.count, "no room for the plaintext")
        let context = idle.withLock { $0.opening.popLast() } ?? CipherContext(key, seals: false)
        defer { idle.withLock { if $0.opening.count < Self.idleLimit { $0.opening.append(context) } } }
        if context.open(ciphertext, seal, additionalData, into: plaintext) { return true }
        UnsafeMutableRawBufferPointer(rebasing: plaintext[..<ciphertext.count]).initializeMemory(
            as: UInt8.self, repeating: 0)
        return false
    }

    public func seal(
        _ plaintext: UnsafeRawBufferPointer, additionalData: [UInt8], into ciphertext: UnsafeMutableRawBufferPointer
    ) -> Seal {
        additionalData.withUnsafeBytes { seal(plaintext, additionalData: $0, into: ciphertext) }
    }

    public func open(
        _ ciphertext: UnsafeRawBufferPointer, seal: Seal, additionalData: [UInt8],
        into plaintext: UnsafeMutableRawBufferPointer
    ) -> Bool {
        additionalData.withUnsafeBytes { open(ciphertext, seal: seal, additionalData: $0, into: plaintext) }
    }

    /// Nonce, ciphertext, tag: 28 bytes more than `plaintext`.
    public func seal(_ plaintext: [UInt8], additionalData: [UInt8]) -> [UInt8] {
        var sealed = [UInt8](repeating: 0, count: plaintext.count + Seal.byteCount)
        sealed.withUnsafeMutableBytes { sealed in
            let body = UnsafeMutableRawBufferPointer(
                rebasing: sealed[Seal.nonceByteCount...].dropLast(Seal.tagByteCount))
            let made = plaintext.withUnsafeBytes { seal($0, additionalData: additionalData, into: body) }
            withUnsafeBytes(of: made.nonce.0) { sealed.copyBytes(from: $0) }
            sealed.storeBytes(of: made.nonce.1, toByteOffset: 8, as: UInt32.self)
            sealed.storeBytes(of: made.tag.0, toByteOffset: sealed.count - 16, as: UInt64.self)
            sealed.storeBytes(of: made.tag.1, toByteOffset: sealed.count - 8, as: UInt64.self)
        }
        return sealed
    }

    /// The reverse of `seal(_:additionalData:)`; nil when it does not open.
    public func open(_ sealed: [UInt8], additionalData: [UInt8]) -> [UInt8]? {
        guard sealed.count >= Seal.byteCount else { return nil }
        let front = sealed.prefix(Seal.nonceByteCount) + sealed.suffix(Seal.tagByteCount)
        let seal = Array(front).withUnsafeBytes { Seal(loading: $0) }
        var plaintext = [UInt8](repeating: 0, count: sealed.count - Seal.byteCount)
        let opened = sealed.withUnsafeBytes { sealed in
            let body = UnsafeRawBufferPointer(rebasing: sealed[Seal.nonceByteCount...].dropLast(Seal.tagByteCount))
            return plaintext.withUnsafeMutableBytes {
                open(body, seal: seal, additionalData: additionalData, into: $0)
            }
        }
        return opened ? plaintext : nil
    }
}
