import Bytes

/// A 256-bit key for AES-GCM, wiped when the last reference goes. It prints as `<key>`, whatever prints it.
public final class SealingKey: @unchecked Sendable, CustomStringConvertible, CustomReflectable {
    // Unchecked: written in the initializers only, wiped in deinit.
    let bytes: UnsafeMutableRawBufferPointer

    public static let byteCount = 32

    /// A new random key.
    public init() { fatalError("replaced") }

    /// Nil unless exactly 32 bytes.
    public init?(_ raw: some Collection<UInt8>) { fatalError("replaced") }

    deinit { bytes.deallocate() }

    public var description: String { "<key>" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
