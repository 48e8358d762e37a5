/// What stands beside sealed bytes and is needed to open them: the nonce and the tag.
public struct Seal: Sendable, Hashable {
    public static let nonceByteCount = 12
    public static let tagByteCount = 16
    public static let byteCount = nonceByteCount + tagByteCount

    // 12 and 16 bytes without an allocation, in memory order.
    var nonce: (UInt64, UInt32) = (0, 0)
    var tag: (UInt64, UInt64) = (0, 0)

    init() {}

    /// Reads the first 28 bytes of `bytes`: nonce, tag.
    public init(loading bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count >= Self.byteCount, "too short for a seal")
        nonce = (bytes.loadUnaligned(as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        tag = (
            bytes.loadUnaligned(fromByteOffset: 12, as: UInt64.self),
            bytes.loadUnaligned(fromByteOffset: 20, as: UInt64.self)
        )
    }

    /// Writes the first 28 bytes of `bytes`.
    public func store(into bytes: UnsafeMutableRawBufferPointer) {
        precondition(bytes.count >= Self.byteCount, "no room for a seal")
        bytes.storeBytes(of: nonce.0, as: UInt64.self)
        bytes.storeBytes(of: nonce.1, toByteOffset: 8, as: UInt32.self)
        bytes.storeBytes(of: tag.0, toByteOffset: 12, as: UInt64.self)
        bytes.storeBytes(of: tag.1, toByteOffset: 20, as: UInt64.self)
    }

    public static func == (a: Seal, b: Seal) -> Bool { a.nonce == b.nonce && a.tag == b.tag }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(nonce.0)
        hasher.combine(tag.0)
    }
}
