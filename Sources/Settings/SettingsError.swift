/// Why settings can't be used: one sentence that names the place, what is wrong and what is allowed.
public struct SettingsError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Sendable, Equatable {
        /// No file, or it can't be opened or read.
        case unreadable
        /// Not TOML, not an object literal, too large or too deep.
        case malformed
        /// A section, key or option that doesn't exist.
        case unknownName
        /// A value of the wrong type, shape or range.
        case badValue
        /// An option or flag of the command line that doesn't exist or has a wrong value.
        case badOption
        /// Something that has no default isn't set, or two settings don't go together.
        case incomplete
        /// Several spaces are possible and nobody said which.
        case ambiguous
        /// A secret that others may read, or a file that others may change.
        case exposed
        /// The file to write is there already.
        case exists
    }

    public var code: Code
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
