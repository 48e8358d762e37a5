import Settings

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
        let failure = MountFailure(.internalError, "Mounting isn't available in this build.")
        ready(failure)
        throw failure
    }
}
