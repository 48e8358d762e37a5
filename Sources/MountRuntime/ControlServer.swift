import Glibc
import Synchronization

/// What a mount answers on its control socket. Called on the server's threads, several at a time.
public protocol ControlTarget: AnyObject, Sendable {
    func status() -> MountStatus
    /// Returns when S3 has everything, or everything at and below `path`, relative to the mount point. Calls `progress`
    /// at least every second; false means that nobody waits any more.
    func sync(path: String?, progress: (SyncProgress) -> Bool) throws
    /// How much is still to be uploaded, at once.
    func pending() -> SyncProgress
    /// Makes what S3 refused at and below `path` due again; returns how many changes that is.
    func retry(path: String) -> Int
    /// Gives up the changes at and below `path`, or tells what that would be. Throws when one of them can't be now.
    func discard(path: String, isRehearsal: Bool) throws -> GivenUpChanges
    /// Once unmounted, end without waiting for uploads.
    func yield()
}

/// Answers commands about one mount on a socket of its own, on threads of its own.
///
/// Bounds: 16 clients, a request per client at a time, 1 MiB a frame, 10 s for a frame, 60 s between frames. A client
/// beyond the bound is closed at once. Only the owner of the process and root are answered.
public final class ControlServer: Sendable {
    static let mostClients = 16

    struct Times: Sendable {
        var frame = Duration.seconds(10)
        var idle = Duration.seconds(60)
    }

    private let directory: ControlSocketDirectory
    /// The names of the socket, as long as it has them: the mount's, then the drain's.
    private let name: Mutex<String>
    private let listener: Int32
    /// Writing wakes the accepting thread for good.
    private let wakeRead: Int32
    private let wakeWrite: Int32
    /// The user at the other end of a socket, if it may be known.
    private let peerUser: @Sendable (Int32) -> uid_t?
    private let times: Times
    private let target: any ControlTarget

    private struct State {
        var clients: Set<Int32> = []
        var isStopping = false
    }
    /// Held for moments only, never during I/O other than shutdown(2) of a client's socket, which must not race with the
    /// closing of it: a client leaves the set, under the lock, before its descriptor is closed.
    private let state = Mutex(State())

    /// Starts to answer for the mount on `mountPoint`. Throws when another live mount has the socket.
    public convenience init(
        mountPoint: String, in directory: ControlSocketDirectory, target: any ControlTarget
    ) throws(MountFailure) {
        try self.init(
            mountPoint: mountPoint, in: directory, target: target, times: Times(),
            peerUser: { ControlPeer.user(of: $0) })
    }

