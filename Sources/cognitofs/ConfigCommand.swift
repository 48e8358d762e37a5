import ArgumentParser
import Settings

struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Make or show the configuration.",
        subcommands: [ConfigImportCommand.self, ConfigShowCommand.self, ConfigExampleCommand.self])
}

struct ConfigExampleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "example", abstract: "Show a mount.conf that explains every setting and sets none.")

    func run() { Console.output(MountConfText.example()) }
}

struct ConfigShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show the settings in effect. The client secret is not shown.")

    @OptionGroup var settings: SettingsArguments

    func run() throws {
        let loaded = try settings.load()
        Console.line("# From \(loaded.file ?? "no file: nothing but defaults and options").")
        Console.output(Console.printable(MountConfText.effective(loaded.settings)))
    }
}

struct ConfigImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Write a mount.conf from the app's own configuration.",
        discussion: "Reads amplify_outputs.json, amplifyconfiguration.json, aws-exports.js, or a source file with "
            + "Amplify.configure({…}). Nothing in it is run.")

    @Argument(help: "The app's file.", completion: .file())
    var file: String

    @Option(
        help: "Write to this file, not to the usual place; - writes to standard output.",
        completion: .file())
    var output: String?

    @Option(help: "The key prefix of a user's files, with {identity_id} for the user.")
    var prefix: String?

    @Option(
        name: .customShort("o", allowingJoined: true), parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Set what the file lacks, such as bucket=NAME,region=REGION.", valueName: "name=value,..."))
    var options: [String] = []

    @Flag(help: "Replace a file that is there.")
    var force = false

    func run() throws {
        let base = Surroundings.workingDirectory
        let directories = Directories(environment: Surroundings.environment)
        let path = directories.absolute(file, below: base)
        let app = try AmplifyConfiguration.read(file: path)
        let options = try MountOptions(parsing: self.options)
        var settings = MountSettings()
        let given = prefix ?? options.assignments.last { $0.name == "prefix" }?.value
        let chosen = try given ?? choosePrefix(app)
        for note in try app.apply(to: &settings, prefix: chosen) { Console.note(note) }
        try settings.apply(options.assignments + (chosen.map { [("prefix", $0)] } ?? []))
        try tellMissing(app, settings)
        try settings.validate()
        let text = MountConfText.file(settings, comment: "Written by `cognitofs config import` from \(path).")
        try write(text, hasSecret: !settings.appClientSecret.isEmpty, directories, base)
    }

    /// Asks when the app gives each user several places and there is somebody to ask.
    private func choosePrefix(_ app: AmplifyConfiguration) throws -> String? {
        guard app.spaces.count > 1 else { return nil }
        guard let terminal = Terminal() else { return nil }
        let names = app.spaces.map { "\($0.prefix)  in \($0.bucket)" }
        return app.spaces[try terminal.choose("The app gives each user several places. Which one?", names)].prefix
    }

    private func tellMissing(_ app: AmplifyConfiguration, _ settings: MountSettings) throws(CommandFailure) {
        let isComplete = (try? settings.validateRequired()) != nil
        guard !isComplete, !app.missing.isEmpty else { return }
        throw CommandFailure(
            .configuration,
            "\(file), read as \(app.form.rawValue), has \(app.missing.joined(separator: ", ")). Add what is missing with "
                + "-o, as in -o bucket=NAME,region=REGION, or take the file of the deployed app.")
    }

    private func write(_ text: String, hasSecret: Bool, _ directories: Directories, _ base: String) throws {
        if output == "-" { return Console.output(text) }
        let usual = directories.configurationFiles.first ?? "/etc/cognitofs/mount.conf"
        let path = output.map { directories.absolute($0, below: base) } ?? usual
        try ConfigurationWriter.write(text, to: path, isPrivate: hasSecret, replacing: force)
        Console.line("Wrote \(path). Next: cognitofs login")
    }
}

extension MountSettings {
    fileprivate mutating func apply(_ assignments: [(name: String, value: String)]) throws(SettingsError) {
        for (name, value) in assignments { try set(name, to: value, origin: "The command line") }
    }
}
