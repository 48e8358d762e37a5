import CProcess
import Glibc
import SystemPackage
import Testing

@testable import Cognito

@Suite("Core files") struct CoreDumpTests {
    /// Forks a child that crashes in an empty directory with as large a core as it may have; true when the kernel dumped
    /// it (to a file or a pipe), by the word of `waitpid`.
    private func crashDumps(disabled: Bool) throws -> Bool {
        var template = Array("/tmp/cognitofs-core-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno(rawValue: errno) }
        defer {
            let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            for name in StoreFixture.names(FilePath(directory)) { unlink(directory + "/" + name) }
            rmdir(directory)
        }
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
        limit.rlim_cur = limit.rlim_max
        typealias Fork = @convention(c) () -> pid_t
        guard let address = dlsym(nil, "fork") else { throw Errno.noSuchFileOrDirectory }
        let fork = unsafeBitCast(address, to: Fork.self)
        let pid = fork()
        if pid == 0 {
            // Only system calls from here on: this is a copy of a process that had threads.
            chdir(template)
            setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
            if disabled { CoreDumps.disable() }
            signal(SIGABRT, SIG_DFL)
            abort()
        }
        guard pid > 0 else { throw Errno(rawValue: errno) }
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        #expect(status & 0x7F == SIGABRT)
        return status & 0x80 != 0
    }

    @Test("A crash after disable() dumps no core, where one without it does") func noCore() throws {
        #expect(try !crashDumps(disabled: true))
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
        // Where the machine forbids all cores there is nothing to compare with.
        if limit.rlim_max > 1 << 20 { #expect(try crashDumps(disabled: false)) }
    }

    @Test("Afterwards the limit and the flag are set for good, and the process can still do its work")
    func stillWorks() async {
        await #expect(processExitsWith: .success) {
            if geteuid() == 0 { _ = setuid(65534) }
            CoreDumps.disable()
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
            guard limit.rlim_max <= 1, cprocess_is_dumpable() == 0 else { exit(2) }
            let own = open("/proc/self/fd/\(open("/dev/null", O_RDONLY))", O_RDONLY) >= 0
            let mounts = open("/proc/self/mountinfo", O_RDONLY) >= 0
            guard own, mounts, let child = try? ChildProcess(["echo", "hello"]), (try? child.readLine()) == "hello"
            else {
                exit(1)
            }
            exit(0)
        }
    }
}
