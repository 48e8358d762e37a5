import Glibc
import Testing

@testable import Settings

@Suite("The commented mount.conf")
struct MountConfTextTests {
    private func example() throws -> String {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        return try SettingsFile(path: "/\(root)/mount.example.conf").text
    }

    @Test("mount.example.conf is what the table of settings says")
    func inStep() throws {
        #expect(try example() == MountConfText.example())
    }

    @Test("mount.example.conf lists every setting below its section, with its true default and what it may be")
    func complete() throws {
        let text = try example()
        for setting in Setting.all {
            let section = try #require(text.firstRange(of: "[\(setting.section.rawValue)]\n"))
            let line = try #require(text.firstRange(of: "\n#\(setting.name) = "))
            #expect(section.lowerBound < line.lowerBound)
            if let value = setting.defaultText { #expect(text.contains("\n#\(setting.name) = \(value)\n")) }
        }
        let flowing = text.split(separator: "\n").map { $0.drop { $0 == "#" || $0 == " " } }.joined(separator: " ")
        for setting in Setting.all { #expect(flowing.contains("It is \(setting.expectation).")) }
    }

    @Test("mount.example.conf changes nothing when its lines are taken in")
    func truth() throws {
        let lines = try example().split(separator: "\n").map { line -> Substring in
            let isSetting = Setting.all.contains { line.hasPrefix("#\($0.name) = ") && $0.defaultText != nil }
            return isSetting ? line.dropFirst() : line
        }
        var settings = MountSettings()
        let file = SettingsFile(path: "example", text: lines.joined(separator: "\n"), mode: 0o600)
        #expect(try MountConf.assignments(file).count == Setting.all.count { $0.defaultText != nil })
        try MountConf.read(file, into: &settings)
        #expect(settings == MountSettings())
    }

    @Test("reads back as the settings it was written from")
    func roundTrip() throws {
        var settings = MountSettings()
        settings.userPoolID = "eu-west-1_Ab3dEf9Hi"
        settings.appClientSecret = #"a"b\c"#
        settings.prefix = "media/{identity_id}/Bilder ä/"
        settings.umask = 0o7
        settings.uid = 0
        settings.freshness = 0.5
        settings.cacheSize = (10 << 30) + 1
        settings.allowInsecure = true
        let text = MountConfText.file(settings, comment: "From a test.\nTwo lines.")
        var read = MountSettings()
        try MountConf.read(SettingsFile(path: "m.conf", text: text, mode: 0o600), into: &read)
        #expect(read == settings)
    }

    @Test("is shown without the secret")
    func redacted() {
        var settings = MountSettings()
        settings.appClientSecret = "hush"
        #expect(!MountConfText.effective(settings).contains("hush"))
        #expect(MountConfText.effective(settings).contains("app_client_secret = \"(not shown)\""))
    }
}
