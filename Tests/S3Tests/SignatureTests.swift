import Bytes
import FoundationEssentials
import ObjectStore
import Testing

@testable import S3

@Suite("Signature Version 4")
struct SignatureTests {
    struct Vectors: Decodable {
        struct Vector: Decodable, CustomTestStringConvertible {
            var name, method, host, path: String
            var query: [[String]]
            var headers: [String: String]
            var payloadHash, accessKey, secretKey: String
            var sessionToken: String?
            var region, time, url, canonicalRequest, stringToSign, authorization: String
            var testDescription: String { name }
        }
        var sigv4: [Vector]
    }

    static func vectors() throws -> [Vectors.Vector] {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Vectors.self, from: Data(PackageResources.sigv4_vectors_json)).sigv4
    }

    @Test("Every published vector is met, step by step")
    func vectors() throws {
        let vectors = try Self.vectors()
        #expect(vectors.count == 14)
        for vector in vectors {
            let seconds = try #require(CivilDate(iso8601: Array(Self.spread(vector.time).utf8))).secondsSince1970
            let credentials = Credentials(
                accessKeyID: vector.accessKey, secretAccessKey: RedactedText(vector.secretKey),
                sessionToken: vector.sessionToken.map { RedactedText($0) })
            let request = Self.request(
                method: vector.method, host: vector.host, path: vector.path, query: vector.query,
                headers: vector.headers.map { ($0.key, $0.value) }, hash: vector.payloadHash, seconds: seconds)
            let key = SignatureV4.Key(
                secret: credentials.secretAccessKey, day: request.time.day, region: vector.region)
            let added = SignatureV4.headers(for: request, credentials: credentials, key: key)
            #expect(request.time.text == vector.time)
            #expect("https://\(request.host)\(request.path)" == vector.url.prefix { $0 != "?" })
            var signed = request
            signed.headers += added.filter { $0.name != "Authorization" }
            let canonical = SignatureV4.canonicalRequest(signed).text
            #expect(canonical == vector.canonicalRequest)
            #expect(
                SignatureV4.stringToSign(canonical, time: request.time, region: vector.region) == vector.stringToSign)
            #expect(added.last?.value == vector.authorization, "\(vector.name)")
        }
    }

    struct Signed: Decodable {
        var method, host, key: String
        var query: [[String]]
        var headers: [[String]]
        var region: String
        var time: Int64
        var secret: String
        var token: String?
        var hash, authorization: String
    }

    @Test("A thousand random requests are signed exactly as botocore signs them")
    func botocore() throws {
        let seed = UInt32.random(in: 0 ... .max)
        let lines = try TestPython.lines(PackageResources.sign_with_botocore_py, ["\(seed)", "1000"])
        #expect(lines.count == 1000)
        for line in lines {
            let theirs = try JSONDecoder().decode(Signed.self, from: Data(line))
            let credentials = Credentials(
                accessKeyID: "AKIDEXAMPLE", secretAccessKey: RedactedText(theirs.secret),
                sessionToken: theirs.token.map { RedactedText($0) })
            let request = Self.request(
                method: theirs.method, host: theirs.host, path: "/" + theirs.key, query: theirs.query,
                headers: theirs.headers.map { ($0[0], $0[1]) }, hash: theirs.hash, seconds: theirs.time)
            let key = SignatureV4.Key(secret: credentials.secretAccessKey, day: request.time.day, region: theirs.region)
            let ours = SignatureV4.headers(for: request, credentials: credentials, key: key).last?.value
            #expect(ours == theirs.authorization, "seed \(seed)")
        }
    }

    private static func request(
        method: String, host: String, path: String, query: [[String]], headers: [(String, String)], hash: String,
        seconds: Int64
    ) -> SignatureV4.Request {
        SignatureV4.Request(
            method: method, host: host, path: URLText.percentEncode(path, keepingSlashes: true),
            query: SignatureV4.canonicalQuery(query.map { ($0[0], $0[1]) }),
            headers: headers.map { (name: $0.0, value: $0.1) }, payloadHash: hash,
            time: SigningTime(secondsSince1970: seconds))
    }

    /// `20261121T080509Z` with the separators of the long form.
    private static func spread(_ time: String) -> String {
        let t = Array(time)
        func piece(_ range: Range<Int>) -> String { String(t[range]) }
        return "\(piece(0..<4))-\(piece(4..<6))-\(piece(6..<11)):\(piece(11..<13)):\(piece(13..<15))Z"
    }
}
