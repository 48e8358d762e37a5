import Disk
import Glibc
import Sealing
import SystemPackage

/// One log file: sealed records after a head. Closed when the last snapshot of it goes; reading needs no lock, since
/// what stands in it never changes. Only its staged file's writer appends.
///
/// The head, 128 bytes:
///
///     0   8  "cgfslog1" for a staged file, "cgfsrow1" for rows
///     8  32  salt: the key of this log's records is derived from it. How often a staged log was rewritten (4 bytes, big-endian),
///            and 28 random bytes
///     40  8  size of the base version in bytes, little-endian
///     48  8  1 when records are sealed, 0 when only checked, little-endian
///     56 28  seal of the bytes before it; zeros to the end
package final class Log: Sendable {
    /// What a log is for. One of one form does not open as another, whatever its key.
    enum Form: String, Sendable {
        case stagedFile = "cgfslog1"
        case rows = "cgfsrow1"

        var magic: [UInt8] { Array(rawValue.utf8) }
        var purpose: [UInt8] {
            switch self {
            case .stagedFile: Array("cognitofs staged file".utf8)
            case .rows: Array("cognitofs rows".utf8)
            }
        }
    }

    package static let headByteCount = 128
    package static let saltPlace = 8..<40
    package static let sealedPlace = 48
    package static let sealOffset = 56

    let file: any DiskFile
    let baseSize: Int64
    private let form: Form
    private let salt: [UInt8]
    private let blockGuard: BlockGuard

    private init(_ file: any DiskFile, _ form: Form, salt: [UInt8], baseSize: Int64, _ key: SealingKey?) {
        self.file = file
        self.form = form
        self.salt = salt
        self.baseSize = baseSize
        blockGuard = BlockGuard(key: key, purpose: form.purpose + salt)
    }

    /// Tells this log from any other, also from its own compactions, which have a higher `rewriteCount`.
    var identifier: UInt64 { salt.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }

    /// How often a log was rewritten before it had this identifier.
    static func rewriteCount(_ identifier: UInt64) -> UInt32 { UInt32(identifier >> 32) }

    /// Makes an empty log, in place of `former` if there is one. The name is not durable before its directory is synced.
    static func create(
        _ path: FilePath, _ form: Form, baseSize: Int64 = 0, replacing former: Log? = nil, _ key: SealingKey?,
        on disk: any DiskAccess
    ) throws(Errno) -> Log {
        let file = try disk.open(path, O_RDWR | O_CREAT | O_EXCL)
        let count = former.map { rewriteCount($0.identifier) &+ 1 } ?? 0
        let salt = withUnsafeBytes(of: count.bigEndian) { Array($0) } + SecureRandom.bytes(28)
        let log = Log(file, form, salt: salt, baseSize: baseSize, key)
        do throws(Errno) {
            try log.writeHead(isSealed: key != nil)
        } catch {
            try? disk.remove(path)
            throw error
        }
        return log
    }

    /// Opens a log that was left; `.ioError` when its head is not one that this key sealed.
    static func open(
        _ path: FilePath, _ form: Form, _ key: SealingKey?, on disk: any DiskAccess
    ) throws(Errno) -> Log {
        let file = try disk.open(path, O_RDWR)
        var head = [UInt8](repeating: 0, count: headByteCount)
        let count = try read(file, into: &head)
        let baseSize = head.withUnsafeBytes {
            Int64(littleEndian: $0.loadUnaligned(fromByteOffset: 40, as: Int64.self))
        }
        let log = Log(file, form, salt: Array(head[saltPlace]), baseSize: baseSize, key)
        let isWhole = head.withUnsafeMutableBytes { head in
            log.blockGuard.open(
                .init(start: nil, count: 0), seal: Seal(loading: .init(rebasing: head[sealOffset...])),
                additionalData: .init(rebasing: head[..<sealOffset]), into: .init(start: nil, count: 0))
        }
        guard count == headByteCount, head.starts(with: form.magic), isWhole, baseSize >= 0,
            head[sealedPlace] == (key == nil ? 0 : 1)
        else { throw .ioError }
        return log
    }

    private static func read(_ file: any DiskFile, into bytes: inout [UInt8]) throws(Errno) -> Int {
        let result: Result<Int, Errno> = bytes.withUnsafeMutableBytes { bytes in
            Result { () throws(Errno) in try file.read(at: 0, into: bytes) }
        }
        return try result.get()
    }

    private func writeHead(isSealed: Bool) throws(Errno) {
        var head = form.magic + salt + [UInt8](repeating: 0, count: Self.headByteCount - 40)
        let result: Result<Void, Errno> = head.withUnsafeMutableBytes { head in
            head.storeBytes(of: baseSize.littleEndian, toByteOffset: 40, as: Int64.self)
            head.storeBytes(of: isSealed ? 1 : 0, toByteOffset: Self.sealedPlace, as: UInt8.self)
            let seal = blockGuard.protect(
                .init(start: nil, count: 0), additionalData: .init(rebasing: head[..<Self.sealOffset]),
                into: .init(start: nil, count: 0))
            seal.store(into: .init(rebasing: head[Self.sealOffset...]))
            return Result { () throws(Errno) in try file.write(UnsafeRawBufferPointer(head), at: 0) }
        }
        try result.get()
    }

    /// Puts a record together in `place` (its whole `byteCount`): the head, and `payload` protected after it. The payload
    /// may stand in its place already.
    func protect(_ record: Record, _ payload: UnsafeRawBufferPointer, into place: UnsafeMutableRawBufferPointer) {
        let body = UnsafeMutableRawBufferPointer(rebasing: place[Record.headByteCount...])
        record.store(into: place)
        let seal = withAdditionalData(record) { blockGuard.protect(payload, additionalData: $0, into: body) }
        seal.store(into: .init(rebasing: place[Record.sealOffset...]))
    }

    /// Opens `bytes`, which should be `record`, into `destination` (as long as its payload; may be within `bytes`).
    func open(
        _ record: Record, _ bytes: UnsafeRawBufferPointer, into destination: UnsafeMutableRawBufferPointer
    ) -> Bool {
        let seal = Seal(loading: .init(rebasing: bytes[Record.sealOffset...]))
        let body = UnsafeRawBufferPointer(rebasing: bytes[Record.headByteCount..<record.byteCount])
        return withAdditionalData(record) { blockGuard.open(body, seal: seal, additionalData: $0, into: destination) }
    }

    private func withAdditionalData<R>(_ record: Record, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        withUnsafeTemporaryAllocation(byteCount: Record.headByteCount + salt.count, alignment: 8) { buffer in
            record.store(into: buffer)
            let start = UnsafeMutableRawBufferPointer(rebasing: buffer[Record.sealOffset...])
            start.copyBytes(from: salt)
            return body(.init(rebasing: buffer[..<(Record.sealOffset + salt.count)]))
        }
    }
}
