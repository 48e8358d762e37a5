import ArgumentParser
import Glibc
import MountRuntime

struct UmountCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "umount", abstract: "Wait until S3 has everything, then unmount.")

    @Argument(help: "The directory that is mounted.", completion: .directory)
    var directory: String

    @Flag(help: "Don't wait: leave what is not on S3 yet to the mount's process.")
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
        if !lazy { try SyncCommand.wait(mountPoint, nil, root) }
        try Unmounting.unmount(mountPoint)
        if !lazy { Self.awaitEnd(mountPoint, root) }
    }

    /// So that a mount right after this finds the directory and its cache free.
    private static func awaitEnd(_ mountPoint: String, _ root: String) {
        let deadline = ContinuousClock.now + patience
        while ContinuousClock.now < deadline, Mounts.client(mountPoint, stateRoot: root) != nil { usleep(50_000) }
    }
}

/// Takes a mount away, as root by the system call, otherwise through fusermount3.
enum Unmounting {
    static func unmount(_ mountPoint: String) throws(CommandFailure) {
        if geteuid() == 0 {
            // 8 is UMOUNT_NOFOLLOW of umount(2), which Glibc's header hides.
            guard umount2(mountPoint, 8) != 0 else { return }
            let reason = errno
            guard reason == EBUSY else {
                throw CommandFailure(.mount, "\(mountPoint) can't be unmounted: \(String(cString: strerror(reason))).")
            }
            throw busy(mountPoint)
        }
        let status = try Process.run("fusermount3", ["-u", "--", mountPoint])
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
