import Bytes
import Sealing

/// The client's side of one Secure Remote Password sign-in, as Cognito calculates it: the 3072-bit group of RFC 5054
/// with g = 2, SHA-256, and every integer hashed as Java's `BigInteger.toByteArray`.
///
/// Make one, send `publicValue`, answer the challenge with `answer(to:)`. One exchange is for one attempt.
struct SRPExchange: Sendable {
    /// What the server sends back to prove the password against.
    struct Proof: Sendable {
        /// Hexadecimal, maybe negative: Cognito has sent such salts for users that do not exist.
        var salt: String
        var serverValue: String
        /// Base64 in any dialect; sent back as it came.
        var secretBlock: String
        /// The name the server hashes, which is not always the one that was typed.
        var user: String
    }

    /// Bytes of the secret exponent.
    static let exponentByteCount = 128

    private let exponent: BigNumber
    private let publicNumber: BigNumber
    private let poolName: String

    /// `random` is at least `exponentByteCount` fresh random bytes. `poolName` is the user pool id after `_`, or a
    /// device's group key. Nil for an exponent whose public value would give the password away (probability 2⁻³⁰⁷²).
    init?(poolName: String, random: [UInt8]) {
        self.init(poolName: poolName, exponent: BigNumber(random))
    }

    init?(poolName: String, exponent: BigNumber) {
        self.poolName = poolName
        self.exponent = exponent
        publicNumber = SRPGroup.generator.power(exponent, modulo: SRPGroup.prime)
        if publicNumber.isZero { return nil }
    }

    /// `SRP_A`: hexadecimal, without padding.
    var publicValue: String { publicNumber.hex }

    /// The key both sides share now: HKDF-SHA256 of S, 16 bytes. Throws when the server's values are not numbers or
    /// would make the key guessable.
    func key(for proof: Proof, password: Secret) throws(CognitoError) -> Secret {
        guard let salt = BigNumber(hex: proof.salt), let server = BigNumber(hex: proof.serverValue) else {
            throw .invalidAnswer("SRP values that are not numbers")
        }
        guard !server.modulo(SRPGroup.prime).isZero else { throw .invalidAnswer("an SRP value of zero") }
        let scrambler = BigNumber(SHA256.hash(publicNumber.twosComplement + server.twosComplement))
        guard !scrambler.isZero else { throw .invalidAnswer("an SRP scrambler of zero") }
        let secret = passwordNumber(salt: salt, user: proof.user, password: password)
        // S = (B - k * g^x) ^ (a + u * x) mod N; the difference is nearly always negative.
        let base = server.subtracting(
            SRPGroup.multiplier.multiplied(by: SRPGroup.generator.power(secret, modulo: SRPGroup.prime)))
        let power = exponent.adding(scrambler.multiplied(by: secret))
        var shared = base.power(power, modulo: SRPGroup.prime).twosComplement
        var key = HKDF.derive(
            keyMaterial: shared, salt: scrambler.twosComplement, info: Array("Caldera Derived Key".utf8), count: 16)
        defer {
            wipe(&shared)
            wipe(&key)
        }
        return Secret(utf8: key)
    }

    /// `PASSWORD_CLAIM_SIGNATURE` for a `TIMESTAMP` that is sent with it.
    func signature(for proof: Proof, password: Secret, timestamp: String) throws(CognitoError) -> String {
        guard let block = Base64.decode(proof.secretBlock) else {
            throw .invalidAnswer("a secret block that is not base64")
        }
        let key = try key(for: proof, password: password)
        let message = Array(poolName.utf8) + Array(proof.user.utf8) + block + Array(timestamp.utf8)
        let code = key.withUTF8 { key in
            message.withUnsafeBytes { HMACSHA256.authenticate(key: key, message: $0) }
        }
        return Base64.encode(code)
    }

    /// x = H(salt, H(pool, user, ":", password)). The password's bytes are taken as they are: no normalisation, no trimming.
    private func passwordNumber(salt: BigNumber, user: String, password: Secret) -> BigNumber {
        var inner = SHA256()
        inner.update(Array((poolName + user + ":").utf8))
        password.withUTF8 { inner.update($0) }
        return BigNumber(SHA256.hash(salt.twosComplement + inner.finalize()))
    }
}

/// What `ConfirmDevice` stores of a device's random password: a salt and g^x, both in base64.
struct DeviceSecretVerifier: Sendable, Equatable {
    let salt: String
    let passwordVerifier: String

    /// `randomSalt` is 16 random bytes.
    init(deviceGroupKey: String, deviceKey: String, password: Secret, randomSalt: [UInt8]) {
        let salt = BigNumber(randomSalt)
        var inner = SHA256()
        inner.update(Array((deviceGroupKey + deviceKey + ":").utf8))
        password.withUTF8 { inner.update($0) }
        let secret = BigNumber(SHA256.hash(salt.twosComplement + inner.finalize()))
        self.salt = Base64.encode(salt.twosComplement)
        passwordVerifier = Base64.encode(
            SRPGroup.generator.power(secret, modulo: SRPGroup.prime).twosComplement)
    }
}

/// The group and what follows from it.
enum SRPGroup {
    static let generator = BigNumber(CollectionOfOne(2))

    /// RFC 5054, 3072 bits (also RFC 3526 group 15).
    static let prime = BigNumber(hexConstant: [
        "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd",
        "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed",
        "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f",
        "83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b",
        "e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510",
        "15728e5a8aaac42dad33170d04507a33a85521abdf1cba64ecfb850458dbef0a8aea71575d060c7db3970f85a6e1e4c7",
        "abf5ae8cdb0933d71e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d87602733ec86a64521f2b18177b200c",
        "bbe117577a615d6c770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a93ad2caffffffffffffffff",
    ])

    /// k = H(N, g), with N in 385 bytes and g in one.
    static let multiplier = BigNumber(SHA256.hash(prime.twosComplement + generator.twosComplement))
}

extension BigNumber {
    /// For numbers written in this source.
    fileprivate init(hexConstant lines: [String]) {
        guard let number = BigNumber(hex: lines.joined()) else { preconditionFailure("a constant that is no number") }
        self = number
    }
}
