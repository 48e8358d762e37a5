import ObjectStore

/// What the journal keeps of a volume, by the first byte of a row's name. The rest of the name says of what.
///
/// Base (loss costs a listing): `object`, `marker`, `directory`, `listed`. Overlay (never lost): `intent`, `node`,
/// `origin`, `attempts`. `upload` saves sending parts again.
enum RowKind: UInt8, Sendable {
    /// + key: an object, as last seen.
    case object = 0x6F
    /// + prefix: the marker of a directory, as last seen.
    case marker = 0x6D
    /// + prefix: a directory that S3 has, as its parent's listing or a commit told. No value.
    case directory = 0x64
    /// + prefix: a directory that was listed completely. No value.
    case listed = 0x6C
    /// + intent id: a change that S3 does not have yet.
    case intent = 0x69
    /// + inode number: a node whose state is not S3's, or a directory above such a one.
    case node = 0x6E
    /// + inode number of a renamed directory: the key prefixes of what was in it, of which some files are
    /// not queued yet.
    case origin = 0x76
    /// + inode number: an upload in parts, and the parts that S3 has.
    case upload = 0x75
    /// + key: writes that were begun and whose answer has not come.
    case attempts = 0x61

    func name(_ bytes: [UInt8]) -> [UInt8] { [rawValue] + bytes }

    func name(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { [rawValue] + Array($0) } }
}
