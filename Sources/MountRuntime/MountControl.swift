import BlockCache
import Cognito
import FileSystemCore
import FuseBinding
import Glibc
import ObjectStore
import Settings
import Synchronization

/// Answers the control socket of one mount, and remembers that it is to end.
final class MountControl: ControlTarget {
    private let parts: MountParts
    let isDraining = Atomic(false)
    private let endRequests = Atomic(0)

    init(_ parts: MountParts) { self.parts = parts }

    /// Asked a second time: end without waiting for uploads.
    var isImpatient: Bool { endRequests.load(ordering: .relaxed) > 1 }

    /// Somebody wants the mount to end.
    func end(_ session: FuseSession) {
        if endRequests.add(1, ordering: .relaxed).newValue == 1 { session.exit() }
    }

    func status() -> MountStatus {
        let report = parts.volume.report()
        let usage = parts.cache?.usage()
        return MountStatus(
            mountPoint: parts.mountPoint, source: parts.source, user: parts.identity.user,
            identityID: parts.identity.identityID, space: parts.space, state: state(report),
            cacheBytes: usage?.bytes ?? 0, cacheLimit: usage?.limit ?? 0, pending: report.changes.count,
            uploading: report.changes.filter { $0.isRunning && $0.total > 0 }.prefix(100)
                .map { .init(path: $0.path, bytes: $0.sent, total: $0.total) },
            failed: report.changes.filter { $0.failure != nil }.prefix(100)
                .map { .init(path: $0.path, reason: $0.failure?.message ?? "") },
            hidden: report.hiddenCount, lastError: report.lastError?.message, pid: getpid(),
            version: programVersion)
    }

    private func state(_ report: Volume.Report) -> MountStatus.State {
        if isDraining.load(ordering: .relaxed) { return .draining }
        if parts.identity.provider?.lastError?.needsLogin == true { return .needsSignIn }
        return report.isOffline ? .offline : .mounted
    }

    func pending() -> SyncProgress { progress(path: nil) }

    func sync(path: String?, progress report: (SyncProgress) -> Bool) throws {
        parts.volume.hurry(retryFailed: true)
        var sent: Int64 = 0
        var before = progress(path: path)
        var nextReport = ContinuousClock.now
        while before.pendingChanges > before.failedChanges {
            if ContinuousClock.now >= nextReport {
                before.sentBytes = sent
                guard report(before) else { return }
                nextReport = .now + .milliseconds(200)
            }
            usleep(10_000)
            let now = progress(path: path)
            sent += max(0, before.pendingBytes - now.pendingBytes)
            before = now
        }
        if before.failedChanges > 0 {
            throw MountFailure(
                .accessDenied, "S3 refuses \(before.failedChanges) changes; `cognitofs status` shows them and why.")
        }
    }

    private func progress(path: String?) -> SyncProgress {
        let changes = parts.volume.report().changes.filter { change in
            guard let path, !path.isEmpty else { return true }
            return change.path == path || change.path.hasPrefix(path + "/")
        }
        return SyncProgress(
            pendingChanges: changes.count, pendingBytes: changes.reduce(0) { $0 + max(0, $1.total - $1.sent) },
            sentBytes: 0, current: changes.first { $0.isRunning }?.path,
            failedChanges: changes.count { $0.failure != nil })
    }
}
