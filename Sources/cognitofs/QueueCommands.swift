import ArgumentParser
import MountRuntime

/// A path in a live mount.
struct MountedPath {
    let mountPoint: String
    /// Relative to the mount point; empty for all of it.
    let path: String

    /// The innermost mount that `path` is in. It need not exist: what was deleted may be on its way to S3.
    init(_ given: String, stateRoot root: String) throws(CommandFailure) {
        let mounts = Mounts.all(stateRoot: root).filter { $0.state != .draining }.map(\.mountPoint)
        if let dead = Mounts.dead(above: given, stateRoot: root) { throw StatusCommand.notMounted(dead) }
        guard let absolute = Mounts.absolute(given) ?? Self.absoluteParent(given) else {
            throw CommandFailure(.notMounted, "\(given) doesn't exist. Check the path.")
        }
        let holding = mounts.compactMap { mount in Self.below(mount, absolute).map { (mount, $0) } }
            .max { $0.0.utf8.count < $1.0.utf8.count }
        guard let holding else {
            throw CommandFailure(
                .notMounted, "\(given) is in no mount of cognitofs. `cognitofs status` lists the mounts.")
        }
        (mountPoint, path) = holding
    }

    /// `path` relative to `mountPoint`; nil if it isn't there.
    static func below(_ mountPoint: String, _ path: String) -> String? {
        if path == mountPoint { return "" }
        return path.hasPrefix(mountPoint + "/") ? String(path.dropFirst(mountPoint.count + 1)) : nil
    }

    /// A name that isn't there, in a directory that is.
    private static func absoluteParent(_ path: String) -> String? {
        var parts = path.split(separator: "/", omittingEmptySubsequences: true)
        guard let last = parts.popLast(), last != ".", last != ".." else { return nil }
        let parent = (path.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
        return Mounts.absolute(parent.isEmpty ? "." : parent).map { ($0 == "/" ? "" : $0) + "/" + last }
    }

    func client(stateRoot root: String) throws(CommandFailure) -> ControlClient {
        guard let client = Mounts.client(mountPoint, stateRoot: root) else {
            throw StatusCommand.notMounted(mountPoint)
        }
        return client
    }
}

struct RetryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry", abstract: "Try the changes again that S3 refused.",
        discussion: "`cognitofs status` shows them and why, `cognitofs sync` waits for how it ends.")

    @Argument(
        help: "A file or directory in a mount: what is at and below it; everything in all mounts if not given.",
        completion: .file())
    var path: String?

    @Option(help: ArgumentHelp("The state directory of the mounts.", valueName: "directory"), completion: .directory)
    var stateDir: String?

    func run() throws {
        let root = Mounts.stateRoot(stateDir)
        var count = 0
        if let path {
            let place = try MountedPath(path, stateRoot: root)
            count = try place.client(stateRoot: root).retry(path: place.path)
        } else {
            for mount in Mounts.all(stateRoot: root) {
                if let client = Mounts.client(mount.mountPoint, stateRoot: root) { count += try client.retry(path: "") }
            }
        }
        Console.line(count == 0 ? "Nothing was refused there." : "Trying \(Amounts.count(count, "change")) again.")
    }
}

struct DiscardCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "discard", abstract: "Give up changes that S3 doesn't have; the files are shown as S3 has them.",
        discussion: "What was written into such a file is lost. Says first what that would be, and asks.")

    @Argument(help: "A file or directory in a mount: the changes at and below it.", completion: .file())
    var path: String

    @Flag(help: "Don't ask.")
    var yes = false

    @Option(help: ArgumentHelp("The state directory of the mounts.", valueName: "directory"), completion: .directory)
    var stateDir: String?

    func run() throws {
        let root = Mounts.stateRoot(stateDir)
        let place = try MountedPath(path, stateRoot: root)
        let client = try place.client(stateRoot: root)
        if !yes {
            let changes = try client.discard(path: place.path, isRehearsal: true)
            guard changes.count > 0 else { return Console.line("S3 has everything at \(path).") }
            guard let terminal = Terminal() else {
                throw CommandFailure(
                    .usage, "There is no terminal to ask on. --yes gives up \(Self.sentence(changes)) without asking.")
            }
            terminal.write(Console.printable(Self.list(changes)))
            let answer = try terminal.ask("Give up \(Self.sentence(changes))? [y/N] ")
            guard ["y", "yes"].contains(answer.lowercased()) else {
                throw CommandFailure(.cancelled, "Nothing was given up.")
            }
        }
        let changes = try client.discard(path: place.path, isRehearsal: false)
        if yes { Console.output(Console.printable(Self.list(changes))) }
        Console.line(changes.count == 0 ? "S3 has everything at \(path)." : "Gave up \(Self.sentence(changes)).")
    }

    static func sentence(_ changes: GivenUpChanges) -> String {
        Amounts.count(changes.count, "change")
            + (changes.bytes > 0 ? " with \(Amounts.bytes(changes.bytes)) that are nowhere else" : "")
    }

    static func list(_ changes: GivenUpChanges) -> String {
        var text = Columns.text(changes.changes.map { ("  " + words($0), $0.path) })
        let more = changes.count - changes.changes.count
        if more > 0 { text += "  and \(more) more\n" }
        return text
    }

    private static func words(_ change: GivenUpChanges.Change) -> String {
        switch change.kind {
        case "contents": "contents, \(Amounts.bytes(change.bytes))"
        case "name": "new name"
        case "directory": "directory"
        default: change.kind
        }
    }
}
