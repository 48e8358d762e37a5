import Testing

@testable import Settings

@Suite("-o")
struct MountOptionsTests {
    private func message(_ text: String) -> String {
        do throws(SettingsError) {
            var settings = MountSettings()
            for (name, value) in try MountOptions(parsing: [text]).assignments {
                try settings.set(name, to: value, origin: "-o")
            }
            return "accepted"
        } catch {
            #expect(error.code == .badOption)
            return error.message
        }
    }

    @Test(
        "refuses what it doesn't know, with a guess where there is one",
        arguments: [
            ("alow_other", "There is no option alow_other. Did you mean `allow_other`?"),
            ("nonsense=1", "There is no option nonsense."),
            ("freshness", "The option freshness needs a value"),
            ("freshness=soon", "-o: freshness must be a time from 0 s to 1 d"),
            ("connections=+4", "-o: connections must be a whole number from 1 to 256, not \"+4\"."),
            ("uid=4294967295", "-o: uid must be a whole number from 0 to 4294967294"),
            ("umask=888", "-o: umask must be permission bits"),
            ("app_client_secret=abc", "app_client_secret can't be given as an option"),
        ])
    func refusals(text: String, expected: String) {
        #expect(message(text).hasPrefix(expected))
    }

    @Test("takes every setting but the secret by name, by section and name, and by alias")
    func everySetting() throws {
        for setting in Setting.all where !setting.isSecret {
            let plain = setting.defaultText.map { $0.replacing("\"", with: "") } ?? "0"
            for name in [setting.name, setting.qualifiedName] + setting.aliases {
                var settings = MountSettings()
                let options = try MountOptions(parsing: ["\(name)=\(plain)"])
                try #require(options.assignments.count == 1)
                try settings.set(options.assignments[0].name, to: options.assignments[0].value, origin: "-o")
                #expect(setting.defaultText == nil || settings == MountSettings())
            }
        }
    }

    @Test("gives each name to one setting only")
    func namesAreUnique() {
        let names = Setting.all.flatMap { [$0.name, $0.qualifiedName] + $0.aliases }
        #expect(Set(names).count == names.count)
    }

    @Test("passes over the words of fstab and keeps those of the kernel")
    func words() throws {
        let options = try MountOptions(
            parsing: [
                "defaults,noauto,user,_netdev,nofail,x-systemd.automount,X-mount.mkdir,comment=hi",
                "rw,noexec,noatime,nosuid",
            ])
        #expect(options.assignments.map(\.name) == ["read_only"])
        #expect(options.assignments.map(\.value) == ["false"])
        #expect(options.kernelOptions == ["noexec", "noatime", "nosuid"])
    }

    @Test("keeps a comma that is escaped, and a backslash that escapes nothing")
    func escapes() throws {
        let options = try MountOptions(parsing: [#"config=/a\,b/m.conf,ro,prefix=public/a\b/"#])
        #expect(options.config == "/a,b/m.conf")
        #expect(options.assignments.map(\.value) == ["true", #"public/a\b/"#])
    }

    @Test("lets the last of several win")
    func lastWins() throws {
        var sources = SettingsSources(environment: ["HOME": "/nowhere"], workingDirectory: "/w")
        sources.config = nil
        sources.options = ["freshness=1", "freshness=2,cache_dir=c"]
        sources.flags = [("connections", "3"), ("directory", "d")]
        let loaded = try sources.load()
        #expect(loaded.settings.freshness == 2)
        #expect(loaded.settings.connections == 3)
        #expect(loaded.settings.cacheDirectory == "/w/d")
    }

    @Test("passes over unknown options only when told to")
    func sloppy() throws {
        #expect(try MountOptions(parsing: ["bogus,ro"], ignoringUnknown: true).assignments.map(\.name) == ["read_only"])
        #expect(throws: SettingsError.self) { try MountOptions(parsing: ["bogus,ro"]) }
    }
}
