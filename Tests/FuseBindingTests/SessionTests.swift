import CFuse
import FileSystemCore
import Glibc
import Logging
import Synchronization
import SystemPackage
import Testing

@testable import FuseBinding

@Suite("A session's life", .serialized, .timeLimit(.minutes(3)))
struct SessionTests {
    private func reason(_ path: String, _ options: FuseOptions = FuseOptions(source: "memory")) -> FuseError.Reason? {
        do throws(FuseError) {
            let session = try FuseSession(fileSystem: MemoryFileSystem(), options: options, logger: testLog)
            try session.mount(at: path)
            return nil
        } catch {
            return error.reason
        }
    }

    @Test("a bad mount point is refused with the reason")
    func badMountPoints() throws {
        let directory = try temporaryDirectory()
        defer { rmdir(directory) }
        let file = directory + "/file"
        try System.write(file, [])
        defer { unlink(file) }
        #expect(reason("") == .mountPointMissing)
        #expect(reason(directory + "/none") == .mountPointMissing)
        #expect(reason(file) == .mountPointNotDirectory)
        #expect(reason(file + "/below") == .mountPointNotDirectory)
    }

    @Test("options that the kernel does not know, or that would break a line, are refused")
    func badOptions() throws {
        #expect(reason("/", FuseOptions(source: "")) == .optionInvalid)
        #expect(reason("/", FuseOptions(source: "a\nb")) == .optionInvalid)
        #expect(reason("/", FuseOptions(source: "a", kernelOptions: ["fd=3"])) == .optionInvalid)
    }

    @Test("user_allow_other counts only when it stands alone on a line")
    func allowOther() {
        #expect(!MountConditions.allowsOther(Array("#user_allow_other\n".utf8)))
        #expect(!MountConditions.allowsOther(Array("user_allow_others\nmount_max = 1000\n".utf8)))
        #expect(MountConditions.allowsOther(Array("mount_max = 5\n user_allow_other # yes".utf8)))
    }

    @Test("the mount table is read with its escapes and optional fields")
    func mountTable() throws {
        let line = #"36 35 0:98 / /mnt/a\040b\134 rw,noatime master:1 shared:2 - fuse.cognitofs s3 rw"#
        let entry = try #require(MountTableEntry(Array(line.utf8)))
        #expect(entry.device == "0:98")
        #expect(entry.mountPoint == Array(#"/mnt/a b\"#.utf8))
        #expect(entry.type == "fuse.cognitofs")
        #expect(MountTableEntry(Array("36 35 0:98 / /mnt rw".utf8)) == nil)
    }

    @Test("a second mount on a live one is refused, and the live one goes on")
    func alreadyMounted() async throws {
        try await LiveMount.use { mount async throws in
            let path = mount.path
            #expect(try await blocking { () throws in self.reason(path) } == .alreadyMounted)
            #expect(try await blocking { () throws in try System.list(path) } == [])
        }
    }

    @Test("source, type and read-ahead show in the system's tables")
    func tables() async throws {
        let source = "s3://bucket/a, b\\c"
        try await LiveMount.use(MemoryFileSystem(), FuseOptions(source: source, readOnly: true)) { mount in
            let entry = try #require(MountTable.entry(at: Array(mount.path.utf8)))
            #expect(entry.type == "fuse.cognitofs")
            let table = String(decoding: MountTable.read("/proc/self/mountinfo"), as: UTF8.self)
            #expect(table.contains(#" - fuse.cognitofs s3://bucket/a,\040b\134c ro,"#))
            #expect(table.contains("default_permissions"))
            let kibibytes = String(
                decoding: MountTable.read("/sys/class/bdi/\(entry.device)/read_ahead_kb"), as: UTF8.self)
            #expect(kibibytes == "1024\n" || geteuid() != 0)
            try await blocking { () throws in
                #expect(throws: Errno.readOnlyFileSystem) { try System.write(mount("a"), []) }
            }
        }
    }

    @Test("exit ends an idle session from another thread, and it stays mounted until unmount")
    func exit() async throws {
        try await LiveMount.use { mount async throws in
            mount.session.exit()
            mount.session.exit()
            #expect(try await mount.ended() == .exited)
            #expect(MountTable.entry(at: Array(mount.path.utf8)) != nil)
            try await blocking { mount.session.unmount() }
            #expect(MountTable.entry(at: Array(mount.path.utf8)) == nil)
        }
    }

