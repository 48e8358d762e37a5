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

    @Test("Two holders in one process exclude each other, and a cancelled one stops waiting") func sameProcess()
        async throws
    {
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
