import Bytes
import Sealing

/// AWS Signature Version 4, header form, as S3 wants it: the path is encoded once and never normalised.
/// Source: "Signature Calculations for the Authorization Header" in the S3 API reference.
enum SignatureV4 {
    /// Everything that the signature covers.
    struct Request {
        var method: String
        var host: String
        /// Encoded.
        var path: String
        /// Encoded and sorted, as it stands in the URL.
        var query: String
        /// All of them are signed.
        var headers: [(name: String, value: String)]
        /// Hex SHA-256 of the body, or `UNSIGNED-PAYLOAD`.
        var payloadHash: String
        var time: SigningTime
    }

    /// The key for one day and region. Deriving it takes four HMACs, so it is kept until the day changes.
    struct Key: Sendable {
        let secret: RedactedText
        let day: String
        let region: String
        let bytes: [UInt8]

        init(secret: RedactedText, day: String, region: String, service: String = "s3") {
            self.secret = secret
            self.day = day
            self.region = region
            var key = Array("AWS4\(secret.text)".utf8)
            for piece in [day, region, service, "aws4_request"] {
                key = HMACSHA256.authenticate(key: key, message: Array(piece.utf8))
            }
            bytes = key
        }
    }

    static let unsignedPayload = "UNSIGNED-PAYLOAD"
    static let emptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    /// The headers to add to `request.headers` so that the server takes the request.
    static func headers(
        for request: Request, credentials: Credentials, key: Key
    ) -> [(name: String, value: String)] {
        var added = [
            (name: "x-amz-content-sha256", value: request.payloadHash), (name: "x-amz-date", value: request.time.text),
        ]
        if let token = credentials.sessionToken { added.append((name: "x-amz-security-token", value: token.text)) }
        var signed = request
        signed.headers += added
        let canonical = canonicalRequest(signed)
        let signature = HMACSHA256.authenticate(
            key: key.bytes, message: Array(stringToSign(canonical.text, time: request.time, region: key.region).utf8))
        added.append(
            (
                name: "Authorization",
                value: "AWS4-HMAC-SHA256 Credential=\(credentials.accessKeyID)/\(scope(request.time, key.region)), "
                    + "SignedHeaders=\(canonical.signedHeaders), Signature=\(Hex.encode(signature))"
            ))
        return added
    }

    static func canonicalRequest(_ request: Request) -> (text: String, signedHeaders: String) {
        let lines =
            (request.headers + [(name: "host", value: request.host)])
            .map { (name: $0.name.lowercased(), value: collapseSpaces($0.value)) }
            .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        let names = lines.map(\.name).joined(separator: ";")
        var text = "\(request.method)\n\(request.path)\n\(request.query)\n"
        for line in lines { text += "\(line.name):\(line.value)\n" }
        text += "\n\(names)\n\(request.payloadHash)"
        return (text, names)
    }

    static func stringToSign(_ canonicalRequest: String, time: SigningTime, region: String) -> String {
        let hash = Array(canonicalRequest.utf8).withUnsafeBytes { Hex.encode(SHA256.hash($0)) }
        return "AWS4-HMAC-SHA256\n\(time.text)\n\(scope(time, region))\n\(hash)"
    }

    /// Names and values encoded, sorted by encoded name; a name without a value keeps its `=`.
    static func canonicalQuery(_ items: [(name: String, value: String)]) -> String {
        items.map { (URLText.percentEncode($0.name), URLText.percentEncode($0.value)) }
            .sorted { a, b in
                a.0 == b.0 ? a.1.utf8.lexicographicallyPrecedes(b.1.utf8) : a.0.utf8.lexicographicallyPrecedes(b.0.utf8)
            }
            .map { "\($0)=\($1)" }.joined(separator: "&")
    }

    private static func scope(_ time: SigningTime, _ region: String) -> String {
        "\(time.day)/\(region)/s3/aws4_request"
    }

    private static func collapseSpaces(_ value: String) -> String {
        guard value.utf8.contains(0x20) else { return value }
        return value.split(separator: " ").joined(separator: " ")
    }
}

/// A moment as `x-amz-date` writes it, `20261121T080509Z`.
struct SigningTime: Sendable {
    let text: String

    init(secondsSince1970 seconds: Int64) {
        let date = CivilDate(secondsSince1970: seconds)
        func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        text =
            "\(date.year)\(two(date.month))\(two(date.day))T\(two(date.hour))\(two(date.minute))\(two(date.second))Z"
    }

    var day: String { String(text.prefix(8)) }
}
