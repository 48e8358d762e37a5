import ArgumentParser
import Settings

/// The options with which every command that needs settings finds them.
struct SettingsArguments: ParsableArguments, Sendable {
    @Option(
        help: ArgumentHelp(
            "Read settings from this mount.conf, or from the app's own Amplify configuration.", valueName: "file"),
        completion: .file())
    var config: String?

    @Option(
        name: .customShort("o", allowingJoined: true), parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Set settings by name, over those of the file.", valueName: "name=value,..."))
    var options: [String] = []

    @Option(
        help: ArgumentHelp("Keep the sign-in and changes on their way here.", valueName: "directory"),
        completion: .directory)
    var stateDir: String?

    /// Reads the settings and tells the warnings. `flags` go over everything else.
    func load(
        flags: [(name: String, value: String)] = [], ignoringUnknown: Bool = false
    ) throws(SettingsError) -> LoadedSettings {
        var sources = SettingsSources(
            environment: Surroundings.environment, workingDirectory: Surroundings.workingDirectory)
        sources.config = config
        sources.options = options
        sources.ignoresUnknownOptions = ignoringUnknown
        sources.flags = stateDir.map { [("state_directory", $0)] } ?? []
        sources.flags += flags
        let loaded = try sources.load()
        loaded.warnings.forEach(Console.note)
        return loaded
    }
}

extension LoadedSettings {
    /// The message of `error` with where the settings came from, when that is what a person needs to know first.
    func explained(_ error: SettingsError) -> SettingsError {
        guard error.code == .incomplete, file == nil else { return error }
        let places = directories.configurationFiles.joined(separator: " or ")
        return SettingsError(.incomplete, "There is no configuration in \(places). \(error.message)")
    }
}