    @Test("exit before run ends it at once")
    func earlyExit() async throws {
        let path = try temporaryDirectory()
        defer { rmdir(path) }
        let session = try FuseSession(
            fileSystem: MemoryFileSystem(), options: FuseOptions(source: "memory"), logger: testLog)
        try session.mount(at: path)
        session.exit()
        #expect(try await blocking { () throws in try session.run() } == .exited)
        try await blocking { session.unmount() }
        #expect(throws: FuseError.self) { try session.mount(at: path) }
    }

    @Test("an unmount from outside ends run, and open files keep it until they are closed")
    func unmountFromOutside() async throws {
        try await LiveMount.use { mount async throws in
            try await blocking { () throws in
                try System.write(mount("a"), [1, 2, 3])
                let descriptor = try System.open(mount("a"), O_RDONLY)
                #expect(throws: Errno.resourceBusy) { try System.check(umount2(mount.path, 0)) }
                try System.check(umount2(mount.path, Int32(MNT_DETACH)))
                #expect(try System.pread(descriptor, 3, at: 0) == [1, 2, 3])
                close(descriptor)
            }
            #expect(try await mount.ended() == .unmounted)
        }
    }

    @Test("unmounting with files open and a call waiting ends both with an error")
    func unmountWhileOpen() async throws {
        let fileSystem = MemoryFileSystem()
        try await LiveMount.use(fileSystem) { mount in
            let outcome = Once<Result<Void, any Error>>()
            let descriptor = try await blocking { try System.open(mount("hang"), O_CREAT | O_RDWR) }
            _ = PlainThread.start("test-hang") {
                outcome.set(Result { _ = try System.check(fsync(descriptor)) })
            }
            try await eventually { fileSystem.calls("hanging") == 1 }
            try await blocking { mount.session.unmount() }
            await #expect(throws: (any Error).self) { try await outcome.value().get() }
            try await blocking { () throws in
                #expect(throws: (any Error).self) { try System.check(fsync(descriptor)) }
                close(descriptor)
            }
            #expect(try await mount.ended() == .exited)
        }
    }

    @Test("a file that is still being released when the mount goes is released to the end")
    func slowRelease() async throws {
        let fileSystem = MemoryFileSystem()
        try await LiveMount.use(fileSystem) { mount in
            try await blocking { () throws in try System.write(mount("slow"), [1]) }
            try await eventually { fileSystem.calls("releasing") == 1 }
            try await blocking { mount.session.unmount() }
        }
        try await eventually { fileSystem.calls("release") == 1 }
        #expect(fileSystem.calls("cancelled") == 0)
    }

    @Test("exit ends while the kernel, which is being told something, waits for an answer itself")
    func exitWhileTelling() async throws {
        let fileSystem = MemoryFileSystem()
        try await LiveMount.use(fileSystem) { mount in
            let notifier = try #require(fileSystem.notifier.withLock { $0 })
            let outcome = Once<Result<Void, any Error>>()
            _ = PlainThread.start("test-stuck") { outcome.set(Result { _ = try System.stat(mount("stuck")) }) }
            try await eventually { fileSystem.calls("hanging") == 1 }
            // The lookup holds the directory's lock, which this needs.
            notifier.invalidateEntry(.root, FileName(Array("other".utf8)))
            try await Task.sleep(for: .milliseconds(50))
            mount.session.exit()
            #expect(try await mount.ended() == .exited)
            await #expect(throws: Errno.interrupted) { try await outcome.value().get() }
        }
    }

    @Test("a session that is busy can end at any moment", arguments: 0..<12)
    func endingBusy(round: Int) async throws {
        let fileSystem = MemoryFileSystem(timeout: 0)
        try await LiveMount.use(fileSystem) { mount in
            let workers = (0..<4).map { _ in Once<Void>() }
            for (number, worker) in workers.enumerated() {
                _ = PlainThread.start("test-busy") {
                    // Until the mount is gone: then the path leads to an empty directory, or the connection is cut.
                    let name = (number % 2 == 0 ? "later " : "") + "\(number)"
                    while (try? System.write(mount(name), [1, 2, 3])) != nil, (try? System.read(mount(name))) != nil {
                        guard MountTable.entry(at: Array(mount.path.utf8)) != nil else { break }
                    }
                    worker.set(())
                }
            }
            try await eventually { fileSystem.calls("write") > 8 + round * 10 }
            if round % 2 == 0 {
                try await blocking { mount.session.unmount() }
            } else {
                umount2(mount.path, Int32(MNT_DETACH))
            }
            for worker in workers { try await worker.value() }
            for number in 0..<4 { for prefix in ["later ", ""] { unlink(mount(prefix + "\(number)")) } }
            _ = try await mount.ended()
        }
    }

