import FileSystemCore
import FuseBinding
import Glibc
import Logging
import ObjectStore
import Settings
import Synchronization

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
        return drain(target)
    }

    /// Asks S3 once before anything is mounted, so that what is wrong is said to the person who mounts.
    private func lookFirst() throws(MountFailure) {
        let outcome = Mutex<Result<Void, ObjectStoreError>?>(nil)
        let done = Semaphore()
        Task {
            do throws(ObjectStoreError) {
                try await self.volume.begin()
                outcome.withLock { $0 = .success(()) }
            } catch {
                outcome.withLock { $0 = .failure(error) }
            }
            done.signal()
        }
        done.wait()
        if case .failure(let error) = outcome.withLock({ $0 }) { throw MountFailure(error) }
        if volume.report().isBlind {
            logger.warning(
                "This app does not let you list your files (s3:ListBucket is missing): only names you know can be opened"
            )
        }
    }

    /// Waits for the queue. A second signal, or the end of `drain`, ends the wait; what is left is said.
    private func drain(_ target: MountControl) -> Int32 {
        let end = ContinuousClock.now + .seconds(settings.drain)
        volume.hurry()
        while target.pending().pendingChanges > 0, ContinuousClock.now < end, !target.isImpatient {
            usleep(20_000)
        }
        let left = volume.report().changes
        guard !left.isEmpty else { return 0 }
        logger.error(
            "Unmounted before S3 had everything; the next mount goes on with these changes",
            metadata: ["files": "\(left.map(\.path).prefix(20).joined(separator: ", "))"])
        return 75
    }
}

extension MountFailure {
    init(_ error: FuseError) { self.init(.mountPoint, error.description) }
}
