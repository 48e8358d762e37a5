import Bytes
import FoundationEssentials
import Sealing
import Testing

@testable import Cognito

/// The vectors were agreed on by four clients and a server written apart from this one.
struct SRPVectors: Decodable {
    struct Constants: Decodable {
        var n, g, k: String
    }
    struct Pad: Decodable { var valueHex, padded: String }
    struct SecretHash: Decodable { var username, clientId, clientSecret, secretHash: String }
    struct SignIn: Decodable, CustomTestStringConvertible {
        var name, a, poolName, srpUser, password, salt, srpB, secretBlock, timeUtc, timestamp, srpA: String
        var paddedA, paddedB, paddedSalt, paddedS, paddedU, key, signature: String
        var clientId, clientSecret, secretHash: String?
        var testDescription: String { name }
    }
    struct Device: Decodable {
        struct Config: Decodable { var passwordVerifier, salt: String }
        var name, deviceGroupKey, deviceKey, randomSaltBytes, randomPasswordBytes, devicePassword: String
        var deviceSecretVerifierConfig: Config
    }
    private struct Key: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
    var constants: Constants
    var padHex: [Pad]
    var secretHash: [SecretHash]
    var vectors: [SignIn]
    var confirmDevice: [Device]

    static let all: SRPVectors = {
        // `SRP_A`, `time_utc`, `PasswordVerifier` → `srpA`, `timeUtc`, `passwordVerifier`.
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .custom { path in
            let name = path[path.count - 1].stringValue
            let words =
                name.contains("_") || name == name.uppercased() ? name.lowercased().split(separator: "_") : [name[...]]
            let first = words[0].prefix(1).lowercased() + words[0].dropFirst()
            return Key(
                stringValue: first + words.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined())
        }
        do { return try decoder.decode(SRPVectors.self, from: Data(PackageResources.srp_vectors_json)) } catch {
            fatalError("the vectors can't be read: \(error)")
        }
    }()
}

@Suite("SRP as Cognito calculates it") struct SRPVectorTests {
    @Test("The vectors are all there") func vectorsAreThere() {
        #expect(SRPVectors.all.vectors.count == 23)
        #expect(SRPVectors.all.confirmDevice.count == 3)
        #expect(SRPVectors.all.secretHash.count == 3)
        #expect(SRPVectors.all.padHex.count == 13)
    }

    @Test("The group's constants are the vectors'") func constants() {
        let constants = SRPVectors.all.constants
        #expect(SRPGroup.prime == BigNumber(hex: constants.n))
        #expect(SRPGroup.generator == BigNumber(hex: constants.g))
        #expect(SRPGroup.multiplier == BigNumber(hex: constants.k))
    }

    @Test("Integers are padded as Java's toByteArray does") func padding() throws {
        for pad in SRPVectors.all.padHex {
            let number = try #require(BigNumber(hex: pad.valueHex))
            #expect(Hex.encode(number.twosComplement) == pad.padded, "\(pad.valueHex)")
        }
    }

    @Test("Each sign-in's public value, key and signature are the vector's", arguments: SRPVectors.all.vectors)
    func signIn(_ vector: SRPVectors.SignIn) throws {
        let exponent = try #require(BigNumber(hex: vector.a))
        let exchange = try #require(SRPExchange(poolName: vector.poolName, exponent: exponent))
        #expect(exchange.publicValue == vector.srpA)
        let proof = SRPExchange.Proof(
            salt: vector.salt, serverValue: vector.srpB, secretBlock: vector.secretBlock, user: vector.srpUser)
        let key = try exchange.key(for: proof, password: Secret(vector.password))
        #expect(key.withUTF8 { Hex.encode(Array($0)) } == vector.key)
        let signature = try exchange.signature(
            for: proof, password: Secret(vector.password), timestamp: vector.timestamp)
        #expect(signature == vector.signature)
        #expect(SRPTimestamp.text(try seconds(vector.timeUtc)) == vector.timestamp)
        let wrong = try exchange.signature(
            for: proof, password: Secret(vector.password + " "), timestamp: vector.timestamp)
        #expect(wrong != vector.signature)
    }

    @Test("SECRET_HASH is the vectors'") func secretHash() {
        for vector in SRPVectors.all.secretHash {
            #expect(
                CognitoClient.secretHash(
                    username: vector.username, clientID: vector.clientId, clientSecret: Secret(vector.clientSecret))
                    == vector.secretHash)
        }
        for vector in SRPVectors.all.vectors {
            guard let secret = vector.clientSecret, let client = vector.clientId else { continue }
            let hash = CognitoClient.secretHash(
                username: vector.srpUser, clientID: client, clientSecret: Secret(secret))
            #expect(hash == vector.secretHash)
        }
    }

    @Test("A device's verifier is the vectors'") func deviceVerifier() throws {
        for vector in SRPVectors.all.confirmDevice {
            let verifier = DeviceSecretVerifier(
                deviceGroupKey: vector.deviceGroupKey, deviceKey: vector.deviceKey,
                password: Secret(vector.devicePassword), randomSalt: try #require(Hex.decode(vector.randomSaltBytes))
            )
            #expect(verifier.passwordVerifier == vector.deviceSecretVerifierConfig.passwordVerifier, "\(vector.name)")
            #expect(verifier.salt == vector.deviceSecretVerifierConfig.salt, "\(vector.name)")
        }
    }

    @Test(
        "Server values that are no numbers, or are zero modulo n, are refused",
        arguments: ["", "xyz", "0", "-0", String(repeating: "f", count: 4000), SRPVectors.all.constants.n])
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
