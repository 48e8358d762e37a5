import Bytes
import FoundationEssentials
import Sealing
import Testing

@testable import Cognito

/// The vectors were agreed on by four clients and a server written apart from this one.
struct SRPVectors: Decodable {
    struct Constants: Decodable {
        var N, g, k, hkdf_info: String
        var hkdf_output_bytes: Int
    }
    struct Pad: Decodable { var value_hex, padded: String }
    struct SecretHash: Decodable { var username, client_id, client_secret, secret_hash: String }
    struct SignIn: Decodable, CustomTestStringConvertible {
        var name, a, pool_name, srp_user, password, SALT, SRP_B, SECRET_BLOCK, time_utc, timestamp, SRP_A: String
        var padded_A, padded_B, padded_salt, padded_S, padded_u, key, signature: String
        var client_id, client_secret, secret_hash: String?
        var testDescription: String { name }
    }
    struct Device: Decodable {
        struct Config: Decodable { var PasswordVerifier, Salt: String }
        var name, device_group_key, device_key, random_salt_bytes, random_password_bytes, device_password: String
        var DeviceSecretVerifierConfig: Config
    }
    var constants: Constants
    var pad_hex: [Pad]
    var secret_hash: [SecretHash]
    var vectors: [SignIn]
    var confirm_device: [Device]

    static let all: SRPVectors = {
        do { return try JSONDecoder().decode(SRPVectors.self, from: Data(PackageResources.srp_vectors_json)) } catch {
            fatalError("the vectors can't be read: \(error)")
        }
    }()
}

@Suite("SRP as Cognito calculates it") struct SRPVectorTests {
    @Test("The vectors are all there") func vectorsAreThere() {
        #expect(SRPVectors.all.vectors.count == 23)
        #expect(SRPVectors.all.confirm_device.count == 3)
        #expect(SRPVectors.all.secret_hash.count == 3)
        #expect(SRPVectors.all.pad_hex.count == 13)
    }

    @Test("The group's constants are the vectors'") func constants() {
        let constants = SRPVectors.all.constants
        #expect(SRPGroup.prime == BigNumber(hex: constants.N))
        #expect(SRPGroup.generator == BigNumber(hex: constants.g))
        #expect(SRPGroup.multiplier == BigNumber(hex: constants.k))
    }

    @Test("Integers are padded as Java's toByteArray does") func padding() throws {
        for pad in SRPVectors.all.pad_hex {
            let number = try #require(BigNumber(hex: pad.value_hex))
            #expect(Hex.encode(number.twosComplement) == pad.padded, "\(pad.value_hex)")
        }
    }

    @Test("Each sign-in's public value, key and signature are the vector's", arguments: SRPVectors.all.vectors)
    func signIn(_ vector: SRPVectors.SignIn) throws {
        let exponent = try #require(BigNumber(hex: vector.a))
        let exchange = try #require(SRPExchange(poolName: vector.pool_name, exponent: exponent))
        #expect(exchange.publicValue == vector.SRP_A)
        let proof = SRPExchange.Proof(
            salt: vector.SALT, serverValue: vector.SRP_B, secretBlock: vector.SECRET_BLOCK, user: vector.srp_user)
        let key = try exchange.key(for: proof, password: Secret(vector.password))
        #expect(key.withUTF8 { Hex.encode(Array($0)) } == vector.key)
        let signature = try exchange.signature(
            for: proof, password: Secret(vector.password), timestamp: vector.timestamp)
        #expect(signature == vector.signature)
        #expect(SRPTimestamp.text(try seconds(vector.time_utc)) == vector.timestamp)
        let wrong = try exchange.signature(
            for: proof, password: Secret(vector.password + " "), timestamp: vector.timestamp)
        #expect(wrong != vector.signature)
    }

    @Test("SECRET_HASH is the vectors'") func secretHash() {
        for vector in SRPVectors.all.secret_hash {
            #expect(
                CognitoClient.secretHash(
                    username: vector.username, clientID: vector.client_id, clientSecret: Secret(vector.client_secret))
                    == vector.secret_hash)
        }
        for vector in SRPVectors.all.vectors {
            guard let secret = vector.client_secret, let client = vector.client_id else { continue }
            let hash = CognitoClient.secretHash(
                username: vector.srp_user, clientID: client, clientSecret: Secret(secret))
            #expect(hash == vector.secret_hash)
        }
    }

    @Test("A device's verifier is the vectors'") func deviceVerifier() throws {
        for vector in SRPVectors.all.confirm_device {
            let verifier = DeviceSecretVerifier(
                deviceGroupKey: vector.device_group_key, deviceKey: vector.device_key,
                password: Secret(vector.device_password), randomSalt: try #require(Hex.decode(vector.random_salt_bytes))
            )
            #expect(verifier.passwordVerifier == vector.DeviceSecretVerifierConfig.PasswordVerifier, "\(vector.name)")
            #expect(verifier.salt == vector.DeviceSecretVerifierConfig.Salt, "\(vector.name)")
        }
    }

    @Test(
        "Server values that are no numbers, or are zero modulo N, are refused",
        arguments: ["", "xyz", "0", "-0", String(repeating: "f", count: 4000), SRPVectors.all.constants.N])
    func badServerValues(_ value: String) throws {
        let exchange = try #require(SRPExchange(poolName: "p", random: [UInt8](repeating: 7, count: 128)))
        let proof = SRPExchange.Proof(salt: "ab", serverValue: value, secretBlock: "AAAA", user: "u")
        #expect(throws: CognitoError.self) { try exchange.key(for: proof, password: Secret("p")) }
    }

    @Test("An exponent that gives the public value away is refused") func zeroExponent() {
        // g^0 = 1 is a number like any other; only a public value of zero is refused, which g = 2 cannot give.
        #expect(SRPExchange(poolName: "p", random: [0])?.publicValue == "1")
    }

    @Test("The day of month has no leading zero, months and leap days are right") func timestamps() {
        #expect(SRPTimestamp.text(0) == "Thu Jan 1 00:00:00 UTC 1970")
        #expect(SRPTimestamp.text(951_782_400) == "Tue Feb 29 00:00:00 UTC 2000")
        #expect(SRPTimestamp.text(4_107_542_399) == "Sun Feb 28 23:59:59 UTC 2100")
        #expect(SRPTimestamp.text(4_107_542_400) == "Mon Mar 1 00:00:00 UTC 2100")
    }

    /// `2026-11-21T08:05:09Z`, by a way that shares nothing with the code under test.
    private func seconds(_ text: String) throws -> Int64 {
        let date = try Date(text, strategy: .iso8601)
        return Int64(date.timeIntervalSince1970)
    }
}
