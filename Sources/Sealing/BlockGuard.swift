import Bytes

/// How blocks and records on this disk are guarded: sealed, or, for encrypted disks and for measuring, only checked.
///
/// Both write a `Seal` beside the bytes and refuse what does not fit it, so that damage never reaches a reader. A
/// checksum keeps nobody from reading or forging.
public enum BlockGuard: Sendable {
    case sealed(Sealer)
    case checked

    /// Sealed under the key that `key` gives for `purpose`; only checked without a key.
    public init(key: SealingKey?, purpose: [UInt8]) {
        self = key.map { .sealed(Sealer(key: $0.derived(purpose))) } ?? .checked
    }

    /// Protects `plaintext`, and that it belongs to `additionalData`; the result goes into `protected`, which is as
    /// long and may be the same memory.
    public func protect(
        _ plaintext: UnsafeRawBufferPointer, additionalData: UnsafeRawBufferPointer,
        into protected: UnsafeMutableRawBufferPointer
    ) -> Seal {
        switch self {
        case .sealed(let sealer):
            return sealer.seal(plaintext, additionalData: additionalData, into: protected)
        case .checked:
            copy(plaintext, to: protected)
            return Self.checksum(plaintext, additionalData)
        }
    }

    /// The reverse. False, and zeros in `plaintext`, when anything is not what it was.
    public func open(
        _ protected: UnsafeRawBufferPointer, seal: Seal, additionalData: UnsafeRawBufferPointer,
        into plaintext: UnsafeMutableRawBufferPointer
    ) -> Bool {
        switch self {
        case .sealed(let sealer):
            return sealer.open(protected, seal: seal, additionalData: additionalData, into: plaintext)
        case .checked:
            // Copied first: the check is of the bytes that the caller gets, whatever happens to the others meanwhile.
            copy(protected, to: plaintext)
            let opened = UnsafeMutableRawBufferPointer(rebasing: plaintext[..<protected.count])
            if Self.checksum(UnsafeRawBufferPointer(opened), additionalData) == seal { return true }
            opened.initializeMemory(as: UInt8.self, repeating: 0)
            return false
        }
    }

    private func copy(_ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer) {
        precondition(target.count >= source.count, "no room for the bytes")
        if source.baseAddress != UnsafeRawPointer(target.baseAddress) { target.copyMemory(from: source) }
    }

    /// Never all zeros, which is what a hole in a file looks like.
    private static func checksum(_ bytes: UnsafeRawBufferPointer, _ additionalData: UnsafeRawBufferPointer) -> Seal {
        var seal = Seal()
        var checksum = CRC32C()
        checksum.update(additionalData)
        checksum.update(bytes)
        seal.nonce.0 = 1
        seal.tag = (UInt64(checksum.value), UInt64(bytes.count))
        return seal
    }
}
