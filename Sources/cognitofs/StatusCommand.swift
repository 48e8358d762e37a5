import ArgumentParser
import MountRuntime

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show the mounts: user, space, cache, what is being uploaded, the last error.")

    @Argument(help: "Only this mount.", completion: .directory)
    var directory: String?

    @Flag(help: "Write JSON: a list, or one object if a directory is given.")
    var json = false

    @Option(help: ArgumentHelp("The state directory of the mounts.", valueName: "directory"), completion: .directory)
    var stateDir: String?

    func run() throws {
        let root = Mounts.stateRoot(stateDir)
        guard let directory else {
            let all = Mounts.all(stateRoot: root)
            if json { return Console.line(try JSONText.of(all)) }
            Console.output(all.isEmpty ? "Nothing is mounted.\n" : all.map(Self.text).joined(separator: "\n"))
            if let left = SyncCommand.sentence(Mounts.abandoned(stateDir)) { Console.note(left) }
            return
        }
        let mountPoint = Mounts.absolute(directory) ?? directory
        guard let client = Mounts.client(mountPoint, stateRoot: root) else { throw Self.notMounted(directory) }
        let status = try client.status()
        Console.output(json ? try JSONText.of(status) + "\n" : Self.text(status))
    }

    /// Says which of the several ways of not being mounted it is.
    static func notMounted(_ directory: String) -> CommandFailure {
        let mountPoint = Mounts.absolute(directory) ?? directory
        let entry = Mounts.entries().last { $0.mountPoint == mountPoint }
        return switch entry {
        case .none: CommandFailure(.notMounted, "\(directory) is not mounted. `cognitofs status` lists the mounts.")
        case .some(let entry) where !entry.isOurs:
            CommandFailure(.notMounted, "\(directory) is a mount of \(entry.type), not of cognitofs.")
        case .some:
            CommandFailure(
                .notMounted,
                "The mount on \(directory) doesn't answer: its process has ended, or it is another user's. Unmount it with "
                    + "`cognitofs umount \(directory)`.")
        }
    }

    static func text(_ status: MountStatus) -> String {
        var rows: [(name: String, value: String)] = [("state", Self.words(status.state)), ("space", status.space)]
        if !status.user.isEmpty { rows.append(("user", "\(status.user)  (\(status.identityID))")) }
        rows.append(("cache", "\(Amounts.bytes(status.cacheBytes)) of \(Amounts.bytes(status.cacheLimit))"))
        rows.append(("to upload", pending(status)))
        for upload in status.uploading {
            rows.append(
                ("uploading", "\(upload.path)  \(Amounts.bytes(upload.bytes)) of \(Amounts.bytes(upload.total))"))
        }
        for failed in status.failed { rows.append(("failed", "\(words(failed)): \(failed.reason)")) }
        if status.failedCount > status.failed.count {
            rows.append(("failed", "and \(status.failedCount - status.failed.count) more"))
        }
        if status.failedCount > 0 { rows.append(("", "see `cognitofs retry` and `cognitofs discard`")) }
        rows += unclosed(status)
        rows += status.asides.map { ("put aside", "\($0.path)  \(Amounts.bytes($0.bytes))") }
        if !status.asides.isEmpty { rows.append(("", "changes that could not be read back: `rm -r PATH` removes one")) }
        if let trouble = status.diskTrouble {
            rows.append(("disk", "takes no more changes (\(trouble)): make room for \(status.journal)"))
        }
        if status.hidden > 0 {
            rows.append(("hidden", "\(Amounts.count(status.hidden, "key")) that can't be file names"))
        }
        if let error = status.lastError { rows.append(("last error", error)) }
        rows.append(("process", "\(status.pid), version \(status.version)"))
        return Console.printable("\(status.mountPoint)\n" + Columns.text(rows.map { ("  " + $0.name, $0.value) }))
    }

    /// What S3 was to do.
    static func words(_ change: MountStatus.FailedChange) -> String {
        switch change.kind {
        case "contents": "contents of \(change.path)"
        case "name": "new name \(change.path)" + (change.source.map { ", which was \($0)" } ?? "")
        case "attributes": "attributes of \(change.path)"
        case "deletion": "deletion of \(change.path)"
        default: "\(change.kind) \(change.path)"
        }
    }

    /// Files whose writer a crash has ended, and what is to become of them.
    private static func unclosed(_ status: MountStatus) -> [(name: String, value: String)] {
        guard status.unclosedCount > 0 else { return [] }
        var rows = status.unclosed.map { (name: "not closed", value: "\($0.path)  \(Amounts.bytes($0.bytes))") }
        let more = status.unclosedCount - status.unclosed.count
        if more > 0 { rows.append(("not closed", "and \(more) more")) }
        return rows + [
            ("", "on this machine only, as last synced: `: >> FILE` sends it, `cognitofs discard FILE` gives it up")
        ]
    }

    private static func pending(_ status: MountStatus) -> String {
        guard status.pending > 0 else { return "nothing" }
        let count = Amounts.count(status.pending, "change")
        return status.pendingBytes > 0 ? "\(count), \(Amounts.bytes(status.pendingBytes))" : count
    }

    private static func words(_ state: MountStatus.State) -> String {
        switch state {
        case .mounted: "mounted"
        case .needsSignIn: "needs a sign-in: run `cognitofs login`"
        case .offline: "no network"
        case .draining: "unmounted, finishing uploads"
        }
    }
}

