import SystemPackage

/// Why a directory could not be mounted or served: a reason to act on, and a sentence for a person.
public struct FuseError: Error, Sendable, CustomStringConvertible {
    public enum Reason: Sendable {
        case deviceMissing
        case deviceNotPermitted
        case mountNotPermitted
        case fusermountMissing
        /// `user_allow_other` is not set in /etc/fuse.conf.
        case allowOtherNotPermitted
        case mountPointMissing
        case mountPointNotDirectory
        case mountPointNotOwned
        case mountPointNotReachable
        /// A live file system of this kind is mounted there.
        case alreadyMounted
        /// A file system of another kind is mounted there, and its server is gone.
        case deadForeignMount
        case optionInvalid
        case mountFailed
        case loopFailed
        /// The session was mounted, run or unmounted before.
        case usedTwice
    }

    public let reason: Reason
    /// Names the object and says what to do.
    public let message: String
    /// What the system said, if it did.
    public let cause: Errno?

    init(_ reason: Reason, _ message: String, _ cause: Errno? = nil) {
        self.reason = reason
        self.message = message
        self.cause = cause
    }

    public var description: String {
        guard let cause else { return message }
        return "\(message): \(cause)"
    }
}
