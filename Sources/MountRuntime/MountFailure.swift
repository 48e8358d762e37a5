/// Why a mount, or a request to one, didn't work: its kind, and a sentence that says what is wrong and what to do.
public struct MountFailure: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Kind: String, Sendable, Hashable, CaseIterable, Codable {
        /// Settings that are missing, wrong or don't fit the servers.
        case configuration
        /// Nobody is signed in, the sign-in has ended, or it is somebody else's.
        case signInNeeded
        /// IAM or the local system refuses.
        case accessDenied
        /// A server can't be reached.
        case network
        /// The mount point or FUSE.
        case mountPoint
        /// The directory or path belongs to no mount of cognitofs.
        case notMounted
        /// It may work later: throttled, busy, too slow.
        case temporary
        /// The disk below cache or state.
        case disk
        /// The person stopped it.
        case cancelled
        /// A mistake of this program.
        case internalError
    }

    public var kind: Kind
    public var message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    public var description: String { message }
}