struct SyncCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sync", abstract: "Wait until S3 has every change, or every change at and below a path.")

    @Argument(help: "A file or directory in a mount; everything in all mounts if not given.", completion: .file())
    var path: String?

    @Option(help: ArgumentHelp("The state directory of the mounts.", valueName: "directory"), completion: .directory)
    var stateDir: String?

    func run() throws {
        let root = Mounts.stateRoot(stateDir)
        guard let path else {
            return try waitForAll(root)
        }
        let place: MountedPath
        do throws(CommandFailure) {
            place = try MountedPath(path, stateRoot: root)
        } catch {
            guard let left = Self.sentence(Mounts.abandoned(stateDir)) else { throw error }
            throw CommandFailure(error.code, "\(error.message) \(left)")
        }
        try Self.wait(place.client(stateRoot: root), place.path.isEmpty ? nil : place.path)
    }

    /// What waits with nobody to send it; nil for nothing.
    static func sentence(_ queues: [LeftQueue]) -> String? {
        let queues = queues.filter { $0.changes > 0 }
        guard !queues.isEmpty else { return nil }
        let list = queues.map(\.description).joined(separator: "; ")
        return "S3 doesn't have everything yet: \(list). Mount that space again (`cognitofs mount`) to go on with it."
    }

    /// Also those that were unmounted and still upload, and what is left of mounts that have ended. All are waited for; the
    /// first failure is told then.
    private func waitForAll(_ root: String) throws(MountFailure) {
        var failure: MountFailure?
        for mount in Mounts.all(stateRoot: root) {
            do throws(MountFailure) {
                if let client = ControlClient(mount, in: Mounts.directories(root)) {
                    try Self.wait(client, nil)
                } else if mount.pending > 0 {
                    throw MountFailure(
                        .temporary,
                        "The process of \(mount.mountPoint) has ended; the next mount goes on with what S3 doesn't have."
                    )
                }
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
        if let left = Self.sentence(Mounts.abandoned(stateDir)) { throw MountFailure(.temporary, left) }
    }

    /// Shows progress until S3 has it.
    static func wait(_ client: borrowing ControlClient, _ path: String?) throws(MountFailure) {
        var line = ProgressLine()
        defer { line.finish() }
        try client.sync(path: path) { progress in
            line.show(progress)
            return true
        }
    }
}
