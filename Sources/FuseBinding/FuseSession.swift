import CFuse
import FileSystemCore
import Glibc
import Logging
import Synchronization
import SystemPackage

/// A file system between the kernel and a `FileSystem`: mounted, run and unmounted once.
///
/// libfuse's threads take the kernel's requests and forward each to the file system. What it can answer at once goes
/// back on the same thread; what must wait is parked with a task, and the thread takes the next request.
public final class FuseSession: Sendable {
    /// How a session ended.
    public enum Ending: Sendable {
        /// Somebody unmounted it, or cut the connection.
        case unmounted
        /// `exit` was called; it is still mounted.
        case exited
    }

    /// Only goes forward.
    private enum Phase { case new, mounting, mounted, running, ended, closed }

    private struct State {
        var phase = Phase.new
        var mountPoint: MountPoint?
        /// Of our mount, as in /proc/self/mountinfo, to tell it from one that somebody put on top.
        var device: String?
        var isExitRequested = false
        var isUnmounting = false
        var loopFailed = false
    }

    private let server: FuseServer
    // libfuse locks what its threads share; setting up and taking down are ordered by `phase`.
    private nonisolated(unsafe) let session: OpaquePointer
    private let loop: RequestLoop
    // Innermost lock: nothing is called while it is held.
    private let state = Mutex(State())
    private let loopEnded = Semaphore()
    private let exitTold = Semaphore()

    /// Attaches `fileSystem` to its kernel notifier. Nothing is mounted yet.
    public init(fileSystem: any FileSystem, options: FuseOptions, logger: Logger) throws(FuseError) {
        LibraryLog.send(to: logger)
        let arguments = try options.arguments()
        server = FuseServer(fileSystem: fileSystem, options: options, log: logger)
        var operations = Callbacks.table()
        let userdata = Unmanaged.passUnretained(server).toOpaque()
        let made = Fusermount.withArguments(arguments) { pointers in
            var list = fuse_args(argc: Int32(arguments.count), argv: pointers, allocated: 0)
            defer { fuse_opt_free_args(&list) }
            return fuse_session_new(&list, &operations, MemoryLayout<fuse_lowlevel_ops>.size, userdata)
        }
        guard let made else {
            throw FuseError(.optionInvalid, LibraryLog.takeLast() ?? "libfuse refuses the mount options")
        }
        session = made
        server.attach(made)
        do throws(Errno) {
            loop = try RequestLoop(made)
        } catch {
            fuse_session_destroy(made)
            throw FuseError(.loopFailed, "no descriptor is left to wait with", error)
        }
    }

    deinit {
        let (mountPoint, isUnmounting) = state.withLock { ($0.mountPoint, $0.isUnmounting) }
        // `run` holds a reference, so no loop runs here.
        if let mountPoint, !isUnmounting { close(mountPoint) }
        fuse_session_destroy(session)
    }

    /// Mounts on the directory `path`, which may be relative and need not be empty. A mount of ours whose server has died
    /// is taken away first. Requests wait until `run` is called.
    public func mount(at path: String) throws(FuseError) {
        try advance(from: .new, to: .mounting)
        do throws(FuseError) {
            try MountConditions.check(server.options)
            let mountPoint = try MountPoint(path, log: server.log)
            try mount(mountPoint)
        } catch {
            state.withLock { $0.phase = .closed }
            throw error
        }
    }

    private func mount(_ mountPoint: MountPoint) throws(FuseError) {
        _ = LibraryLog.takeLast()
        guard mountPoint.path.withPlatformString({ fuse_session_mount(session, $0) }) == 0 else {
            let detail = LibraryLog.takeLast().map { ": \($0)" } ?? ""
            guard geteuid() == 0 else {
                throw FuseError(.mountNotPermitted, "fusermount3 did not mount \(mountPoint.path)\(detail)")
            }
            throw FuseError(
                .mountFailed, "\(mountPoint.path) could not be mounted (in a container, SYS_ADMIN is needed)\(detail)")
        }
        let device = mountPoint.mounted?.device
        state.withLock { state in
            state.mountPoint = mountPoint
            state.device = device
            state.phase = .mounted
        }
    }

