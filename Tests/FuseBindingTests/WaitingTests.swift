import CFuse
import FileSystemCore
import Glibc
import SystemPackage
import Testing

@testable import FuseBinding

@Suite("Answers that come later", .serialized, .timeLimit(.minutes(3)))
struct WaitingTests {
    @Test("a request that is dropped without an answer traps")
    func droppedRequest() async {
        await #expect(processExitsWith: .failure) {
            _ = FuseRequest(OpaquePointer(bitPattern: 0x1000))
        }
    }

    @Test("a signal ends a waiting call with EINTR, and the mount goes on", arguments: ["fsync", "read"])
    func interrupt(call: String) async throws {
        let fileSystem = MemoryFileSystem()
        try await LiveMount.use(fileSystem) { mount in
            let file = mount("hang")
            try await blocking { try System.write(file, [1]) }
            let outcome = Once<Result<Void, any Error>>()
            let caller = Once<UInt>()
            ignoreWithInterrupt(SIGUSR1)
            _ = PlainThread.start("test-hang") {
                var signals = sigset_t()
                sigemptyset(&signals)
                pthread_sigmask(SIG_SETMASK, &signals, nil)
                caller.set(UInt(pthread_self()))
                // O_DIRECT: a read of the page cache waits for the page, and no signal but a fatal one ends that.
                outcome.set(
                    Result {
                        try System.with(file, call == "read" ? O_RDONLY | 0o40000 : O_RDWR) { descriptor throws in
                            if call == "read" {
                                _ = try System.pread(descriptor, 4096, at: 0)
                            } else {
                                try System.check(fsync(descriptor))
                            }
                        }
                    })
            }
            try await eventually { fileSystem.calls("hanging") == 1 }
            pthread_kill(pthread_t(try await caller.value()), SIGUSR1)
            await #expect(throws: Errno.interrupted) { try await outcome.value().get() }
            #expect(fileSystem.calls("cancelled") == 1)
            try await blocking { () throws in
                try System.write(mount("b"), [5])
                #expect(try System.read(mount("b")) == [5])
            }
        }
    }

    @Test("a reader of the page cache that is killed goes, while its answer is still out")
    func killedReader() async throws {
        let fileSystem = MemoryFileSystem()
        try await LiveMount.use(fileSystem) { mount in
            try await blocking { () throws in
                try System.write(mount("hang"), [1])
                let status = try run(["timeout", "--signal=KILL", "2", "cat", mount("hang")])
                #expect(status == -SIGKILL || status == 137)
                #expect(try System.list(mount.path) == ["hang"])
            }
            #expect(fileSystem.calls("hanging") > 0)
        }
    }

    @Test("interrupts that meet the answer at any moment leave each call with one outcome")
    func interruptRace() async throws {
        let fileSystem = MemoryFileSystem()
        try await LiveMount.use(fileSystem) { mount in
            let file = mount("later")
            try await blocking { try System.write(file, pattern(4096)) }
            ignoreWithInterrupt(SIGUSR1)
            let outcome = Once<Result<Int, any Error>>()
            let caller = Once<UInt>()
            _ = PlainThread.start("test-race") {
                var signals = sigset_t()
                sigemptyset(&signals)
                pthread_sigmask(SIG_SETMASK, &signals, nil)
                caller.set(UInt(pthread_self()))
                outcome.set(
                    Result {
                        try System.with(file, O_RDWR) { descriptor throws in
                            var done = 0
                            for _ in 0..<3000 {
                                do {
                                    try System.check(fsync(descriptor))
                                    done += 1
                                } catch Errno.interrupted {}
                            }
                            return done
                        }
                    })
            }
            let thread = pthread_t(try await caller.value())
            let firing = Task {
                while !Task.isCancelled {
                    pthread_kill(thread, SIGUSR1)
                    try await Task.sleep(for: .microseconds(50))
                }
            }
            let done = try await outcome.value().get()
            firing.cancel()
            _ = await firing.result
            #expect(done > 0)
            #expect(fileSystem.calls("fsync") == 3000)
            #expect(try await blocking { () throws in try System.read(file) } == pattern(4096))
        }
    }

    @Test("many calls that wait do not keep others from being answered")
    func manyWaiting() async throws {
        let fileSystem = MemoryFileSystem()
        try await LiveMount.use(fileSystem) { mount in
            let descriptor = try await blocking { try System.open(mount("hang"), O_CREAT | O_RDWR) }
            let outcomes = (0..<50).map { _ in Once<Result<Void, any Error>>() }
            for outcome in outcomes {
                _ = PlainThread.start("test-hang") {
                    outcome.set(Result { _ = try System.check(fdatasync(descriptor)) })
                }
            }
            // One inode's syncs follow each other in the kernel, so not all arrive.
            try await eventually { fileSystem.calls("hanging") > 0 }
            try await blocking { () throws in
                try System.write(mount("b"), pattern(100_000))
                #expect(try System.read(mount("b")) == pattern(100_000))
            }
            try await blocking { mount.session.unmount() }
            for outcome in outcomes {
                await #expect(throws: (any Error).self) { try await outcome.value().get() }
            }
            close(descriptor)
        }
    }
}

/// Gives `signal` an empty action that does not restart calls.
private func ignoreWithInterrupt(_ signal: Int32) {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in }
    action.sa_flags = 0
    sigaction(signal, &action, nil)
}
