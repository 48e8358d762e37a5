import Glibc

/// Settings with their history: which file they came from, and what a person should be told.
public struct LoadedSettings: Sendable {
    public var settings: MountSettings
    /// The file that was read; nil if there is none in the usual places and none was named.
    public let file: String?
    /// Sentences for standard error; nothing here stops anything.
    public let warnings: [String]
    public let directories: Directories

    public var paths: StatePaths { StatePaths(settings, directories) }
}

/// Where settings come from, the weakest first: defaults, file, `-o`, flags.
public struct SettingsSources: Sendable {
    /// `--config`; nil looks in the usual places.
    public var config: String?
    /// The texts of `-o`.
    public var options: [String] = []
    /// Pass over options that don't exist.
    public var ignoresUnknownOptions = false
    /// Flags of the command line, by setting name.
    public var flags: [(name: String, value: String)] = []
    public var environment: [String: String]
    /// Relative paths of options and flags lie below it.
    public var workingDirectory: String

    public init(environment: [String: String], workingDirectory: String) {
        self.environment = environment
        self.workingDirectory = workingDirectory
    }

    /// Reads and puts together; checks each value, not yet whether the whole suffices (`MountSettings.validate`).
    public func load() throws(SettingsError) -> LoadedSettings {
        let options = try MountOptions(parsing: self.options, ignoringUnknown: ignoresUnknownOptions)
        let directories = Directories(environment: environment)
        var settings = MountSettings()
        var warnings: [String] = []
        let path = try configurationPath(named: config ?? options.config, directories)
        if let path {
            let chosenPrefix = (options.assignments + flags).last { $0.name == "prefix" }?.value
            warnings = try Self.read(path, prefix: chosenPrefix, into: &settings)
            settings.makePathsAbsolute(below: Self.parent(path), directories)
        }
        for (name, value) in options.assignments { try settings.set(name, to: value, origin: "-o") }
        for (name, value) in flags { try settings.set(name, to: value, origin: "The command line") }
        settings.makePathsAbsolute(below: workingDirectory, directories)
        settings.kernelOptions = options.kernelOptions
        return LoadedSettings(settings: settings, file: path, warnings: warnings, directories: directories)
    }

    private func configurationPath(
        named path: String?, _ directories: Directories
    ) throws(SettingsError) -> String? {
        if let path { return directories.absolute(path, below: workingDirectory) }
        // A file that is there and can't be read is an error of its own, not a reason to look further.
        return directories.configurationFiles.first { access($0, F_OK) == 0 }
    }

    private static func read(
        _ path: String, prefix: String?, into settings: inout MountSettings
    ) throws(SettingsError) -> [String] {
        let file = try SettingsFile(path: path)
        var warnings: [String] = []
        if AmplifyConfiguration.looksLikeOne(file) {
            let app = try AmplifyConfiguration(file)
            warnings += try app.apply(to: &settings, prefix: prefix)
        } else {
            try MountConf.read(file, into: &settings)
        }
        if !settings.appClientSecret.isEmpty { warnings += try file.checkSecrecy() }
        return warnings
    }

    private static func parent(_ path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    }
}

extension MountSettings {
    fileprivate mutating func makePathsAbsolute(below base: String, _ directories: Directories) {
        for setting in Setting.all {
            guard case .text(let field, .path) = setting.form else { continue }
            self[keyPath: field] = directories.absolute(self[keyPath: field], below: base)
        }
    }
}
