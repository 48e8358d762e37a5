import BlockCache
import Cognito
import FileSystemCore
import FuseBinding
import Glibc
import HTTPTransport
import Journal
import Logging
import ObjectStore
import S3
import Settings
import Synchronization
import SystemPackage

/// One mount, from settings to the last unmount.
public enum Mount {
    /// Mounts `source` on the absolute path `mountPoint` and stays until it is unmounted. Returns the exit code.
    ///
    /// `ready` is called once: with nil when the directory answers, or with what is wrong. `foreground`: log to standard
    /// error instead of the system's log.
    public static func run(
        settings: MountSettings, mountPoint: String, source: String, foreground: Bool,
        ready: @escaping @Sendable (MountFailure?) -> Void
    ) throws -> Int32 {
        do throws(MountFailure) {
            SignalWatch.block()
            // Nothing that is written for this mount is for other users, whatever a library's own mode is.
            umask(0o077)
            CoreDumps.disable()
            OpenFiles.raiseLimit()
            let logger = Logger(label: "cognitofs") { _ in SystemLog(foreground ? .standardError : .syslog) }
            let parts = try MountParts(settings, mountPoint: mountPoint, source: source, logger: logger)
            return try parts.serve(isForeground: foreground) { ready(nil) }
        } catch {
            ready(error)
            throw error
        }
    }
}
