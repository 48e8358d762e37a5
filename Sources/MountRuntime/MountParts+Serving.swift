import FileSystemCore
import FuseBinding
import Glibc
import Logging
import ObjectStore
import Settings
import Synchronization
import SystemPackage

/// From the first look at the space to the last upload.
extension MountParts {
    /// Mounts, answers until unmounted, and stays until S3 has everything or `drain` is over. Returns the exit code.
    func serve(isForeground: Bool, ready: @escaping @Sendable () -> Void) throws(MountFailure) -> Int32 {
        try lookFirst()
        volume.start()
        let target = MountControl(self)
        let server = try ControlServer(mountPoint: mountPoint, in: control, target: target)
        defer { server.stop() }
        SignalWatch.start { event in
            switch event {
            case .hangUp where !isForeground: self.volume.hurry(retryFailed: true)
            case .end, .hangUp: target.end(self.session)
            }
        }
        do throws(FuseError) {
            try session.mount(at: mountPoint)
            let ending = try session.run(ready: ready)
            if ending == .exited { session.unmount() }
        } catch {
            throw MountFailure(error)
        }
        target.isDraining.store(true, ordering: .relaxed)
        server.leaveMountPoint(draining: journal.string)
        return drain(target)
    }

    /// How long a space that this machine knows waits for S3 before it is mounted without.
    private static let firstLookPatience = Duration.seconds(3)

    /// Asks S3 once before anything is mounted, so that what is wrong is said to the person who mounts. A space that was
    /// mounted here before needs no network and no session: what is known of it is shown, and changes wait.
    private func lookFirst() throws(MountFailure) {
        let outcome = Mutex<Result<Void, ObjectStoreError>?>(nil)
        Task {
            do throws(ObjectStoreError) {
                try await self.volume.begin()
                outcome.withLock { $0 = .success(()) }
            } catch {
                outcome.withLock { $0 = .failure(error) }
            }
        }
        let isKnown = volume.isRemembered || FirstLook(journal).hasSucceeded
        let deadline = ContinuousClock.now + Self.firstLookPatience
        while outcome.withLock({ $0 == nil }), !isKnown || ContinuousClock.now < deadline { usleep(2_000) }
        switch outcome.withLock({ $0 }) {
        case .success: FirstLook(journal).noteSuccess()
        case .failure(let error) where isKnown && error.code == .signInNeeded:
            logger.warning(
                "The sign-in is over: what this machine knows of the space is shown, and changes wait for `cognitofs login`",
                metadata: ["space": "\(space)"])
        case .failure(let error) where !isKnown || !error.isTransient: throw MountFailure(error)
        case .failure, nil:
            volume.noteSilence()
            logger.notice(
                "S3 does not answer: what this machine knows of the space is shown, and changes wait",
                metadata: ["space": "\(space)"])
        }
        if volume.report().isBlind {
            logger.warning(
                "This app does not let you list your files (s3:ListBucket is missing): only names you know can be opened"
            )
        }
    }

    /// Waits for the queue. A second signal, the next mount of the space, or the end of `drain` ends the wait; what is
    /// left stays in the journal.
    private func drain(_ target: MountControl) -> Int32 {
        let end = ContinuousClock.now + .seconds(settings.drain)
        volume.hurry()
        while ContinuousClock.now < end, !target.isImpatient {
            let begun = ContinuousClock.now
            let progress = target.pending()
            guard progress.pendingChanges > progress.failedChanges else { break }
            MountControl.pause(since: begun)
        }
        let left = volume.report().changes
        guard !left.isEmpty else { return 0 }
        logger.error(
            "Unmounted before S3 had everything; the next mount goes on with these changes",
            metadata: [
                "changes": "\(left.count)", "files": "\(left.map(\.path).prefix(20).joined(separator: ", "))",
            ])
        return 75
    }
}

/// Whether S3 has ever answered for a space: an empty file `reached` in the directory of its journal.
private struct FirstLook {
    private let path: FilePath

    init(_ journal: FilePath) { path = journal.appending("reached") }

    var hasSucceeded: Bool { access(path.string, F_OK) == 0 }

    func noteSuccess() {
        let descriptor = open(path.string, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        if descriptor >= 0 { close(descriptor) }
    }
}

extension MountFailure {
    init(_ error: FuseError) { self.init(.mountPoint, error.description) }
}
