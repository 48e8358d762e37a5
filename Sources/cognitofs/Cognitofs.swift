import ArgumentParser
import Settings

/// The program: what `--help` shows, and which commands there are.
struct Cognitofs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cognitofs",
        abstract: "A Cognito user's private space in S3 as a directory.",
        discussion: """
            Sign in with `cognitofs login`, mount with `cognitofs mount DIR`, unmount with `cognitofs umount DIR`.

            \(ExitCode.table)

            As a helper of mount(8) the codes are those of mount(8): 0, 1, 2, 4, 8 and 32.
            """,
        version: "cognitofs \(programVersion)",
        subcommands: [
            LoginCommand.self, LogoutCommand.self, WhoamiCommand.self, MountCommand.self, UmountCommand.self,
            StatusCommand.self, SyncCommand.self, RetryCommand.self, DiscardCommand.self, ConfigCommand.self,
            VersionCommand.self,
        ])

    /// What is a command and so no SOURCE.
    static let subcommandNames: Set<String> = Set(
        configuration.subcommands.compactMap { $0.configuration.commandName } + ["help"])
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Show the version.")

    func run() { Console.line("cognitofs \(programVersion)") }
}
