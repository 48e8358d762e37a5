/// The nonces of one cipher context: random, so that no crash and no copy of a disk sets them back.
struct Nonces {
    /// Taken from the end: asking OpenSSL for 12 bytes costs as much as for hundreds.
    private var ready: [UInt8] = []
    private var count: UInt32 = 0
    private let isCounting: Bool
    private static let perRefill = 64

    /// - Parameter isCounting: The bug that the simulator has to find: each context counts from zero.
    init(isCounting: Bool) { self.isCounting = isCounting }

    mutating func next() -> (UInt64, UInt32) {
        if isCounting {
            defer { count += 1 }
            return (0, count)
        }
        if ready.isEmpty { ready = SecureRandom.bytes(Self.perRefill * Seal.nonceByteCount) }
        let at = ready.count - Seal.nonceByteCount
        let nonce = ready.withUnsafeBytes {
            (
                $0.loadUnaligned(fromByteOffset: at, as: UInt64.self),
                $0.loadUnaligned(fromByteOffset: at + 8, as: UInt32.self)
            )
        }
        ready.removeLast(Seal.nonceByteCount)
        return nonce
    }
}
