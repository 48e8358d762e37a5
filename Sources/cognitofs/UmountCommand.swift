import ArgumentParser
import Glibc
import MountRuntime
import Synchronization

struct UmountCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "umount", abstract: "Wait until S3 has everything, then unmount.",
        discussion: "What S3 doesn't have yet is never lost: the next mount goes on with it. Ctrl-C ends the waiting.")

    @Argument(help: "The directory that is mounted.", completion: .directory)
    var directory: String

    @Flag(help: "Detach at once: the next mount goes on with what is not on S3 yet.")
    var lazy = false

    @Option(help: ArgumentHelp("The state directory of the mount.", valueName: "directory"), completion: .directory)
    var stateDir: String?

    /// How long the process of a mount may take to end once it is unmounted and has nothing left to do.
    private static let patience = Duration.seconds(10)

    func run() throws {
        let root = Mounts.stateRoot(stateDir)
        guard let mountPoint = Mounts.absolute(directory) else {
            throw CommandFailure(.notMounted, "\(directory): \(String(cString: strerror(errno))). Check the path.")
        }
        guard let entry = Mounts.entries().last(where: { $0.mountPoint == mountPoint }), entry.isOurs else {
            throw StatusCommand.notMounted(directory)
        }
        let stopped = lazy ? nil : Self.wait(mountPoint, root)
        // The conversation begins before the unmount: the socket has another name after it.
        guard let client = Mounts.client(mountPoint, stateRoot: root) else {
            return try Unmounting.unmount(mountPoint, lazily: lazy)
        }
        try Unmounting.unmount(mountPoint, lazily: lazy)
        // One that ends before it has answered leaves the rest all the same.
        if lazy || stopped != nil { try? client.yield() }
        if !lazy { client.awaitEnd(within: Self.patience) }
        if let stopped { throw stopped }
    }

    /// Shows progress until S3 has everything. Returns what is in the way of that.
    private static func wait(_ mountPoint: String, _ root: String) -> MountFailure? {
        guard let client = Mounts.client(mountPoint, stateRoot: root) else { return nil }
        let interruption = Interruption()
        var line = ProgressLine()
        defer { line.finish() }
        do throws(MountFailure) {
            try client.sync(path: nil) { progress in
                line.show(progress)
                return !interruption.hasCome
            }
            return nil
        } catch {
            guard error.kind == .cancelled else { return MountFailure(error.kind, "Unmounted. \(error.message)") }
            return MountFailure(
                .cancelled, "Unmounted without waiting for the rest: the next mount goes on with it.")
        }
    }
}

/// Notices Ctrl-C instead of ending at once. One for a process; the second Ctrl-C ends it.
private struct Interruption {
    private static let flag = Atomic(false)

    init() {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in
            Interruption.flag.store(true, ordering: .relaxed)
            Glibc.signal(SIGINT, SIG_DFL)
        }
        sigaction(SIGINT, &action, nil)
    }

    var hasCome: Bool { Self.flag.load(ordering: .relaxed) }
}

/// Takes a mount away, as root by the system call, otherwise through fusermount3.
enum Unmounting {
    /// `lazily`: also when it is in use; it goes when the last program has let go of it.
    static func unmount(_ mountPoint: String, lazily: Bool = false) throws(CommandFailure) {
        if geteuid() == 0 {
            // 8 is UMOUNT_NOFOLLOW and 2 is MNT_DETACH of umount(2), which Glibc's header hides.
            guard umount2(mountPoint, lazily ? 8 | 2 : 8) != 0 else { return }
            let reason = errno
            guard reason == EBUSY else {
                throw CommandFailure(.mount, "\(mountPoint) can't be unmounted: \(String(cString: strerror(reason))).")
            }
            throw busy(mountPoint)
        }
        let status = try Process.run("fusermount3", lazily ? ["-uz", "--", mountPoint] : ["-u", "--", mountPoint])
        guard status != 0 else { return }
        throw busy(mountPoint)
    }

    private static func busy(_ mountPoint: String) -> CommandFailure {
        CommandFailure(
            .temporary,
            "\(mountPoint) is in use. Close the programs that work in it (`fuser -vm '\(mountPoint)'` shows them) and try "
                + "again.")
    }
}

/// Runs another program to its end.
enum Process {
    /// Its exit code, or 128 and the signal that ended it.
    static func run(_ program: String, _ arguments: [String]) throws(CommandFailure) -> Int32 {
        var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid = pid_t()
        let result = posix_spawnp(&pid, program, nil, nil, &words, environ)
        guard result == 0 else {
            throw CommandFailure(
                .mount, "\(program) can't be run: \(String(cString: strerror(result))). Install the package fuse3.")
        }
        return wait(pid)
    }

    static func wait(_ pid: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 { guard errno == EINTR else { return 127 } }
        // WIFEXITED and WEXITSTATUS of wait(2) are macros.
        return status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
    }
}
