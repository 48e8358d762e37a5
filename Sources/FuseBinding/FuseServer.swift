import CFuse
import FileSystemCore
import Logging
import Synchronization
import SystemPackage

/// What libfuse's callbacks find their way back to: the file system and what waits for it.
final class FuseServer: Sendable {
    let fileSystem: any FileSystem
    let parked: ParkedRequests
    let notifier: Notifier
    let options: FuseOptions
    let log: Logger
    // Innermost lock: nothing is called while it is held. The pointer is set before the session is mounted, and read
    // by the init callback.
    private let session = Mutex<UInt?>(nil)
    private let connection = Atomic(false)

    init(fileSystem: any FileSystem, options: FuseOptions, log: Logger) {
        self.fileSystem = fileSystem
        self.options = options
        self.log = log
        self.parked = ParkedRequests(executor: options.executor)
        self.notifier = Notifier(limit: options.notificationLimit, log: log)
        fileSystem.attach(notifier)
    }

    /// The kernel has asked its first question.
    var isConnected: Bool { connection.load(ordering: .acquiring) }

    func attach(_ pointer: OpaquePointer) { session.withLock { $0 = UInt(bitPattern: pointer) } }

    /// The kernel is there: agrees on terms, and begins to tell it of changes.
    func connected(_ info: UnsafeMutablePointer<fuse_conn_info>) {
        info.pointee.negotiate(options)
        self.connection.store(true, ordering: .releasing)
        let canExpire = info.pointee.want & UInt32(FUSE_CAP_EXPIRE_ONLY) != 0
        guard let pointer = session.withLock({ $0 }).flatMap(OpaquePointer.init(bitPattern:)) else { return }
        notifier.start(NotificationChannel(session: pointer, canExpire: canExpire))
    }

    /// Releases what an open made when the kernel has not taken it.
    func dropHandle(_ inode: InodeNumber, _ handle: FileHandle) {
        guard case .later(let work) = fileSystem.release(inode, handle) else { return }
        Task(executorPreference: options.executor) { [log] in
            do {
                try await work()
            } catch {
                log.warning("a file could not be released", metadata: ["errno": "\(error)"])
            }
        }
    }
}
