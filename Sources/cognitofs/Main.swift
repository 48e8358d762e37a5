import ArgumentParser
import Cognito
import Glibc

@main
enum Main {
    static func main() {
        CoreDumps.disable()
        // A peer or a pager that goes away is an error of that write, not the end of the program.
        signal(SIGPIPE, SIG_IGN)
        switch Invocation(CommandLine.arguments) {
        case .command(let arguments): run(arguments, isHelper: false)
        case .mountHelper(let arguments): run(arguments, isHelper: true)
        case .wrong(let message): end(CommandFailure(.usage, message), isHelper: true)
        }
    }

    private static func run(_ arguments: [String], isHelper: Bool) -> Never {
        do {
            var command = try Cognitofs.parseAsRoot(arguments)
            if let command = command as? any WaitingCommand { waitFor(command) }
            try command.run()
            leave(0)
        } catch {
            end(error, isHelper: isHelper)
        }
    }

    /// Runs a command that waits for servers; everything else must not have a second thread.
    private static func waitFor(_ command: any WaitingCommand) -> Never {
        Task.detached {
            do {
                try await command.runWaiting()
                leave(0)
            } catch {
                end(error, isHelper: false)
            }
        }
        while true { pause() }
    }

    private static func end(_ error: any Error, isHelper: Bool) -> Never {
        if let failure = CommandFailure(error) {
            Console.note(failure.message)
            leave(isHelper ? failure.code.forMountHelper : failure.code.rawValue)
        }
        if let code = error as? ArgumentParser.ExitCode { leave(code.rawValue) }
        let message = Cognitofs.fullMessage(for: error)
        if Cognitofs.exitCode(for: error).isSuccess {
            Console.line(message)
            leave(0)
        }
        if Cognitofs.exitCode(for: error) == .validationFailure {
            Console.error(message + "\n")
            leave(isHelper ? ExitCode.usage.forMountHelper : ExitCode.usage.rawValue)
        }
        Console.note("\(error)")
        leave(isHelper ? ExitCode.internalError.forMountHelper : ExitCode.internalError.rawValue)
    }
}

/// Ends the process at once. Tasks may be at work still, and a library's own ending would take its locks away from under them.
func leave(_ code: Int32) -> Never {
    fflush(nil)
    _exit(code)
}

/// A command that speaks to servers.
protocol WaitingCommand: ParsableCommand, Sendable {
    func runWaiting() async throws
}

extension WaitingCommand {
    func run() throws { throw CommandFailure(.internalError, "This command waits for servers and was run without.") }
}
