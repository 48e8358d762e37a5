import ArgumentParser
import Cognito
import FoundationEssentials
import Settings

struct WhoamiCommand: WaitingCommand {
    static let configuration = CommandConfiguration(
        commandName: "whoami", abstract: "Show who is signed in, their space, and how long it lasts.")

    @OptionGroup var settings: SettingsArguments

    @Flag(help: "Write JSON.")
    var json = false

    private struct Answer: Encodable {
        var user: String
        var username: String
        var identityID: String
        var space: String
        var userPoolID: String
        /// Times of ISO 8601, in UTC.
        var signedIn: String
        var tokensExpire: String
        var credentialsExpire: String?
    }

    /// Needs no network: it tells what this machine knows.
    func runWaiting() async throws {
        let signIn = try SignIn(settings)
        let session = try signIn.store.load()
        guard session.clientID == signIn.settings.appClientID, session.userPoolID == signIn.settings.userPoolID else {
            throw CommandFailure(
                .signIn, "The stored sign-in belongs to another app. Run `cognitofs login` with this configuration.")
        }
        let summary = session.summary
        let answer = Answer(
            user: summary.signInName, username: summary.username, identityID: summary.identityID.text,
            space: signIn.space(of: summary.identityID), userPoolID: summary.userPoolID,
            signedIn: Times.text(summary.signedInAt), tokensExpire: Times.text(summary.tokensExpire),
            credentialsExpire: summary.credentialsExpire.map(Times.text))
        if json { return Console.line(try JSONText.of(answer)) }
        let rows = [
            ("user", answer.user), ("identity", answer.identityID), ("space", answer.space),
            ("signed in", answer.signedIn), ("token until", answer.tokensExpire + ", renewed on its own"),
            ("credentials until", answer.credentialsExpire.map { $0 + ", renewed on their own" } ?? "none yet"),
        ]
        Console.output(Console.printable(Columns.text(rows)))
    }
}

/// Seconds since 1970 for people.
enum Times {
    static func text(_ seconds: Double) -> String {
        Date(timeIntervalSince1970: seconds.rounded()).formatted(.iso8601)
    }
}

enum JSONText {
    static func of(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }
}

/// Names and values below each other.
enum Columns {
    static func text(_ rows: [(name: String, value: String)]) -> String {
        let width = (rows.map(\.name.count).max() ?? 0) + 2
        return rows.map { name, value in
            name + String(repeating: " ", count: width - name.count) + value + "\n"
        }.joined()
    }
}
