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
        try FirstLook(self).look(since: start)
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

extension MountFailure {
    init(_ error: FuseError) { self.init(.mountPoint, error.description) }
}
