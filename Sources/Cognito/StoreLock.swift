import Glibc
import SystemPackage

/// The lock on a session store, shared by processes: whoever holds it may refresh tokens and write files. Released when
/// dropped, and by the kernel when the process dies.
struct StoreLock: ~Copyable {
    private let file: Descriptor

    static let name = "lock"
    static let patience = Duration.seconds(30)

    /// Waits without blocking a thread, at most `patience`.
    init(
        in directory: PrivateDirectory, clock: WallClock, patience: Duration = StoreLock.patience
    ) async throws(CognitoError) {
        try directory.create()
        let path = directory.path.appending(Self.name)
        let opened: Descriptor
        do throws(Errno) {
            opened = try Descriptor(path.string, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
        } catch {
            throw CognitoError(.storeFailed, "Can't open \(path): \(error).", remedy: "Check the directory.")
        }
        let end = ContinuousClock.now + patience
        while flock(opened.raw, LOCK_EX | LOCK_NB) != 0 {
            let number = Errno(rawValue: errno)
            guard number == .wouldBlock || number == .interrupted else {
                throw CognitoError(.storeFailed, "Can't lock \(path): \(number).")
            }
            guard ContinuousClock.now < end else {
                throw CognitoError(
                    .storeFailed, "Another cognitofs process has held \(path) for \(patience.components.seconds) s.",
                    remedy: "Wait for it, or end it.")
            }
            if Task.isCancelled { throw .cancelled }
            await clock.sleep(.milliseconds(25))
        }
        file = opened
    }
}
