import COpenSSL
import Glibc

/// A 256-bit key for AES-GCM, wiped when the last reference goes. It prints as `<key>`, whatever prints it.
///
/// Each key has a page of its own, kept out of swap and core files as far as the process's limits allow.
///
/// Unchecked: the page is written in the initializers only, and wiped in deinit, when nobody refers to it any more.
public final class SealingKey: @unchecked Sendable, CustomStringConvertible, CustomReflectable {
    public static let byteCount = 32

    private let page: UnsafeMutableRawPointer
    /// A bug on purpose, for the simulator alone: see `Nonces`.
    let countsNonces: Bool
    private static let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))

    /// Leaves the key's bytes for the initializer to fill.
    private init(countingNonces: Bool) {
        guard
            let page = mmap(nil, Self.pageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            page != MAP_FAILED
            // Not input: a page of memory is refused only when there is none left.
        else { fatalError("no memory for a key") }
        // Both may be refused (RLIMIT_MEMLOCK); the key then works, a little less hidden.
        _ = mlock(page, Self.pageSize)
        _ = madvise(page, Self.pageSize, MADV_DONTDUMP)
        self.page = page
        countsNonces = countingNonces
    }

    /// A new random key.
    public convenience init() {
        self.init(countingNonces: false)
        SecureRandom.fill(.init(start: page, count: Self.byteCount))
    }

    /// Nil unless exactly 32 bytes. The caller wipes its own copy.
    public convenience init?(_ raw: some Collection<UInt8>) {
        self.init(raw, countingNonces: false)
    }

    /// With `countingNonces`, what is sealed under this key, or one derived from it, is not safe: the nonces are counted from
    /// zero by each process that seals. For the simulator, which has to find that.
    package convenience init?(_ raw: some Collection<UInt8>, countingNonces: Bool) {
        guard raw.count == Self.byteCount else { return nil }
        self.init(countingNonces: countingNonces)
        UnsafeMutableRawBufferPointer(start: page, count: Self.byteCount).copyBytes(from: raw)
    }

    deinit {
        OPENSSL_cleanse(page, Self.byteCount)
        munmap(page, Self.pageSize)
    }

    /// The key's bytes, for storing them in a file of their own. The pointer must not leave `body`.
    public func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try body(.init(start: page, count: Self.byteCount))
    }

    /// A key for one purpose: HMAC of `purpose` under this key. Different purposes give unrelated keys, so that what one
    /// seals no other opens.
    public func derived(_ purpose: [UInt8]) -> SealingKey {
        let derived = SealingKey(countingNonces: countsNonces)
        withBytes { key in
            purpose.withUnsafeBytes { message in
                HMACSHA256.authenticate(
                    key: key, message: message, into: .init(start: derived.page, count: Self.byteCount))
            }
        }
        return derived
    }

    public var description: String { "<key>" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
