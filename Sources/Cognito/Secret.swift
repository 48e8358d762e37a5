import Glibc

/// A password, token or key as text. Whatever prints it (description, interpolation, `dump`, a log line, an error)
/// prints `<secret>`; it is not `Codable`, so it cannot be written by accident. `reveal()` is the one way out.
///
/// The bytes live in pages of their own that are kept out of core files and, where the limit allows, out of swap, and
/// are wiped when the last copy goes. What `reveal()` returns is an ordinary `String`: keep it short-lived.
public struct Secret: Sendable {
    private let storage: SecretStorage

    public init(_ text: String) { self.init(utf8: text.utf8) }

    public init(utf8 bytes: some Collection<UInt8>) { storage = SecretStorage(bytes) }

    public var byteCount: Int { storage.bytes.count }
    public var isEmpty: Bool { storage.bytes.isEmpty }

    /// The text itself.
    public func reveal() -> String { withUTF8 { String(decoding: $0, as: UTF8.self) } }

    /// Reads the bytes; the pointer must not leave `body`.
    public func withUTF8<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try storage.read(body)
    }
}

extension Secret: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "<secret>" }
    public var debugDescription: String { "<secret>" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension Secret: Equatable {
    /// Takes the same time wherever the texts differ.
    public static func == (a: Secret, b: Secret) -> Bool {
        a.withUTF8 { a in
            b.withUTF8 { b in
                guard a.count == b.count else { return false }
                var difference: UInt8 = 0
                for index in a.indices { difference |= a[index] ^ b[index] }
                return difference == 0
            }
        }
    }
}

/// The pages that hold one secret.
///
/// Unchecked: written in the initializer, read-only until `deinit`, which runs after the last reference is gone.
private final class SecretStorage: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    private let pages: UnsafeMutableRawPointer
    private let pageBytes: Int

    init(_ content: some Collection<UInt8>) {
        let page = sysconf(Int32(_SC_PAGESIZE))
        pageBytes = max(1, (content.count + page - 1) / page) * page
        let mapped = mmap(nil, pageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped, mapped != MAP_FAILED else { preconditionFailure("no memory for a secret") }
        pages = mapped
        // Best effort: either may be refused by a limit, and the secret is needed all the same.
        _ = madvise(mapped, pageBytes, MADV_DONTDUMP)
        _ = mlock(mapped, pageBytes)
        let room = UnsafeMutableRawBufferPointer(start: mapped, count: content.count)
        room.copyBytes(from: content)
        bytes = UnsafeRawBufferPointer(room)
    }

    func read<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R { try body(bytes) }

    deinit {
        explicit_bzero(pages, pageBytes)
        munmap(pages, pageBytes)
    }
}
