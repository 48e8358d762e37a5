import ObjectStore
import Testing

@testable import S3

@Suite("Metadata, endpoints and secrets")
struct ValueTests {
    @Test(
        "What other clients and S3 itself wrote is read",
        arguments: [
            ("plain", "plain"), ("=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"),
            ("=?utf-8?q?Gr=C3=BC=C3=9Fe_1+1=25?=", "Grüße 1+1%"),
            ("=?UTF-8?B?R3LDvA==?= =?UTF-8?B?w59l?=", "Grüße"), ("a =?UTF-8?B?w7w=?= b", "a ü b"),
            ("=?ISO-8859-1?Q?=FC?=", "ü"), ("=?UTF-8?B?!!?=", "=?UTF-8?B?!!?="),
            ("=?koi8-r?B?w7w=?=", "=?koi8-r?B?w7w=?="),
            ("=?UTF-8?B?/w==?=", "=?UTF-8?B?/w==?="), ("1=?2", "1=?2"), ("=?", "=?"),
        ])
    func metadata(_ text: String, _ value: String) {
        #expect(MetadataText.decode(text) == value)
    }

    @Test("Any value comes back, in words of at most 75 printable characters")
    func roundTrip() {
        let pieces = ["a", " ", "é", "日", "🔐", "=?", "?=", "\n", "\0", "=", "_", "e\u{301}"]
        for seed in 0..<500 {
            var generator = SeededGenerator(state: UInt64(seed))
            let value = (0..<Int.random(in: 0..<60, using: &generator)).map { _ in
                pieces[Int.random(in: 0..<pieces.count, using: &generator)]
            }.joined()
            let text = MetadataText.encode(value)
            #expect(text.utf8.allSatisfy { (0x20...0x7E).contains($0) })
            #expect(Array(MetadataText.decode(text).utf8) == Array(value.utf8), "seed \(seed)")
            if text != value { #expect(text.split(separator: " ").allSatisfy { $0.utf8.count <= 75 }) }
        }
    }

    @Test("An unencrypted endpoint is for this machine only, and the refusal names the remedy")
    func insecure() throws {
        for url in [
            "http://127.0.0.1:9000", "http://localhost", "http://[::1]:80/", "https://s3.example.org",
            "http://a.localhost:1",
        ] {
            _ = try S3Endpoint.custom(url: url)
        }
        for url in [
            "http://s3.example.org", "http://127.0.0.1.example.org", "http://128.0.0.1", "http://localhost.evil:80",
        ] {
            #expect { try S3Endpoint.custom(url: url) } throws: { "\($0)".contains("allow_insecure") }
            _ = try S3Endpoint.custom(url: url, allowInsecure: true)
        }
    }

    @Test(
        "What is no endpoint is refused",
        arguments: [
            "", "s3.example.org", "ftp://x", "https://", "https://a/b", "https://a?b", "https://u@a", "https://a:99999",
            "https://a b",
        ])
    func malformed(_ url: String) {
        #expect(throws: ObjectStoreError.self) { try S3Endpoint.custom(url: url) }
    }

    @Test("Keys are encoded once; buckets stand in the host on AWS, in the path elsewhere or when they have a dot")
    func addresses() throws {
        let name = try key("private/eu-central-1:1/a b+%25.png")
        let path = "private/eu-central-1%3A1/a%20b%2B%2525.png"
        func text(_ endpoint: S3Endpoint, _ bucket: String, _ key: ObjectKey?, _ region: String = "eu-central-1")
            -> String
        {
            let address = endpoint.address(bucket: bucket, key: key, region: region)
            return "\(address.scheme)://\(address.host)\(address.path)"
        }
        #expect(text(.aws(), "files", name) == "https://files.s3.eu-central-1.amazonaws.com/\(path)")
        #expect(text(.aws(), "my.files", name) == "https://s3.eu-central-1.amazonaws.com/my.files/\(path)")
        #expect(text(.aws(), "files", nil, "cn-north-1") == "https://files.s3.cn-north-1.amazonaws.com.cn/")
        #expect(text(.aws(dualStack: true), "files", nil) == "https://files.s3.dualstack.eu-central-1.amazonaws.com/")
        #expect(text(try .custom(url: "https://S3.example.org:443/"), "files", nil) == "https://s3.example.org/files/")
        #expect(text(try .custom(url: "http://[::1]:9000"), "files", name) == "http://[::1]:9000/files/\(path)")
        #expect(
            text(try .custom(url: "https://h", addressing: .virtualHost), "files", name) == "https://files.h/\(path)")
    }

    @Test("Secrets do not print, whatever prints them")
    func secrets() throws {
        let credentials = Credentials(
            accessKeyID: "AKID", secretAccessKey: RedactedText("hidden-secret"),
            sessionToken: RedactedText("hidden-token"))
        var dumped = ""
        dump(credentials, to: &dumped)
        for text in [
            "\(credentials)", String(reflecting: credentials), dumped, String(describing: credentials.sessionToken),
        ] {
            #expect(!text.contains("hidden"))
        }
    }

    @Test("Credentials come from the usual variables, and a missing one is named")
    func environment() async throws {
        let all = ["AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"]
        let source = try EnvironmentCredentials { all[$0] }
        let found = try await source.credentials()
        #expect(found.accessKeyID == "id" && found.sessionToken == RedactedText("token"))
        #expect(try await EnvironmentCredentials { $0.hasSuffix("TOKEN") ? "" : "x" }.credentials().sessionToken == nil)
        #expect { try EnvironmentCredentials { $0 == "AWS_ACCESS_KEY_ID" ? "id" : nil } } throws: {
            "\($0)".contains("AWS_SECRET_ACCESS_KEY")
        }
        #expect(await code { _ = try await source.renew(after: found) } == .signInNeeded)
    }
}

/// SplitMix64.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}
