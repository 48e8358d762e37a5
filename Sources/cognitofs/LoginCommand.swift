import ArgumentParser
import Cognito
import MountRuntime
import Settings

struct LoginCommand: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "login", abstract: "Sign in. A mount that waits for it goes on by itself.")

    @OptionGroup var settings: SettingsArguments

    @Option(name: .shortAndLong, help: "The user name; asked for if not given.")
    var username: String?

    @Flag(help: "Read the password from standard input instead of asking on the terminal.")
    var passwordStdin = false

    /// Typing it wrong three times is enough before the pool begins to make everybody wait.
    private static let tries = 3

    func runWaiting() async throws {
        let signIn = try SignIn(settings)
        let name = try username ?? askUsername()
        // As early as it can be known, and again when it is certain: nothing of somebody else is asked for or stored.
        try refuseOther(signIn) { $0.mayBeCalled(name) }
        let session = try await session(signIn, name)
        do throws(CommandFailure) {
            try refuseOther(signIn) { $0.identityID == session.identityID }
        } catch {
            await signIn.client.giveBack(session)
            throw error
        }
        try await signIn.store.begin(session)
        let space = signIn.space(of: session.identityID)
        Console.line(
            Console.printable("Signed in as \(session.signInName)." + (space.isEmpty ? "" : " Space: \(space)")))
    }

    private func session(_ signIn: SignIn, _ name: String) async throws -> AuthSession {
        let prompt = TerminalPrompt()
        if passwordStdin {
            let password = try StandardInput.password()
            return try await signIn.client.signIn(username: name, password: password, prompt: prompt)
        }
        for attempt in 1...Self.tries {
            let password = try askPassword(name)
            do throws(CognitoError) {
                return try await signIn.client.signIn(username: name, password: password, prompt: prompt)
            } catch {
                guard error.code == .wrongPassword, attempt < Self.tries else { throw error }
                Console.note(error.description)
            }
        }
        throw CommandFailure(.internalError, "The sign-in ended without a reason.")
    }

    /// Another user's changes could not go to S3 any more.
    private func refuseOther(_ signIn: SignIn, isSame: (AuthSession) -> Bool) throws(CommandFailure) {
        guard let former = try? signIn.store.load(), !isSame(former) else { return }
        guard let queue = signIn.queues(of: former.identityID).first else { return }
        throw CommandFailure(
            .signIn,
            "S3 doesn't have everything of \(former.signInName) yet: \(queue.description). Sign in as "
                + "\(former.signInName) and run `cognitofs sync`, or lose the changes with `cognitofs logout --discard`."
        )
    }

    private func askUsername() throws(CommandFailure) -> String {
        guard let terminal = Terminal() else {
            throw CommandFailure(.usage, "There is no terminal to ask on. Give --username and --password-stdin.")
        }
        let name = try terminal.ask("User name: ")
        guard !name.isEmpty else { throw CommandFailure(.usage, "No user name was given.") }
        return name
    }

    private func askPassword(_ name: String) throws(CommandFailure) -> Secret {
        guard let terminal = Terminal() else {
            throw CommandFailure(.usage, "There is no terminal to ask for the password on. Use --password-stdin.")
        }
        return try terminal.askHidden("Password of \(name): ")
    }
}

struct LogoutCommand: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "logout",
        abstract: "Sign out. What is cached on this machine can never be read again.")

    @OptionGroup var settings: SettingsArguments

    @Flag(help: "Sign out even if changes are not on S3 yet; they are lost.")
    var discard = false

    func runWaiting() async throws {
        let signIn = try SignIn(settings)
        if !discard { try refusePending(signIn) }
        let key = (try? signIn.store.load()).flatMap { try? signIn.store.dataKey(for: $0.identityID) }
        let problem = try await signIn.client.signOut(signIn.store)
        if let key { LeftQueue.removeJournals(in: signIn.paths.journal, key: key) }
        if let problem {
            Console.note("Signed out on this machine, but the pool could not be told: \(problem)")
        } else {
            Console.line("Signed out.")
        }
    }

    /// Changes on their way could not be read any more.
    private func refusePending(_ signIn: SignIn) throws(CommandFailure) {
        guard let identity = try? signIn.store.load().identityID,
            let queue = signIn.queues(of: identity).first
        else { return }
        let sync = queue.mountPoint == nil ? "Mount it and run `cognitofs sync`" : "Run `cognitofs sync`"
        throw CommandFailure(
            .temporary, "S3 doesn't have everything yet: \(queue.description). \(sync), or lose them with --discard.")
    }
}
