import Glibc
import Testing

@testable import Settings

@Suite("Settings as a whole")
struct ValidationTests {
    private static func complete() -> MountSettings {
        var settings = MountSettings()
        settings.userPoolID = "eu-west-1_Ab3dEf9Hi"
        settings.appClientID = "1example23456789"
        settings.identityPoolID = "eu-west-1:f602c14b-0fde-409c-9a7e-0baccbfd87d0"
        settings.bucket = "photos"
        settings.region = "eu-west-1"
        return settings
    }

    private func message(_ change: (inout MountSettings) -> Void) -> String {
        var settings = Self.complete()
        change(&settings)
        do {
            try settings.validate()
            return "accepted"
        } catch {
            return error.message
        }
    }

    @Test("need the app for a sign-in, and only the bucket for credentials of the environment")
    func required() {
        #expect(message { _ in } == "accepted")
        #expect(message { $0.userPoolID = "" }.hasPrefix("app.user_pool_id isn't set."))
        #expect(message { $0.appClientID = "" }.hasPrefix("app.app_client_id isn't set."))
        #expect(message { $0.identityPoolID = "" }.hasPrefix("app.identity_pool_id isn't set."))
        #expect(message { $0.bucket = "" }.hasPrefix("app.bucket isn't set."))
        #expect(message { $0.region = "" }.hasPrefix("app.region isn't set."))
        var servers = MountSettings()
        servers.credentials = .environment
        servers.bucket = "photos"
        servers.region = "eu-west-1"
        servers.prefix = ""
        #expect(throws: Never.self) { try servers.validate() }
        #expect(throws: SettingsError.self) { try servers.validateSignIn() }
    }

    @Test("keep each user's space apart")
    func prefixes() {
        #expect(message { $0.prefix = "" }.contains("would be the same for every user"))
        #expect(message { $0.prefix = "photos/" }.contains("would be the same for every user"))
        #expect(message { $0.prefix = "public/" } == "accepted")
        #expect(message { $0.prefix = "media/{identity_id}/" } == "accepted")
        #expect(message { $0.credentials = .environment }.contains("has an {identity_id}"))
    }

    @Test(
        "allow http:// on this machine only",
        arguments: [
            ("http://s3.example.com", false), ("http://10.0.0.1:9000", false), ("http://127.0.0.1.example.com", false),
            ("http://localhost.example.com", false), ("http://127.0.0.1:9000", true), ("http://[::1]:9000", true),
            ("http://localhost", true), ("https://s3.example.com", true),
        ])
    func insecure(endpoint: String, isAllowed: Bool) {
        #expect((message { $0.s3Endpoint = endpoint } == "accepted") == isAllowed)
        #expect((message { $0.userPoolEndpoint = endpoint } == "accepted") == isAllowed)
        #expect((message { $0.identityPoolEndpoint = endpoint } == "accepted") == isAllowed)
        #expect(message { ($0.s3Endpoint, $0.allowInsecure) = (endpoint, true) } == "accepted")
    }

    @Test("want an authority file that can be read, and AWS's own names on AWS")
    func others() {
        #expect(
            message { $0.caFile = "/nonexistent/ca.pem" }.contains("network.ca_file /nonexistent/ca.pem can't be read"))
        #expect(message { $0.region = "garage" }.contains("must be one of AWS's"))
        #expect(message { ($0.region, $0.s3Endpoint) = ("garage", "https://s3.example.com") } == "accepted")
        #expect(message { $0.bucket = "Photos" }.contains("names there have no capitals"))
    }
}

