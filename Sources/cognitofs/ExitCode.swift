import Cognito
import MountRuntime
import Settings

/// What the shell sees. The numbers are those of sysexits(3) where it has a fitting one.
enum ExitCode: Int32, Sendable, CaseIterable {
    case success = 0
    /// The command line is wrong.
    case usage = 64
    /// The directory or path belongs to no mount of cognitofs.
    case notMounted = 66
    /// A server can't be reached.
    case network = 69
    /// A mistake of this program.
    case internalError = 70
    /// The mount point, FUSE, or the system refuses.
    case mount = 71
    /// IAM or file permissions refuse.
    case accessDenied = 73
    /// A disk or file can't be read or written.
    case disk = 74
    /// It may work later.
    case temporary = 75
    /// A sign-in is needed, or was refused.
    case signIn = 77
    /// Settings are missing or wrong.
    case configuration = 78
    /// The person stopped it.
    case cancelled = 130

    var meaning: String {
        switch self {
        case .success: "it worked"
        case .usage: "the command line is wrong"
        case .notMounted: "the directory or path belongs to no mount of cognitofs"
        case .network: "a server can't be reached"
        case .internalError: "a mistake of cognitofs itself"
        case .mount: "the mount point or FUSE doesn't work"
        case .accessDenied: "access is denied, by IAM or by this machine"
        case .disk: "a disk or file can't be read or written"
        case .temporary: "it didn't work now and may later"
        case .signIn: "a sign-in is needed, or was refused"
        case .configuration: "settings are missing or wrong"
        case .cancelled: "you stopped it"
        }
    }

    /// For `--help`.
    static var table: String {
        "EXIT CODES:\n"
            + allCases.map { code in
                let number = "\(code.rawValue)"
                return "  " + number + String(repeating: " ", count: 5 - number.count) + code.meaning
            }.joined(separator: "\n")
    }

    /// As mount(8) understands exit codes of its helpers (mount(8), EXIT STATUS).
    var forMountHelper: Int32 {
        switch self {
        case .success: 0
        case .usage: 1
        case .temporary: 2
        case .internalError: 4
        case .cancelled: 8
        case .notMounted, .network, .mount, .accessDenied, .disk, .signIn, .configuration: 32
        }
    }

    init(_ kind: MountFailure.Kind) {
        self =
            switch kind {
            case .configuration: .configuration
            case .signInNeeded: .signIn
            case .accessDenied: .accessDenied
            case .network: .network
            case .mountPoint: .mount
            case .notMounted: .notMounted
            case .temporary: .temporary
            case .disk: .disk
            case .cancelled: .cancelled
            case .internalError: .internalError
            }
    }

    init(_ code: SettingsError.Code) {
        self =
            switch code {
            case .badOption: .usage
            case .unreadable, .malformed, .unknownName, .badValue, .incomplete, .ambiguous, .exposed: .configuration
            case .exists: .disk
            }
    }

    init(_ code: CognitoError.Code) {
        self =
            switch code {
            case .wrongPassword, .wrongCode, .codeExpired, .passwordRefused, .tooManyTries, .userDisabled,
                .userNotConfirmed, .passwordResetRequired, .refusedByApp, .challengeExpired, .unsupportedChallenge,
                .notSignedIn, .sessionEnded, .otherUser, .storeRefused, .loginTokenExpired, .loginTokenRefused,
                .identityMismatch:
                .signIn
            case .storeFailed: .disk
            case .configuration: .configuration
            case .unreachable: .network
            case .unavailable, .invalidAnswer, .unsupportedOperation: .temporary
            case .cancelled: .cancelled
            }
    }
}
