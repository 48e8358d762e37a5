import COpenSSL

/// A whole number of any size and sign: what SRP calculates with. Its memory is wiped when the last copy goes.
///
/// A value never changes after its initializer. Calculations with a modulus take the same time whatever the exponent's
/// bits are (OpenSSL's constant-time Montgomery ladder).
public struct BigNumber: Sendable {
    /// Longer hexadecimal input is refused: no number of a sign-in has more than 769 digits.
    public static let maximumHexDigits = 2048

    private let storage: Storage

    /// Reads digits of either case with an optional minus sign; nil for anything else and for more than
    /// `maximumHexDigits` digits. Leading zeros do not matter.
    public init?(hex: some StringProtocol) {
        let negative = hex.utf8.first == UInt8(ascii: "-")
        let digits = Array(hex.utf8.dropFirst(negative ? 1 : 0))
        guard !digits.isEmpty, digits.count <= Self.maximumHexDigits, digits.allSatisfy(Self.isHexDigit) else {
            return nil
        }
        let storage = Storage()
        var raw: OpaquePointer? = storage.raw
        let read = (digits + [0]).withUnsafeBytes {
            BN_hex2bn(&raw, $0.baseAddress?.assumingMemoryBound(to: CChar.self))
        }
        guard Int(read) == digits.count else { return nil }
        if negative { BN_set_negative(storage.raw, 1) }
        self.storage = storage
    }

    /// The number that `bytes` are in big-endian order; never negative.
    public init(_ bytes: some Collection<UInt8>) {
        let storage = Storage()
        var copy = Array(bytes)
        let done = BN_bin2bn(copy, Int32(copy.count), storage.raw)
        precondition(done != nil, "no memory for a number")
        copy.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
        self.storage = storage
    }

    private init(_ calculate: (OpaquePointer, OpaquePointer) -> Int32) {
        let storage = Storage()
        guard let context = BN_CTX_secure_new() ?? BN_CTX_new() else { preconditionFailure("no memory for a number") }
        defer { BN_CTX_free(context) }
        // The operands are valid numbers, so the only failure left is that memory ran out.
        precondition(calculate(storage.raw, context) == 1, "no memory for a number")
        self.storage = storage
    }

    public var isZero: Bool { BN_is_zero(storage.raw) == 1 }

    /// Lower-case digits, as few as possible, with a minus sign where needed.
    public var hex: String {
        guard let text = BN_bn2hex(storage.raw) else { preconditionFailure("no memory for a number") }
        defer { CRYPTO_free(text, nil, 0) }
        let all = String(cString: text).lowercased()
        let sign = all.hasPrefix("-") ? "-" : ""
        let digits = all.dropFirst(sign.count).drop { $0 == "0" }
        return digits.isEmpty ? "0" : sign + digits
    }

    /// Big-endian two's complement in as few bytes as hold the sign: Java's `BigInteger.toByteArray`, which Cognito
    /// hashes. A positive number whose top bit is set gets a zero byte in front.
    public var twosComplement: [UInt8] {
        guard BN_is_negative(storage.raw) == 1 else { return storage.magnitude }
        // -m is the complement of m - 1.
        let negated = adding(BigNumber(CollectionOfOne(1)))
        return negated.storage.magnitude.map { ~$0 }
    }

    public func adding(_ other: BigNumber) -> BigNumber {
        BigNumber { result, _ in BN_add(result, storage.raw, other.storage.raw) }
    }

    public func subtracting(_ other: BigNumber) -> BigNumber {
        BigNumber { result, _ in BN_sub(result, storage.raw, other.storage.raw) }
    }

    public func multiplied(by other: BigNumber) -> BigNumber {
        BigNumber { result, context in BN_mul(result, storage.raw, other.storage.raw, context) }
    }

    /// The remainder from 0 to `modulus` - 1, also of a negative number. `modulus` is positive.
    public func modulo(_ modulus: BigNumber) -> BigNumber {
        precondition(!modulus.isZero, "a modulus of zero")
        return BigNumber { result, context in BN_nnmod(result, storage.raw, modulus.storage.raw, context) }
    }

    /// This number to the power of `exponent`, modulo an odd `modulus`. `exponent` is not negative.
    public func power(_ exponent: BigNumber, modulo modulus: BigNumber) -> BigNumber {
        precondition(BN_is_odd(modulus.storage.raw) == 1, "an even modulus")
        return modulo(modulus).withStorage { base in
            BigNumber { result, context in
                BN_mod_exp_mont_consttime(result, base, exponent.storage.raw, modulus.storage.raw, context, nil)
            }
        }
    }

    private func withStorage(_ body: (OpaquePointer) -> BigNumber) -> BigNumber { body(storage.raw) }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default: false
        }
    }
}

extension BigNumber: Equatable {
    public static func == (a: BigNumber, b: BigNumber) -> Bool { BN_cmp(a.storage.raw, b.storage.raw) == 0 }
}

extension BigNumber: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "<number>" }
    public var debugDescription: String { "<number>" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// One OpenSSL number.
///
/// Unchecked: written only before its `BigNumber` is made, read-only afterwards.
private final class Storage: @unchecked Sendable {
    let raw: OpaquePointer

    init() {
        guard let raw = BN_new() else { preconditionFailure("no memory for a number") }
        self.raw = raw
    }

    deinit { BN_clear_free(raw) }

    /// The absolute value, big-endian, with room for a sign bit.
    var magnitude: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(BN_num_bits(raw)) / 8 + 1)
        let written = BN_bn2binpad(raw, &bytes, Int32(bytes.count))
        precondition(written == Int32(bytes.count), "a number larger than its own size")
        return bytes
    }
}
