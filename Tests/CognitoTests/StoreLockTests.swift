import Glibc
import SystemPackage
import Testing

@testable import Cognito

@Suite("The lock that processes share") struct StoreLockTests {
    @Test("While another process holds the lock nobody writes; when that process is killed, the lock is free")
    func otherProcess() async throws {
        let fixture = try StoreFixture()
        try await fixture.store.begin(Fixture.session())
        let lock = fixture.sessionFile.removingLastComponent().appending("lock")
        let script = """
            import fcntl, os, sys, time
            f = os.open(sys.argv[1], os.O_RDWR)
            fcntl.flock(f, fcntl.LOCK_EX)
            sys.stdout.write("held\\n"); sys.stdout.flush()
            time.sleep(600)
            """
        let holder = try ChildProcess(["/usr/bin/env", "python3", "-c", script, lock.string])
        #expect(try holder.readLine() == "held")
        let impatient = WallClock(now: { Fixture.start }, sleep: { _ in await Task.yield() })
        let directory = PrivateDirectory(path: fixture.sessionFile.removingLastComponent())
        var refusal: CognitoError?
        do throws(CognitoError) {
            _ = try await StoreLock(in: directory, clock: impatient, patience: .milliseconds(200))
        } catch { refusal = error }
        #expect(refusal?.code == .storeFailed)
        holder.kill()
        try await fixture.store.begin(Fixture.session(refreshToken: "after"))
        #expect(try fixture.store.load().tokens.refreshToken == Secret("after"))
    }

    @Test("Two holders in one process exclude each other, and a cancelled one stops waiting") func sameProcess() async throws {
        let fixture = try StoreFixture()
        let held = try await fixture.store.lock(.system)
        let waiting = Task { () -> CognitoError.Code? in
            do throws(CognitoError) {
                _ = try await fixture.store.lock(.system)
                return nil
            } catch { return error.code }
        }
        waiting.cancel()
        #expect(await waiting.value == .cancelled)
        _ = consume held
        _ = try await fixture.store.lock(.system)
    }
}

/// A program whose output is read; killed at the end at the latest.
final class ChildProcess {
    private let pid: pid_t
    private let output: Int32
    private var isRunning = true

    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw Errno(rawValue: errno) }
        _ = fcntl(ends[0], F_SETFD, FD_CLOEXEC)
        _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        var child: pid_t = 0
        var argv = arguments.map { strdup($0) } + [nil]
        var inherited: [String] = []
        var entry = environ
        while let text = entry.pointee {
            inherited.append(String(cString: text))
            entry += 1
        }
        var envp = (inherited + environment.map { "\($0.key)=\($0.value)" }).map { strdup($0) } + [nil]
        defer { for text in argv + envp { free(text) } }
        let failure = posix_spawnp(&child, arguments[0], &actions, nil, &argv, &envp)
        close(ends[1])
        guard failure == 0 else {
            close(ends[0])
            throw Errno(rawValue: failure)
        }
        pid = child
        output = ends[0]
    }

    deinit {
        kill()
        close(output)
    }

    func kill(_ signal: Int32 = SIGKILL) {
        guard isRunning else { return }
        isRunning = false
        Glibc.kill(pid, signal)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
    }

    /// Without its newline; waits for it.
    func readLine() throws -> String {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(output, &byte, 1) == 1, byte != UInt8(ascii: "\n") { line.append(byte) }
        return String(decoding: line, as: UTF8.self)
    }
}
