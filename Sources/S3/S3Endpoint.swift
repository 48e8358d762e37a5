import Bytes
import ObjectStore

/// Where a bucket's server is and how its name goes into a URL.
public struct S3Endpoint: Hashable, Sendable {
    /// How a URL names the bucket.
    public enum Addressing: Hashable, Sendable {
        /// `https://HOST/BUCKET/KEY`: works with every server.
        case path
        /// `https://BUCKET.HOST/KEY`: what AWS wants; not for buckets with a dot, whose names a wildcard certificate
        /// does not cover.
        case virtualHost
    }

    enum Server: Hashable, Sendable {
        /// The host follows the region, so it changes when the server says that the bucket lives elsewhere.
        case aws(dualStack: Bool)
        /// `host` is as it stands in the `Host` header.
        case custom(scheme: String, host: String)
    }

    let server: Server
    let addressing: Addressing

    /// AWS itself, by region; buckets with a dot are addressed by path.
    public static func aws(dualStack: Bool = false) -> S3Endpoint {
        S3Endpoint(server: .aws(dualStack: dualStack), addressing: .virtualHost)
    }

    /// Another server, by URL: scheme, host and port, nothing more.
    ///
    /// Without TLS the files' names and bytes are readable on the way, so `http://` is refused unless the host is this
    /// machine or `allowInsecure` is set.
    public static func custom(
        url: String, addressing: Addressing = .path, allowInsecure: Bool = false
    ) throws(ObjectStoreError) -> S3Endpoint {
        func wrong(_ what: String) -> ObjectStoreError { ObjectStoreError(.invalidAnswer, what) }
        guard let separator = url.firstRange(of: "://") else {
            throw wrong("The endpoint \(url) is not a URL; write it like https://s3.example.org:9000.")
        }
        let scheme = url[..<separator.lowerBound].lowercased()
        var authority = url[separator.upperBound...]
        if authority.hasSuffix("/") { authority = authority.dropLast() }
        guard scheme == "http" || scheme == "https", !authority.isEmpty,
            !authority.utf8.contains(where: { "/?#@ \\".utf8.contains($0) || $0 < 0x21 || $0 > 0x7E })
        else { throw wrong("The endpoint \(url) must be http:// or https:// with a host, a port and nothing else.") }
        let (name, port) = splitPort(authority)
        if let port, UInt16(String(port)) == nil { throw wrong("The endpoint \(url) has no valid port.") }
        if scheme == "http", !allowInsecure, !isLoopback(name) {
            throw wrong(
                "The endpoint \(url) would send files unencrypted; use https://, or set allow_insecure = true "
                    + "if the network is trusted.")
        }
        let usual = scheme == "http" ? "80" : "443"
        let host = port.map { $0 == usual ? String(name) : "\(name):\($0)" } ?? String(name)
        return S3Endpoint(server: .custom(scheme: scheme, host: host.lowercased()), addressing: addressing)
    }

    var isAWS: Bool { if case .aws = server { true } else { false } }

    /// TLS protects the body, so it need not be hashed for the signature.
    var isEncrypted: Bool { if case .custom("http", _) = server { false } else { true } }

    /// The three pieces of a URL that a signature covers.
    struct Address: Hashable, Sendable {
        var scheme: String
        var host: String
        /// Encoded once, begins with `/`.
        var path: String
    }

    func address(bucket: String, key: ObjectKey?, region: String) -> Address {
        let (scheme, base) =
            switch server {
            case .aws(let dualStack):
                ("https", "s3.\(dualStack ? "dualstack." : "")\(region).\(Self.awsSuffix(region))")
            case .custom(let scheme, let host): (scheme, host)
            }
        let keyPath = key.map { URLText.percentEncode($0.bytes, keepingSlashes: true) } ?? ""
        if addressing == .virtualHost, Self.fitsHostName(bucket) {
            return Address(scheme: scheme, host: "\(bucket).\(base)", path: "/" + keyPath)
        }
        let bucketPath = "/" + URLText.percentEncode(bucket)
        return Address(scheme: scheme, host: base, path: key == nil ? bucketPath + "/" : "\(bucketPath)/\(keyPath)")
    }

    private static func awsSuffix(_ region: String) -> String {
        region.hasPrefix("cn-") ? "amazonaws.com.cn" : "amazonaws.com"
    }

    /// One label of lower-case letters, digits and inner hyphens.
    private static func fitsHostName(_ bucket: String) -> Bool {
        (3...63).contains(bucket.utf8.count) && !bucket.hasPrefix("-") && !bucket.hasSuffix("-")
            && bucket.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D }
    }

    private static func splitPort(_ authority: Substring) -> (Substring, Substring?) {
        guard let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") else {
            return (authority, nil)
        }
        return (authority[..<colon], authority[authority.index(after: colon)...])
    }

    private static func isLoopback(_ host: Substring) -> Bool {
        let name = host.lowercased()
        if name == "localhost" || name.hasSuffix(".localhost") || name == "[::1]" { return true }
        let numbers = name.split(separator: ".", omittingEmptySubsequences: false)
        return numbers.count == 4 && numbers[0] == "127" && numbers.allSatisfy { UInt8($0) != nil }
    }
}
