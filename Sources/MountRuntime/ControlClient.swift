import Glibc

/// Speaks to the control socket of one running mount.
public struct ControlClient: ~Copyable {
    private let channel: ControlChannel
    /// The longest wait for an answer that needs no network.
    private static let patience = Duration.seconds(10)
    /// The longest silence while uploads go on; a mount reports every second.
    private static let syncPatience = Duration.seconds(60)

    /// The mount on `mountPoint`; nil if none is alive in `directories`.
    public init?(mountPoint: String, in directories: [ControlSocketDirectory]) {
        let name = ControlSocketDirectory.socketName(for: mountPoint)
        for directory in directories {
            guard let descriptor = Self.connect(directory, name) else { continue }
            channel = ControlChannel(descriptor)
            return
        }
        return nil
    }

    /// The mount that told `status`, or what has become of it: a process that was unmounted and still uploads.
    public init?(_ status: MountStatus, in directories: [ControlSocketDirectory]) {
        let names = [
            ControlSocketDirectory.socketName(draining: status.journal),
            ControlSocketDirectory.socketName(for: status.mountPoint),
        ]
        for name in status.state == .draining ? names : names.reversed() {
            for directory in directories {
                guard let descriptor = Self.connect(directory, name) else { continue }
                channel = ControlChannel(descriptor)
                return
            }
        }
        return nil
    }

    private init(_ descriptor: Int32) { channel = ControlChannel(descriptor) }

    public func ping() throws(MountFailure) { _ = try ask(.ping) { _ in true } }

    public func status() throws(MountFailure) -> MountStatus {
        guard case .status(let status) = try ask(.status, progress: { _ in true }) else { throw Self.strange }
        return status
    }

    /// Waits until S3 has everything, or everything at and below `path`, relative to the mount point. `progress` may
    /// return false to stop waiting; the uploads go on.
    public func sync(path: String?, progress: (SyncProgress) -> Bool) throws(MountFailure) {
        guard try ask(.sync(path: path), progress: progress) == .done else { throw Self.strange }
    }

    public func pending() throws(MountFailure) -> SyncProgress {
        var last: SyncProgress?
        _ = try ask(.unmountProgress) { progress in
            last = progress
            return true
        }
        guard let last else { throw Self.strange }
        return last
    }

    /// Has the mount try again what S3 refused at and below `path`, relative to the mount point; returns how many changes.
    public func retry(path: String) throws(MountFailure) -> Int {
        guard case .retried(let count) = try ask(.retry(path: path), progress: { _ in true }) else {
            throw Self.strange
        }
        return count
    }

    /// Has the mount give up the changes at and below `path`, or tell which those are.
    public func discard(path: String, isRehearsal: Bool) throws(MountFailure) -> GivenUpChanges {
        let reply = try ask(.discard(path: path, isRehearsal: isRehearsal), progress: { _ in true })
        guard case .givenUp(let changes) = reply else { throw Self.strange }
        return changes
    }

    /// Once unmounted, the mount's process ends without waiting for its uploads; the next mount goes on with them.
    public func yield() throws(MountFailure) { _ = try ask(.yield) { _ in true } }

    /// Returns when the process at the other end has nothing more to do, or after so long a time.
    public func awaitEnd(within patience: Duration) {
        let deadline = ContinuousClock.now + patience
        while ContinuousClock.now < deadline {
            let left = ContinuousClock.now.duration(to: deadline)
            guard (try? channel.receive(ControlReply.self, idle: left, within: left)) != nil else { return }
        }
    }

    /// The process that was unmounted and still sends the changes in `journal`.
    static func draining(_ journal: String, in directories: [ControlSocketDirectory]) -> ControlClient? {
        let name = ControlSocketDirectory.socketName(draining: journal)
        for directory in directories {
            if let descriptor = connect(directory, name) { return ControlClient(descriptor) }
        }
        return nil
    }

    /// All live mounts of this user; sockets that nobody answers are removed.
    public static func all(in directories: [ControlSocketDirectory]) -> [MountStatus] {
        var found: [MountStatus] = []
        for directory in directories {
            for name in directory.socketNames() {
                guard let descriptor = connect(directory, name) else { continue }
                let client = ControlClient(descriptor)
                if let status = try? client.status() { found.append(status) }
            }
        }
        return found.sorted { $0.mountPoint < $1.mountPoint }
    }

    /// A connected socket, or nil. Removes the socket of a process that has ended.
    static func connect(_ directory: ControlSocketDirectory, _ name: String) -> Int32? {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        let path = directory.path + "/" + name
        let before = socketIdentity(path)
        if ControlSocketAddress.with(directory, name, { Glibc.connect(descriptor, $0, $1) }) == 0 {
            guard let user = ControlPeer.user(of: descriptor), ControlPeer.isAllowed(user) || geteuid() == 0 else {
                close(descriptor)
                return nil
            }
            return descriptor
        }
        let isDead = errno == ECONNREFUSED
        close(descriptor)
        // A new process may have taken the name since.
        if isDead, let before, socketIdentity(path) == before { unlink(path) }
        return nil
    }

    /// Tells a socket from the next of its name, which may get the same inode.
    private static func socketIdentity(_ path: String) -> [Int]? {
        var facts = stat()
        guard lstat(path, &facts) == 0 else { return nil }
        return [Int(facts.st_ino), facts.st_ctim.tv_sec, facts.st_ctim.tv_nsec]
    }

    private static let strange = MountFailure(.internalError, "The mount gave an answer that doesn't fit the question.")

    private func ask(
        _ request: ControlRequest, progress: (SyncProgress) -> Bool
    ) throws(MountFailure) -> ControlReply {
        do throws(ControlChannelError) {
            try channel.send(request, within: Self.patience)
        } catch {
            throw Self.failure(error)
        }
        var isSync = false
        if case .sync = request { isSync = true }
        while true {
            let reply: ControlReply
            do throws(ControlChannelError) {
                reply = try channel.receive(
                    ControlReply.self, idle: isSync ? Self.syncPatience : Self.patience, within: Self.patience)
            } catch {
                throw Self.failure(error)
            }
            switch reply {
            case .progress(let state):
                guard progress(state) else { throw MountFailure(.cancelled, "Stopped waiting; the uploads go on.") }
            case .failed(let kind, let message): throw MountFailure(kind, message)
            case .done, .status, .retried, .givenUp: return reply
            }
        }
    }

    private static func failure(_ error: ControlChannelError) -> MountFailure {
        switch error {
        case .ended, .cutShort:
            MountFailure(
                .temporary, "The mount ended the conversation. `cognitofs status` shows whether it still runs.")
        case .timedOut:
            MountFailure(.temporary, "The mount doesn't answer. Try again; see the system's log if it stays so.")
        case .tooLarge, .malformed:
            MountFailure(.internalError, "The mount speaks another version's language. Unmount it and mount it again.")
        case .failed(let code):
            MountFailure(.temporary, "The mount can't be spoken to: \(String(cString: strerror(code))).")
        }
    }
}