    /// Answers the kernel until the file system is unmounted or `exit` is called. Blocks its thread, which must not be one
    /// of Swift's pool, and keeps signals from it and from the threads it starts. `ready` is called once, on this thread,
    /// when the kernel has connected: from then on the mount answers. It must not touch the mount.
    public func run(ready: () -> Void = {}) throws(FuseError) -> Ending {
        try advance(from: .mounted, to: .running)
        let signals = PlainThread.blockSignals()
        PlainThread.name("fuse")
        let failure = serve(ready)
        PlainThread.restoreSignals(signals)
        let isExitRequested = state.withLock { state in
            state.phase = .ended
            state.loopFailed = failure != nil
            return state.isExitRequested
        }
        loopEnded.signal()
        if let failure {
            throw FuseError(.loopFailed, "requests of the kernel cannot be read any more", failure)
        }
        return isExitRequested ? .exited : .unmounted
    }

    /// Ends `run`, soon. Waiting requests end with EINTR. From any thread, any number of times, also before `run`; not from
    /// a signal handler.
    public func exit() {
        let isFirst = state.withLock { state in
            guard !state.isExitRequested, state.phase == .running || state.phase == .mounted else { return false }
            state.isExitRequested = true
            return true
        }
        guard isFirst else { return }
        // While the kernel is being told something it may wait for our answers, so the loop goes on until that is over.
        server.notifier.stop {
            self.loop.stop()
            self.exitTold.signal()
        }
        server.parked.cancelAll()
    }

    /// Unmounts. If `run` runs, ends it and waits for it: not to be called on a thread of `run` or by the file system.
    /// Files still open give errors from then on. Called again, does nothing.
    public func unmount() {
        exit()
        let claim = state.withLock { state -> (MountPoint, waitsForLoop: Bool, waitsForExit: Bool)? in
            guard let mountPoint = state.mountPoint, !state.isUnmounting else { return nil }
            state.isUnmounting = true
            defer { if state.phase == .mounted { state.phase = .closed } }
            return (mountPoint, state.phase != .mounted, state.isExitRequested)
        }
        guard let claim else { return }
        if claim.waitsForLoop { loopEnded.wait() }
        if claim.waitsForExit { exitTold.wait() }
        close(claim.0)
    }
}

extension FuseSession {
    private func advance(from: Phase, to: Phase) throws(FuseError) {
        let isInOrder = state.withLock { state in
            guard state.phase == from else { return false }
            state.phase = to
            return true
        }
        if !isInOrder {
            throw FuseError(.usedTwice, "a session is mounted once, then run once")
        }
    }

    /// Nil: ended in order.
    private func serve(_ ready: () -> Void) -> Errno? {
        let (options, log) = (server.options, server.log)
        let device = state.withLock { $0.device }
        do throws(Errno) {
            try loop.run(threads: options.threadLimit, for: server) {
                // The kernel has fixed the number when it took our answer, so it cannot be set before.
                if let device, geteuid() == 0 { ReadAhead.set(options.readAheadLimit / 1024, device: device, log) }
                ready()
            }
            return nil
        } catch {
            return error
        }
    }

    /// No thread reads requests any more.
    private func close(_ mountPoint: MountPoint) {
        let (device, loopFailed) = state.withLock { ($0.device, $0.loopFailed) }
        // Requests that nobody will read would keep the notifier waiting.
        if loopFailed, let device { FuseConnection.abort(device: device) }
        server.parked.close()
        let told = Semaphore()
        server.notifier.stop { told.signal() }
        told.wait()
        fuse_session_unmount(session)
        // After a cut connection libfuse leaves the dead mount in its place.
        if let device, mountPoint.mounted?.device == device { _ = mountPoint.detach() }
    }
}
