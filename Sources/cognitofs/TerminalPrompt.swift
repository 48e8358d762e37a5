import Cognito
import Glibc

/// Asks on the terminal what a sign-in needs besides the password.
struct TerminalPrompt: SignInPrompt {
    func code(_ request: CodeRequest) async throws(CognitoError) -> Secret {
        let place = request.destination.map { " (\($0))" } ?? ""
        let question =
            switch request.kind {
            case .sms: "Code from the text message\(place): "
            case .email: "Code from the e-mail\(place): "
            case .authenticatorApp: "Code from your authenticator app\(place): "
            }
        let terminal = try Self.terminal(for: "a code")
        if let complaint = request.complaint { terminal.write(Console.printable(complaint) + "\n") }
        return try Self.asked { () throws(CommandFailure) in
            Secret(try terminal.ask(question).filter { !$0.isWhitespace })
        }
    }

    func newPassword(_ request: NewPasswordRequest) async throws(CognitoError) -> NewPassword {
        let terminal = try Self.terminal(for: "a new password")
        terminal.write(Console.printable(request.complaint ?? "The app asks you to choose a new password.") + "\n")
        return try Self.asked { () throws(CommandFailure) in
            let password = try Self.twice(terminal)
            var attributes: [String: String] = [:]
            for name in request.requiredAttributes { attributes[name] = try terminal.ask("Your \(name): ") }
            return NewPassword(password: password, attributes: attributes)
        }
    }

    func chooseFactor(_ factors: [String]) async throws(CognitoError) -> String {
        let terminal = try Self.terminal(for: "the second factor")
        return try Self.asked { () throws(CommandFailure) in
            factors[try terminal.choose("How do you want to confirm that it is you?", factors.map(Self.words))]
        }
    }

    /// The pool's spelling in words.
    private static func words(_ factor: String) -> String {
        switch factor {
        case "SMS_MFA": "a text message"
        case "SOFTWARE_TOKEN_MFA": "an authenticator app"
        case "EMAIL_OTP": "an e-mail"
        default: factor
        }
    }

    private static func twice(_ terminal: borrowing Terminal) throws(CommandFailure) -> Secret {
        for _ in 0..<3 {
            let first = try terminal.askHidden("New password: ")
            if try first == terminal.askHidden("New password again: ") { return first }
            terminal.write("The two differ.\n")
        }
        throw CommandFailure(.signIn, "The new password was not given twice alike.")
    }

    private static func terminal(for thing: String) throws(CognitoError) -> Terminal {
        guard let terminal = Terminal() else {
            throw CognitoError(
                .unsupportedChallenge, "The sign-in asks for \(thing), and there is no terminal to ask on.",
                remedy: "Run `cognitofs login` in a terminal.")
        }
        return terminal
    }

    private static func asked<Answer>(_ body: () throws(CommandFailure) -> Answer) throws(CognitoError) -> Answer {
        do throws(CommandFailure) {
            return try body()
        } catch {
            throw CognitoError(error.code == .cancelled ? .cancelled : .wrongCode, error.message)
        }
    }
}

/// The password on standard input, for scripts.
enum StandardInput {
    /// Everything up to the end, without the line end that `echo` adds.
    static func password() throws(CommandFailure) -> Secret {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Terminal.longestLine)
        defer { for index in bytes.indices { bytes[index] = 0 } }
        while bytes.count < Terminal.longestLine {
            var byte: UInt8 = 0
            let count = read(STDIN_FILENO, &byte, 1)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            bytes.append(byte)
        }
        if bytes.last == 0x0A { bytes.removeLast() }
        if bytes.last == 0x0D { bytes.removeLast() }
        guard !bytes.isEmpty, bytes.count < Terminal.longestLine, !bytes.contains(0x0A) else {
            throw CommandFailure(.usage, "--password-stdin wants the password, and nothing else, on standard input.")
        }
        return Secret(utf8: bytes)
    }
}
