import BlockCache
import Cognito
import FileSystemCore
import FuseBinding
import Glibc
import Journal
import ObjectStore
import Settings
import Synchronization
import SystemPackage

/// Answers the control socket of one mount, and remembers that it is to end.
final class MountControl: ControlTarget {
    /// How long a session that is over may take to be renewed by a sign-in while somebody waits for S3.
    private static let signInPatience = Duration.seconds(5)

    /// How long a request to S3 may take to end that stands in the way of giving a change up.
    private static let runningPatience = Duration.seconds(3)

    private let parts: MountParts
    let isDraining = Atomic(false)
    private let endRequests = Atomic(0)
    private let isYielding = Atomic(false)

    init(_ parts: MountParts) { self.parts = parts }

    /// Asked a second time, or to make room for the next mount: end without waiting for uploads.
    var isImpatient: Bool { endRequests.load(ordering: .relaxed) > 1 || isYielding.load(ordering: .relaxed) }

    /// Somebody wants the mount to end.
    func end(_ session: FuseSession) {
        if endRequests.add(1, ordering: .relaxed).newValue == 1 { session.exit() }
    }

    func yield() { isYielding.store(true, ordering: .relaxed) }

    func status() -> MountStatus {
        let report = parts.volume.report()
        let usage = parts.cache?.usage()
        let failed = report.changes.filter { $0.failure != nil }
        let unclosed = parts.volume.unclosed()
        return MountStatus(
            mountPoint: parts.mountPoint, source: parts.source, user: parts.identity.user,
            identityID: parts.identity.identityID, space: parts.space, state: state(report),
            cacheBytes: usage?.bytes ?? 0, cacheLimit: usage?.limit ?? 0, pending: report.changes.count,
            pendingBytes: report.changes.reduce(0) { $0 + $1.left },
            uploading: report.changes.filter { $0.isRunning && $0.total > 0 }.prefix(100)
                .map { .init(path: $0.path, bytes: $0.sent, total: $0.total) },
            failed: failed.prefix(100).map {
                .init(path: $0.path, kind: $0.kind.rawValue, source: $0.source, reason: $0.failure ?? "")
            },
            failedCount: failed.count,
            unclosed: unclosed.prefix(100).map { .init(path: $0.path, bytes: $0.size) },
            unclosedCount: unclosed.count,
            asides: parts.volume.asides().prefix(20).map { .init(path: $0.path.string, bytes: $0.byteCount) },
            diskTrouble: report.journalTrouble.map { "\($0)" },
            journal: parts.journal.string, hidden: report.hiddenCount, lastError: report.lastError?.message,
            pid: getpid(), version: programVersion)
    }

    private func state(_ report: Volume.Report) -> MountStatus.State {
        if isDraining.load(ordering: .relaxed) { return .draining }
        if needsSignIn { return .needsSignIn }
        return report.isOffline ? .offline : .mounted
    }

    private var needsSignIn: Bool { parts.identity.provider?.lastError?.needsLogin == true }

    // MARK: Waiting for S3

    func pending() -> SyncProgress { progress(below: "") }

    func sync(path: String?, progress report: (SyncProgress) -> Bool) throws {
        let path = path ?? ""
        var (sent, nextReport, nextHurry) = (Int64(0), ContinuousClock.now, ContinuousClock.now)
        var signInAsked: ContinuousClock.Instant?
        parts.volume.hurry(below: path, retryFailed: true)
        var before = progress(below: path)
        while before.pendingChanges > before.failedChanges {
            let now = ContinuousClock.now
            if now >= nextReport {
                before.sentBytes = sent
                guard report(before) else { return }
                nextReport = now + .milliseconds(200)
            }
            if now >= nextHurry {
                // What has come since is waited for too.
                parts.volume.hurry(below: path)
                nextHurry = now + .seconds(1)
            }
            signInAsked = needsSignIn ? signInAsked ?? now : nil
            if let signInAsked, signInAsked + Self.signInPatience < now { throw Self.signInNeeded(before) }
            let after = progress(below: path)
            sent += max(0, before.pendingBytes - after.pendingBytes)
            Self.pause(since: now)
            before = after
        }
        if before.failedChanges > 0 {
            throw MountFailure(
                .accessDenied,
                "S3 refuses \(before.failedChanges == 1 ? "a change" : "\(before.failedChanges) changes"); "
                    + "`cognitofs status` shows why. They are kept: see `cognitofs retry` and `cognitofs discard`.")
        }
    }

    /// Before the next look at the queue. A long one takes time to look through: a tenth of all at most.
    static func pause(since begun: ContinuousClock.Instant) {
        let cost = begun.duration(to: .now)
        usleep(UInt32(min(max(cost * 10, .milliseconds(10)), .milliseconds(900)) / .microseconds(1)))
    }

    private static func signInNeeded(_ progress: SyncProgress) -> MountFailure {
        MountFailure(
            .signInNeeded,
            "The sign-in is over, and \(progress.pendingChanges) changes wait for the next one. They are kept: run "
                + "`cognitofs login`.")
    }

    private func progress(below path: String) -> SyncProgress {
        let report = parts.volume.report()
        // A deletion waits for the last program that has the file open: nobody can hurry that.
        let changes = report.changes.filter { !$0.isHeld && $0.isBelow(path) }
        return SyncProgress(
            pendingChanges: changes.count, pendingBytes: changes.reduce(0) { $0 + $1.left },
            sentBytes: 0, current: changes.first { $0.isRunning }?.path, failedChanges: changes.count(where: \.isStuck),
            state: state(report))
    }

    // MARK: What S3 refused

    func retry(path: String) -> Int { parts.volume.retry(path: path) }

    func discard(path: String, isRehearsal: Bool) throws -> GivenUpChanges {
        let deadline = ContinuousClock.now + Self.runningPatience
        while true {
            do throws(Volume.DiscardRefusal) {
                let changes =
                    try isRehearsal ? parts.volume.discardable(path: path) : parts.volume.discard(path: path)
                return GivenUpChanges(changes.map { .init(path: $0.path, kind: $0.kind.rawValue, bytes: $0.total) })
            } catch {
                guard case .running = error, ContinuousClock.now < deadline else {
                    throw MountFailure(.temporary, error.sentence)
                }
                usleep(20_000)
            }
        }
    }
}

extension Volume.Report.Change {
    /// Bytes still to go.
    var left: Int64 { max(0, total - sent) }

    /// At or below `path`, which is empty for everything. Names are bytes: Swift's own comparison would take two spellings
    /// of a letter for one.
    func isBelow(_ path: String) -> Bool {
        path.isEmpty || self.path.utf8.elementsEqual(path.utf8) || self.path.utf8.starts(with: (path + "/").utf8)
    }
}

extension Volume.DiscardRefusal {
    var sentence: String {
        switch self {
        case .running(let path): "\(path) is being stored at the moment and so can't be given up. Try again."
        case .open(let path): "\(path) is open for writing. Close it and try again."
        case .neededBy(let path): "A later change of \(path) needs it. Discard \(path) first."
        }
    }
}