@Suite("Configuration files")
struct SettingsFileTests {
    /// Runs `body` with the path of a file of that text and mode.
    private func withFile(_ text: String, mode: mode_t, _ body: (String) throws -> Void) throws {
        var template = Array("/tmp/cognitofs-settings-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        try #require(descriptor >= 0)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { unlink(path) }
        let bytes = Array(text.utf8)
        try #require(write(descriptor, bytes, bytes.count) == bytes.count)
        fchmod(descriptor, mode)
        close(descriptor)
        try body(path)
    }

    private func load(_ path: String) throws(SettingsError) -> LoadedSettings {
        var sources = SettingsSources(environment: ["HOME": "/nowhere"], workingDirectory: "/")
        sources.config = path
        return try sources.load()
    }

    @Test("with a secret are refused when everybody reads them, and complained about when a group does")
    func secrecy() throws {
        let text = "[app]\napp_client_secret = \"s\"\n"
        try withFile(text, mode: 0o644) { path in
            let error = #expect(throws: SettingsError.self) { try load(path) }
            #expect(error?.code == .exposed)
            #expect(error?.message.contains("chmod 600 '\(path)'") == true)
        }
        try withFile(text, mode: 0o640) { path in
            let warnings = try load(path).warnings
            #expect(warnings.count == 1)
        }
        try withFile(text, mode: 0o600) { path in
            let warnings = try load(path).warnings
            #expect(warnings.isEmpty)
        }
        try withFile("[app]\n", mode: 0o644) { path in
            let warnings = try load(path).warnings
            #expect(warnings.isEmpty)
        }
    }

    @Test("are refused when everybody can change them")
    func writable() throws {
        try withFile("[app]\n", mode: 0o602) { path in
            #expect(throws: SettingsError.self) { try load(path) }
        }
    }

    @Test("are refused when they are no text, too large, missing or no file")
    func unusable() throws {
        try withFile("[app]\u{0}\n", mode: 0o600) { path in #expect(throws: SettingsError.self) { try load(path) } }
        try withFile(String(repeating: "#\n", count: 600_000), mode: 0o600) { path in
            #expect(throws: SettingsError.self) { try load(path) }
        }
        #expect(throws: SettingsError.self) { try load("/nonexistent/mount.conf") }
        #expect(throws: SettingsError.self) { try load("/tmp") }
    }

    @Test("say paths relative to themselves")
    func relativePaths() throws {
        try withFile("[network]\nca_file = \"certs/ca.pem\"\n[cache]\ndirectory = \"~/c\"\n", mode: 0o600) { path in
            let loaded = try load(path)
            #expect(loaded.settings.caFile == "/tmp/certs/ca.pem")
            #expect(loaded.settings.cacheDirectory == "/nowhere/c")
        }
    }
}

@Suite("Directories")
struct DirectoriesTests {
    @Test("follow the XDG variables for a user and not for root, and ignore relative ones")
    func places() {
        let user = Directories(
            environment: ["HOME": "/home/a", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "relative"], userID: 1000)
        #expect(user.stateRoot == "/s/cognitofs")
        #expect(user.cacheRoot == "/home/a/.cache/cognitofs")
        #expect(user.configurationFiles == ["/home/a/.config/cognitofs/mount.conf", "/etc/cognitofs/mount.conf"])
        let root = Directories(environment: ["HOME": "/root", "XDG_STATE_HOME": "/s"], userID: 0)
        #expect(root.stateRoot == "/var/lib/cognitofs")
        #expect(root.cacheRoot == "/var/cache/cognitofs")
    }

    @Test("keep two apps apart, and the keys apart from what they open")
    func profiles() {
        let directories = Directories(environment: ["HOME": "/home/a"], userID: 1000)
        var one = MountSettings()
        one.userPoolID = "eu-west-1_A"
        one.appClientID = "c"
        var two = one
        two.appClientID = "d"
        let (first, second) = (StatePaths(one, directories), StatePaths(two, directories))
        #expect(first.session == "/home/a/.local/state/cognitofs/eu-west-1_A-c/session")
        #expect(first.directory != second.directory)
        #expect(first.cache != second.cache)
        #expect(first.keys != second.keys)
        #expect(!first.keys.hasPrefix(first.directory + "/"))
        var server = MountSettings()
        server.credentials = .environment
        server.bucket = "../x"
        var other = server
        other.s3Endpoint = "http://127.0.0.1:1"
        #expect(!StatePaths(server, directories).profile.contains("/"))
        #expect(StatePaths(server, directories).profile != StatePaths(other, directories).profile)
    }
}
