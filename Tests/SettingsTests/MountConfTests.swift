import Testing

@testable import Settings

@Suite("mount.conf")
struct MountConfTests {
    private func read(_ text: String) throws -> MountSettings {
        var settings = MountSettings()
        try MountConf.read(SettingsFile(path: "m.conf", text: text, mode: 0o600), into: &settings)
        return settings
    }

    private func message(_ text: String) -> String {
        do {
            _ = try read(text)
            return "accepted"
        } catch {
            return "\(error)"
        }
    }

    @Test(
        "says file, line, what is wrong and what was probably meant",
        arguments: [
            ("[mount]\nfreshnes = 5", "m.conf:2: there is no setting freshnes in [mount]. Did you mean `freshness`?"),
            (
                "\n[moumt]\nx = 1",
                "m.conf:2: there is no section [moumt]; there are [app], [mount], [cache], [network]. Did you mean `mount`?"
            ),
            ("# x\nbucket = \"photos\"", "m.conf:2: bucket belongs below [app]."),
            ("[app]\nfreshness = 5", "m.conf:2: freshness belongs below [mount], not [app]."),
            ("mount = 3", "m.conf:1: mount is a section; write [mount] on a line of its own."),
            (
                "[network]\nconnections = 0",
                "m.conf:2: network.connections must be a whole number from 1 to 256, not 0."
            ),
            (
                "[network]\nconnections = \"4\"",
                "m.conf:2: network.connections must be a whole number from 1 to 256, not \"4\"."
            ),
            ("[mount]\nread_only = \"yes\"", "m.conf:2: mount.read_only must be true or false, not \"yes\"."),
            ("[mount]\nread_only = [true]", "m.conf:2: mount.read_only must be true or false, not a list."),
            (
                "[app]\nbucket = 1979-05-27",
                "m.conf:2: app.bucket must be a bucket's name of 3 to 63 letters, digits, dots and hyphens, not a date or time of day."
            ),
            (
                "[app]\nregion = \"Europe\"",
                "m.conf:2: app.region must be a region such as \"eu-west-1\", not \"Europe\"."
            ),
            (
                "[mount]\numask = 77",
                "m.conf:2: mount.umask must be permission bits in octal, in quotes, from \"000\" to \"777\", not 77."
            ),
            (
                "[mount]\ndurability = \"disk\"",
                "m.conf:2: mount.durability must be \"local\" or \"remote\", not \"disk\"."
            ),
        ])
    func refusals(text: String, expected: String) {
        #expect(message(text) == expected)
    }

    @Test("names the unknown setting even when nothing is near it")
    func nothingNear() {
        #expect(message("[cache]\nwarp = 1").contains("[cache] has directory, state_directory, size, seal."))
    }

    @Test(
        "gives the place of what isn't TOML",
        arguments: ["[mount\n", "[app]\nbucket = \n", "[app]\nregion = \"a\"\nregion = \"b\"\n"])
    func notTOML(text: String) {
        #expect(message(text).contains(#/^m\.conf:\d+:\d+: not TOML: /#))
    }

    @Test(
        "refuses ids of a wrong shape",
        arguments: [
            ("user_pool_id", "eu-west-1"), ("user_pool_id", "eu-west-1_a b"), ("user_pool_id", "europe_Ab3dEf9Hi"),
            ("user_pool_id", "eu-west-1_"), ("identity_pool_id", "eu-west-1:1234"),
            ("identity_pool_id", "f602c14b-0fde-409c-9a7e-0baccbfd87d0"), ("app_client_id", "a b"),
            ("app_client_id", "a/b"), ("bucket", "ab"), ("bucket", "a/b/c"), ("bucket", "a..b"),
            ("region", "eu west"), ("s3_endpoint", "s3.example.com"), ("s3_endpoint", "https://h/path"),
            ("s3_endpoint", "https://user@h"), ("s3_endpoint", "https://h:99999"), ("s3_endpoint", "http://[::1"),
            ("prefix", "/private/{identity_id}"), ("prefix", "private//{identity_id}"), ("prefix", "a/../b"),
            ("prefix", "private/{identity}"), ("prefix", "./x"),
        ])
    func shapes(name: String, value: String) {
        #expect(message("[app]\n\(name) = \"\(value)\"").contains("app.\(name) must be "))
    }

    @Test("never repeats a secret in a message")
    func secret() {
        let text = message("[app]\napp_client_secret = \"hush hush\"")
        #expect(text.contains("app.app_client_secret must be"))
        #expect(!text.contains("hush"))
    }

    @Test("takes sizes and times as numbers and as text with a unit")
    func quantities() throws {
        let settings = try read(
            """
            [mount]
            freshness = 2.5
            drain = "10 min"
            quota = "1.5 TiB"
            umask = "027"
            [cache]
            size = 1073741824
            [network]
            memory = "256MB"
            """)
        #expect(settings.freshness == 2.5)
        #expect(settings.drain == 600)
        #expect(settings.quota == 3 << 39)
        #expect(settings.umask == 0o027)
        #expect(settings.cacheSize == 1 << 30)
        #expect(settings.memory == 256_000_000)
    }

    @Test("closes a prefix with a slash and keeps one that is")
    func prefix() throws {
        #expect(try read("[app]\nprefix = \"private/{identity_id}\"").prefix == "private/{identity_id}/")
        #expect(try read("[app]\nprefix = \"public/\"").prefix == "public/")
    }

    @Test("finds the line behind comments, quotes and dotted keys")
    func lines() {
        let index = LineIndex("# a = 1\n[ \"mount\" ]\n\n'drain' = 1\n[app] # here\nbucket='b'\n")
        #expect(index.line(ofSection: "mount") == 2)
        #expect(index.line(of: "drain", in: "mount") == 4)
        #expect(index.line(of: "bucket", in: "app") == 6)
        #expect(LineIndex("mount.drain = 1").line(of: "drain", in: "mount") == 1)
    }
}

@Suite("Sizes and times")
struct QuantityTests {
    @Test(
        "are refused when they aren't plain",
        arguments: [
            "", "GiB", "-1", "+1", "1..2", ".5", "5.", "1e3", "1 gib", "10 GiBs", "9999999999 PiB",
            "99999999999999999999999",
        ])
    func badSizes(text: String) {
        #expect(Quantity.size(text) == nil)
    }

    @Test("are refused when the unit is of something else", arguments: ["5 GiB", "s", "1:00", "5 S", "nan", "inf"])
    func badTimes(text: String) {
        #expect(Quantity.seconds(text) == nil)
    }

    @Test("have binary and decimal units")
    func units() {
        #expect(Quantity.size("10 GiB") == 10 << 30)
        #expect(Quantity.size("10G") == 10 << 30)
        #expect(Quantity.size(" 10 GB ") == 10_000_000_000)
        #expect(Quantity.size("0") == 0)
        #expect(Quantity.seconds("250 ms") == 0.25)
        #expect(Quantity.seconds("1.5 h") == 5400)
    }

    @Test(
        "are written so that they read back as the same",
        arguments: [1, 1023, 1 << 20, 10 << 30, (1 << 30) + 1, 3 << 39])
    func roundTrip(bytes: Int) {
        #expect(Quantity.size(Quantity.text(bytes: Int64(bytes))) == Int64(bytes))
        #expect(Quantity.seconds(Quantity.text(seconds: Double(bytes))) == Double(bytes))
    }
}
