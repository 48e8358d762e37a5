/// Why signing in, renewing or reading the session did not work.
///
/// `message` says what happened in words for a person, `remedy` what to do about it; neither holds a secret.
public struct CognitoError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Sendable, Hashable, CaseIterable {
        // What a person typed.
        case wrongPassword
        case wrongCode
        case codeExpired
        /// A new password that the pool's rules refuse; the message is the service's.
        case passwordRefused
        case tooManyTries
        // What the account is.
        case userDisabled
        case userNotConfirmed
        case passwordResetRequired
        /// Refused by a check of the app's own (Lambda trigger, firewall).
        case refusedByApp
        // How far the sign-in got.
        /// Took longer than the pool allows for one sign-in.
        case challengeExpired
        case unsupportedChallenge
        // What this machine knows.
        /// Nobody is signed in here.
        case notSignedIn
        /// The service said that the session is over. Nothing else ends one.
        case sessionEnded
        /// The session is another user's than the one this mount was made for.
        case otherUser
        /// The session or its key on disk is not fit to be used: owner, mode, damage, version.
        case storeRefused
        /// Reading or writing the session failed: disk full, read-only, I/O error, lock held too long.
        case storeFailed
        // The identity pool's view of the ID token.
        case loginTokenExpired
        case loginTokenRefused
        /// The identity id is not one of this user's, or no longer exists.
        case identityMismatch
        // The app's set-up.
        case configuration
        // The way there.
        /// No answer: nothing about the session is known.
        case unreachable
        /// Throttled or failing on the service's side.
        case unavailable
        case invalidAnswer
        case unsupportedOperation
        case cancelled
    }

    public var code: Code
    public var message: String
    /// What to do about it; empty where nothing can be done but wait.
    public var remedy: String
    /// The service's own name for it (`NotAuthorizedException`), where there is one.
    public var serviceCode: String?

    public init(_ code: Code, _ message: String, remedy: String = "", serviceCode: String? = nil) {
        self.code = code
        self.message = message
        self.remedy = remedy
        self.serviceCode = serviceCode
    }

    public var description: String { remedy.isEmpty ? message : "\(message) \(remedy)" }

    /// True when a person must sign in (again) before this can work.
    public var needsLogin: Bool {
        switch code {
        case .notSignedIn, .sessionEnded, .otherUser, .storeRefused: true
        case .wrongPassword, .wrongCode, .codeExpired, .passwordRefused, .tooManyTries, .userDisabled,
            .userNotConfirmed, .passwordResetRequired, .refusedByApp, .challengeExpired, .unsupportedChallenge,
            .storeFailed, .loginTokenExpired, .loginTokenRefused, .identityMismatch, .configuration, .unreachable,
            .unavailable, .invalidAnswer, .unsupportedOperation, .cancelled:
            false
        }
    }

    /// True when the same call may succeed later without anybody doing anything.
    public var isTransient: Bool {
        switch code {
        case .unreachable, .unavailable, .storeFailed, .invalidAnswer: true
        case .wrongPassword, .wrongCode, .codeExpired, .passwordRefused, .tooManyTries, .userDisabled,
            .userNotConfirmed, .passwordResetRequired, .refusedByApp, .challengeExpired, .unsupportedChallenge,
            .notSignedIn, .sessionEnded, .otherUser, .storeRefused, .loginTokenExpired, .loginTokenRefused,
            .identityMismatch, .configuration, .unsupportedOperation, .cancelled:
            false
        }
    }

    static let cancelled = CognitoError(.cancelled, "Cancelled.")
    static let notSignedIn = CognitoError(
        .notSignedIn, "Nobody is signed in here.", remedy: "Run `cognitofs login`.")
    static let otherUser = CognitoError(
        .otherUser, "Another user has signed in than the one this space belongs to.",
        remedy: "Sign in as the owner of this space with `cognitofs login`, or unmount it.")
    static let sessionEnded = CognitoError(
        .sessionEnded, "Your sign-in has ended.", remedy: "Run `cognitofs login`.")

    static func invalidAnswer(_ what: String) -> CognitoError {
        CognitoError(
            .invalidAnswer, "The sign-in service sent an answer that makes no sense (\(what)).",
            remedy: "Check the endpoint and any proxy in between.")
    }
}
