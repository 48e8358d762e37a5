/// What `-o` says: settings by their names, and the words that mount(8) and fstab know.
public struct MountOptions: Sendable, Equatable {
    /// Settings with their values, in the order given.
    public var assignments: [(name: String, value: String)] = []
    /// `config=FILE`.
    public var config: String?
    /// What the kernel carries out.
    public var kernelOptions: [String] = []

    public init() {}

    public static func == (a: MountOptions, b: MountOptions) -> Bool {
        a.config == b.config && a.kernelOptions == b.kernelOptions
            && a.assignments.map { "\($0.name)=\($0.value)" } == b.assignments.map { "\($0.name)=\($0.value)" }
    }

    /// Words for mount(8) itself, for init and for libfuse, which say nothing to a mount.
    private static let ignored: Set<String> = [
        "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail", "_netdev",
        "default_permissions",
        "nonempty", "rw", "async", "noiversion", "silent", "loud",
    ]
    private static let ignoredWithValue: Set<String> = ["comment", "fsname", "subtype", "helper", "uhelper"]
    private static let kernelWords: Set<String> = [
        "exec", "noexec", "suid", "nosuid", "dev", "nodev", "atime", "noatime", "relatime", "norelatime", "strictatime",
        "nostrictatime", "diratime", "nodiratime", "lazytime", "nolazytime", "sync", "dirsync",
    ]

    /// Reads the texts of one or more `-o`. A comma in a value is written `\,`. `ignoringUnknown` is the `-s` of mount(8).
    public init(parsing texts: [String], ignoringUnknown: Bool = false) throws(SettingsError) {
        for text in texts {
            for word in Self.words(text) where !word.isEmpty {
                let name = String(word.prefix { $0 != "=" })
                if ignoringUnknown, !Self.isKnown(name) { continue }
                try add(word)
            }
        }
    }

    private static func isKnown(_ name: String) -> Bool {
        setting(name) != nil || ignored.contains(name) || ignoredWithValue.contains(name) || kernelWords.contains(name)
            || ["ro", "rw", "config"].contains(name)
    }

    private mutating func add(_ word: String) throws(SettingsError) {
        let name = String(word.prefix { $0 != "=" })
        let value = name.count == word.count ? nil : String(word.dropFirst(name.count + 1))
        if name.hasPrefix("x-") || name.hasPrefix("X-") { return }
        switch (name, value) {
        case ("ro", nil): assignments.append(("read_only", "true"))
        case ("rw", nil): assignments.append(("read_only", "false"))
        case ("config", let value?) where !value.isEmpty: config = value
        case (_, nil) where Self.ignored.contains(name): break
        case (_, .some) where Self.ignoredWithValue.contains(name): break
        case (_, nil) where Self.kernelWords.contains(name): kernelOptions.append(name)
        default: try addSetting(name, value)
        }
    }

    private mutating func addSetting(_ name: String, _ value: String?) throws(SettingsError) {
        guard let setting = Self.setting(name) else {
            let known = Setting.all.map(\.name) + Self.ignored + Self.kernelWords + ["config", "ro"]
            throw SettingsError(
                .badOption, "There is no option \(name).\(suggestion(for: name, in: known.sorted()))")
        }
        guard !setting.isSecret else {
            throw SettingsError(
                .badOption,
                "\(setting.name) can't be given as an option, because everybody on this machine can read the command "
                    + "line. Write it into mount.conf.")
        }
        if let value { return assignments.append((setting.name, value)) }
        guard case .flag = setting.form else {
            throw SettingsError(.badOption, "The option \(name) needs a value: \(name)=VALUE, \(setting.expectation).")
        }
        assignments.append((setting.name, "true"))
    }

    /// By name, by section and name, or by another spelling.
    static func setting(_ name: String) -> Setting? {
        Setting.named(name) ?? Setting.all.first { $0.aliases.contains(name) }
    }

    private static func words(_ text: String) -> [String] {
        var words = [""]
        var escaped = false
        for character in text {
            switch character {
            case "\\" where !escaped: escaped = true
            case "," where !escaped: words.append("")
            default:
                if escaped, character != ",", character != "\\" { words[words.count - 1].append("\\") }
                words[words.count - 1].append(character)
                escaped = false
            }
        }
        if escaped { words[words.count - 1].append("\\") }
        return words
    }
}

extension MountSettings {
    /// Puts one setting by name into place, as `-o` and flags do. `origin` begins the message if it can't be.
    public mutating func set(_ name: String, to value: String, origin: String) throws(SettingsError) {
        guard let setting = MountOptions.setting(name) else {
            throw SettingsError(.badOption, "\(origin): there is no setting \(name).")
        }
        guard setting.form.store(.word(value), in: &self) else {
            let found = RawValue.word(value).shown
            throw SettingsError(
                .badOption, "\(origin): \(setting.name) must be \(setting.expectation), not \(found).")
        }
    }
}
