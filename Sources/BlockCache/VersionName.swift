import Bytes
import ObjectStore
import Sealing

/// What the cache calls an object version: 32 bytes that tell nothing of space, key or ETag without the key.
struct VersionName: Hashable, Sendable {
    let bytes: [UInt8]

    /// The path below the generation's directory: one of 256 folders, and the rest of the name.
    var folder: String { Hex.encode(Array(bytes[..<1])) }
    var file: String { Hex.encode(Array(bytes[1...])) }

    init(bytes: [UInt8]) { self.bytes = bytes }

    init?(folder: String, file: String) {
        guard let bytes = Hex.decode(folder + file), bytes.count == HMACSHA256.byteCount else { return nil }
        self.bytes = bytes
    }
}

/// Names, and makes the guards of, the versions of one space.
struct VersionIdentity: Sendable {
    let key: SealingKey?
    private let space: [UInt8]

    init(key: SealingKey?, space: String) {
        self.key = key
        self.space = Array(space.utf8)
    }

    /// Different for each space and each version: every part stands with its length before it.
    private func identity(_ version: ObjectVersion, _ purpose: String) -> [UInt8] {
        var bytes = Array(purpose.utf8)
        for part in [space, version.key.bytes, Array(version.eTag.text.utf8)] {
            withUnsafeBytes(of: UInt32(part.count).littleEndian) { bytes += $0 }
            bytes += part
        }
        return bytes
    }

    func name(_ version: ObjectVersion) -> VersionName {
        let identity = identity(version, "cognitofs cache name")
        return VersionName(
            bytes: key.map { HMACSHA256.authenticate(key: $0, message: identity) } ?? SHA256.hash(identity))
    }

    /// A key of the version's own, so a block of another version or space does not open, and the number of sealings
    /// under one key stays small.
    func blockGuard(_ version: ObjectVersion) -> BlockGuard {
        BlockGuard(key: key, purpose: identity(version, "cognitofs cache blocks"))
    }
}
