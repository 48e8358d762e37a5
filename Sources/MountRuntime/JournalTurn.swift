import FuseBinding
import Glibc

/// Waits for the journal of a space that another process has, as far as there is something to wait for.
///
/// A live mount keeps it: one mount of a space at a time on a machine. A process that was unmounted and still uploads is
/// asked to end; what it leaves is gone on with here.
struct JournalTurn {
    private static let patience = Duration.seconds(10)
    private static let step: UInt32 = 50_000

    let journal: String
    let space: String
    let directories: [ControlSocketDirectory]
    private let deadline = ContinuousClock.now + patience
    private var hasAsked = false

    init(journal: String, space: String, directories: [ControlSocketDirectory]) {
        self.journal = journal
        self.space = space
        self.directories = directories
    }

    /// Returns when it is worth trying again; throws when it isn't.
    mutating func wait() throws(MountFailure) {
        if !hasAsked, let process = ControlClient.draining(journal, in: directories) {
            // One that doesn't answer may be ending already.
            try? process.yield()
            hasAsked = true
        }
        let holder = ControlClient.all(in: directories).first { $0.journal == journal }
        if let holder, holder.state != .draining, MountTable.hasOurs(at: holder.mountPoint) {
            throw MountFailure(
                .mountPoint,
                "\(space) is mounted on \(holder.mountPoint) already. Use that directory, or unmount it first.")
        }
        guard ContinuousClock.now < deadline else { throw gaveUp(holder) }
        usleep(Self.step)
    }

    private func gaveUp(_ holder: MountStatus?) -> MountFailure {
        let who = holder.map { "process \($0.pid), which served \($0.mountPoint)" } ?? "another process"
        return MountFailure(
            .temporary,
            "The changes of \(space) in \(journal) are still in the hands of \(who). Try again when that has ended.")
    }
}