    @Test("a capability is asked for only if the kernel has it, and some never")
    func negotiation() {
        var poor = fuse_conn_info()
        poor.max_write = .max
        poor.negotiate(FuseOptions(source: "memory"))
        #expect(poor.want == 0)
        #expect(poor.max_write == 1 << 20)
        #expect(poor.max_read == 1 << 20)
        var rich = fuse_conn_info()
        rich.capable = .max
        rich.want = .max
        rich.negotiate(FuseOptions(source: "memory"))
        for capability in [
            FUSE_CAP_WRITEBACK_CACHE, FUSE_CAP_HANDLE_KILLPRIV, FUSE_CAP_ASYNC_DIO, FUSE_CAP_FLOCK_LOCKS,
        ] {
            #expect(rich.want & UInt32(capability) == 0)
        }
        #expect(rich.want & UInt32(FUSE_CAP_ATOMIC_O_TRUNC) != 0)
    }

    @Test("a mount whose server was killed is taken away by the next one")
    func deadMount() async throws {
        let path = try temporaryDirectory()
        defer { rmdir(path) }
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
            let session = try FuseSession(
                fileSystem: MemoryFileSystem(), options: FuseOptions(source: "old"), logger: testLog)
            try session.mount(at: path)
            let ready = Once<Void>()
            _ = PlainThread.start("test-run") { _ = try? session.run { ready.set(()) } }
            try await ready.value()
            kill(getpid(), SIGKILL)
            try await Task.sleep(for: .seconds(30))
        }
        try await blocking { () throws in
            var status = statvfs()
            #expect(throws: Errno.socketNotConnected) { try System.check(statvfs(path, &status)) }
        }
        let session = try FuseSession(
            fileSystem: MemoryFileSystem(), options: FuseOptions(source: "memory"), logger: testLog)
        try await blocking { try session.mount(at: path) }
        #expect(MountTable.current().filter { $0.mountPoint == Array(path.utf8) }.count == 1)
        try await blocking { session.unmount() }
        #expect(MountTable.entry(at: Array(path.utf8)) == nil)
    }

    @Test("a session that is dropped takes its mount along")
    func dropped() throws {
        let path = try temporaryDirectory()
        defer { rmdir(path) }
        do {
            let session = try FuseSession(
                fileSystem: MemoryFileSystem(), options: FuseOptions(source: "memory"), logger: testLog)
            try session.mount(at: path)
            #expect(MountTable.entry(at: Array(path.utf8)) != nil)
        }
        #expect(MountTable.entry(at: Array(path.utf8)) == nil)
    }

    @Test("an ordinary user mounts, reads, writes and unmounts by fusermount3")
    func ordinaryUser() async throws {
        let path = try temporaryDirectory()
        defer { rmdir(path) }
        if geteuid() == 0 { try System.check(chown(path, 65534, 65534)) }
        await #expect(processExitsWith: .success) { [path = path as String] in
            if geteuid() == 0 {
                try System.check(setgroups(0, nil))
                try System.check(setgid(65534))
                try System.check(setuid(65534))
            }
            #expect(throws: FuseError.self) {
                let session = try FuseSession(
                    fileSystem: MemoryFileSystem(), options: FuseOptions(source: "memory"), logger: testLog)
                try session.mount(at: "/usr")
            }
            let session = try FuseSession(
                fileSystem: MemoryFileSystem(), options: FuseOptions(source: "of a user, here"), logger: testLog)
            try session.mount(at: path)
            let ready = Once<Void>()
            let ended = Once<FuseSession.Ending?>()
            _ = PlainThread.start("test-run") { ended.set(try? session.run { ready.set(()) }) }
            try await ready.value()
            let bytes = pattern(300_000)
            try await blocking { () throws in
                try System.write(path + "/a", bytes)
                #expect(try System.read(path + "/a") == bytes)
            }
            #expect(MountTable.entry(at: Array(path.utf8))?.type == "fuse.cognitofs")
            try await blocking { session.unmount() }
            #expect(try await ended.value() == .exited)
            #expect(MountTable.entry(at: Array(path.utf8)) == nil)
            Glibc.exit(0)
        }
    }
}