    init(
        mountPoint: String, in directory: ControlSocketDirectory, target: any ControlTarget, times: Times,
        peerUser: @escaping @Sendable (Int32) -> uid_t?
    ) throws(MountFailure) {
        var wake: [Int32] = [-1, -1]
        guard pipe(&wake) == 0 else { throw Self.failure("pipe") }
        for end in wake { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        self.directory = directory
        let name = ControlSocketDirectory.socketName(for: mountPoint)
        self.name = Mutex(name)
        self.target = target
        self.times = times
        self.peerUser = peerUser
        (wakeRead, wakeWrite) = (wake[0], wake[1])
        do throws(MountFailure) {
            listener = try Self.listen(in: directory, name, mountPoint)
        } catch {
            close(wake[0])
            close(wake[1])
            throw error
        }
        guard ControlThread.start({ self.acceptClients() }) else {
            stop()
            throw Self.failure("pthread_create")
        }
    }

    // The accepting thread keeps the server, so nobody polls these any more.
    deinit {
        close(listener)
        close(wakeRead)
        close(wakeWrite)
    }

    /// Ends all conversations and removes the socket. Idempotent; the threads end soon after.
    public func stop() {
        let isFirst = state.withLock { state in
            guard !state.isStopping else { return false }
            state.isStopping = true
            for client in state.clients { shutdown(client, Int32(SHUT_RDWR)) }
            return true
        }
        guard isFirst else { return }
        unlink(directory.path + "/" + name.withLock { $0 })
        var byte: UInt8 = 0
        _ = write(wakeWrite, &byte, 1)
    }

    /// The directory is free for another mount from now on: the socket goes by the journal whose changes are sent.
    public func leaveMountPoint(draining journal: String) {
        name.withLock { name in
            let new = ControlSocketDirectory.socketName(draining: journal)
            guard rename(directory.path + "/" + name, directory.path + "/" + new) == 0 else { return }
            name = new
        }
    }

    private static func failure(_ call: String) -> MountFailure {
        MountFailure(.disk, "The control socket can't be made: \(call): \(String(cString: strerror(errno))).")
    }

    /// A listening socket that only this user can connect to, in place of a dead one of the same name.
    private static func listen(
        in directory: ControlSocketDirectory, _ name: String, _ mountPoint: String
    ) throws(MountFailure) -> Int32 {
        if let alive = ControlClient.connect(directory, name) {
            close(alive)
            throw MountFailure(.mountPoint, "\(mountPoint) is mounted already. `cognitofs status` shows it.")
        }
        // It gets its name when it listens: whoever finds a socket that nobody answers takes it for a dead one.
        let temporary = "\(name).\(getpid())"
        let path = directory.path + "/" + temporary
        unlink(path)
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard listener >= 0 else { throw failure("socket") }
        // Nobody can connect before listen, so there is no moment with a wider mode.
        guard ControlSocketAddress.with(directory, temporary, { bind(listener, $0, $1) }) == 0, chmod(path, 0o600) == 0,
            Glibc.listen(listener, Int32(mostClients)) == 0, rename(path, directory.path + "/" + name) == 0
        else {
            let failure = failure(path)
            close(listener)
            unlink(path)
            throw failure
        }
        return listener
    }

    private func acceptClients() {
        while true {
            var entries = [
                pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
                pollfd(fd: wakeRead, events: Int16(POLLIN), revents: 0),
            ]
            let ready = poll(&entries, 2, -1)
            if ready < 0 && errno != EINTR { break }
            if state.withLock({ $0.isStopping }) { break }
            guard ready > 0, entries[0].revents != 0 else { continue }
            let client = accept(listener, nil, nil)
            guard client >= 0 else {
                // Out of descriptors, most likely: don't spin until one is free.
                usleep(50_000)
                continue
            }
            _ = fcntl(client, F_SETFD, FD_CLOEXEC)
            admit(client)
        }
    }

    private func admit(_ client: Int32) {
        let isWelcome = state.withLock { state in
            guard !state.isStopping, state.clients.count < Self.mostClients,
                let user = peerUser(client), ControlPeer.isAllowed(user)
            else { return false }
            state.clients.insert(client)
            return true
        }
        guard isWelcome, ControlThread.start({ self.converse(client) }) else {
            _ = state.withLock { $0.clients.remove(client) }
            close(client)
            return
        }
    }

    private func converse(_ client: Int32) {
        let channel = ControlChannel(client)
        do throws(ControlChannelError) {
            while true {
                let request = try channel.receive(ControlRequest.self, idle: times.idle, within: times.frame)
                try answer(request, on: channel)
            }
        } catch .malformed, .tooLarge {
            let reply = ControlReply.failed(kind: .internalError, message: "That is no request this version knows.")
            try? channel.send(reply, within: times.frame)
        } catch {
            // The client has gone, or was too slow: there is nobody to tell.
        }
        _ = state.withLock { $0.clients.remove(client) }
    }

    private func answer(_ request: ControlRequest, on channel: borrowing ControlChannel) throws(ControlChannelError) {
        switch request {
        case .ping: try channel.send(ControlReply.done, within: times.frame)
        case .status: try channel.send(ControlReply.status(target.status()), within: times.frame)
        case .unmountProgress:
            try channel.send(ControlReply.progress(target.pending()), within: times.frame)
            try channel.send(ControlReply.done, within: times.frame)
        case .sync(let path): try channel.send(sync(path, on: channel), within: times.frame)
        case .retry(let path): try channel.send(ControlReply.retried(target.retry(path: path)), within: times.frame)
        case .discard(let path, let isRehearsal):
            let reply = Self.reply { .givenUp(try target.discard(path: path, isRehearsal: isRehearsal)) }
            try channel.send(reply, within: times.frame)
        case .yield:
            target.yield()
            try channel.send(ControlReply.done, within: times.frame)
        }
    }

    private func sync(_ path: String?, on channel: borrowing ControlChannel) -> ControlReply {
        do {
            try target.sync(path: path) { progress in
                (try? channel.send(ControlReply.progress(progress), within: times.frame)) != nil
            }
            return .done
        } catch {
            return Self.failed(error)
        }
    }

    private static func reply(_ body: () throws -> ControlReply) -> ControlReply {
        do { return try body() } catch { return failed(error) }
    }

    private static func failed(_ error: any Error) -> ControlReply {
        guard let failure = error as? MountFailure else { return .failed(kind: .internalError, message: "\(error)") }
        return .failed(kind: failure.kind, message: failure.message)
    }
}
