import Cognito
import HTTPTransport
import MountRuntime
import Settings

/// Why a command didn't work: one sentence for the person, and the exit code of its kind.
struct CommandFailure: Error, Sendable, Equatable {
    let code: ExitCode
    let message: String

    init(_ code: ExitCode, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Nil for an error that isn't one of ours, such as those of the argument parser.
    init?(_ error: any Error) {
        switch error {
        case let failure as CommandFailure: self = failure
        case let failure as MountFailure: self.init(ExitCode(failure.kind), failure.message)
        case let failure as SettingsError: self.init(ExitCode(failure.code), failure.message)
        case let failure as CognitoError: self.init(ExitCode(failure.code), failure.description)
        case let failure as HTTPError: self.init(.network, failure.message)
        default: return nil
        }
    }
}
