/// Asks the person who signs in. The command line implements it; a throw of `.cancelled` ends the sign-in.
public protocol SignInPrompt: Sendable {
    /// A code that was sent or that an app shows.
    func code(_ request: CodeRequest) async throws(CognitoError) -> Secret
    /// A password to replace the temporary one, and the attributes the pool demands with it.
    func newPassword(_ request: NewPasswordRequest) async throws(CognitoError) -> NewPassword
    /// One of `factors`, exactly as spelled there.
    func chooseFactor(_ factors: [String]) async throws(CognitoError) -> String
}

public struct CodeRequest: Sendable, Equatable {
    public enum Kind: Sendable, Equatable { case sms, email, authenticatorApp }

    public var kind: Kind
    /// Where the code went, as far as the pool says (`+*******1234`), or the authenticator's name. Don't state it as a
    /// fact: pools that hide who exists make it up.
    public var destination: String?
    /// Why it is asked again; nil the first time.
    public var complaint: String?
}

public struct NewPasswordRequest: Sendable, Equatable {
    /// Names of attributes that must be given too, such as `name`.
    public var requiredAttributes: [String]
    /// What the pool's rules had against the last one; nil the first time.
    public var complaint: String?
}

public struct NewPassword: Sendable {
    public var password: Secret
    public var attributes: [String: String]

    public init(password: Secret, attributes: [String: String] = [:]) {
        self.password = password
        self.attributes = attributes
    }
}
