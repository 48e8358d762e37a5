import FileSystemCore
import Glibc
import Logging
import Synchronization
import SystemPackage
import Testing

@testable import FuseBinding

/// A mount in a directory of its own, served by this process until `end`.
///
/// Its system calls run on plain threads, each with a bound: a thread of Swift's pool that waits for the mount could be the
/// one that the mount's answer needs.
final class LiveMount: Sendable {
    let path: String
    let fileSystem: MemoryFileSystem
    let session: FuseSession
    private let ending = Once<Result<FuseSession.Ending, FuseError>>()

    private init(_ path: String, _ fileSystem: MemoryFileSystem, _ session: FuseSession) {
        self.path = path
        self.fileSystem = fileSystem
        self.session = session
    }

    /// Mounts, runs `body`, and takes the mount away whatever happened.
    static func use(
        _ fileSystem: MemoryFileSystem = MemoryFileSystem(), _ options: FuseOptions = FuseOptions(source: "memory"),
        _ body: (LiveMount) async throws -> Void
    ) async throws {
        let path = try temporaryDirectory()
        let session = try FuseSession(fileSystem: fileSystem, options: options, logger: testLog)
        let mount = LiveMount(path, fileSystem, session)
        try session.mount(at: path)
        let ready = Once<Void>()
        let isStarted = PlainThread.start("test-run") { [ending = mount.ending] in
            ending.set(Result { () throws(FuseError) in try session.run { ready.set(()) } })
        }
        precondition(isStarted, "no thread")
        do {
            try await ready.value()
            try await body(mount)
        } catch {
            await mount.end()
            throw error
        }
        await mount.end()
    }

    func end() async {
        let session = session
        // Never left mounted: a session that does not end loses its connection by force.
        do {
            try await blocking { session.unmount() }
        } catch {
            umount2(path, Int32(MNT_FORCE | MNT_DETACH))
            Issue.record("the session did not unmount")
        }
        Glibc.rmdir(path)
    }

    /// How `run` ended.
    func ended() async throws -> FuseSession.Ending { try await ending.value().get() }

    /// A path in the mount.
    func callAsFunction(_ name: String) -> String { path + "/" + name }
}

let testLog: Logger = {
    var log = Logger(label: "test")
    log.logLevel = .critical
    return log
}()

func temporaryDirectory() throws -> String {
    var template = Array("/tmp/fuse-binding-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
        throw Errno(rawValue: errno)
    }
    return String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
}

struct TimedOut: Error {}

/// A value that comes once; who waits is woken, or gives up after 30 s.
final class Once<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiting: [CheckedContinuation<Value, any Error>] = []
        var isOver = false
    }

    private let state = Mutex(State())

    func set(_ value: Value) {
        let waiting = state.withLock { state in
            if state.value == nil { state.value = value }
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume(returning: value) }
    }

    func value(within bound: Duration = .seconds(30)) async throws -> Value {
        let timer = Task {
            try await Task.sleep(for: bound)
            for continuation in self.takeWaiting() { continuation.resume(throwing: TimedOut()) }
        }
        defer { timer.cancel() }
        return try await withCheckedThrowingContinuation { continuation in
            let value = state.withLock { state in
                if state.value == nil { state.waiting.append(continuation) }
                return state.value
            }
            if let value { continuation.resume(returning: value) }
        }
    }

    private func takeWaiting() -> [CheckedContinuation<Value, any Error>] {
        state.withLock { state in
            defer { state.waiting = [] }
            return state.waiting
        }
    }
}

/// Runs `body` on a plain thread, as a part of this test, and waits for it, 30 s at the most.
@discardableResult
func blocking<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
    let outcome = Once<Result<R, any Error>>()
    Task(executorPreference: ThreadForEachJob()) { outcome.set(Result { try body() }) }
    return try await outcome.value().get()
}

private final class ThreadForEachJob: TaskExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let isStarted = PlainThread.start("test-call") { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
        precondition(isStarted, "no thread")
    }
}

/// Waits until `condition` holds, 30 s at the most; for what another thread or the kernel does in its own time.
func eventually(_ condition: @Sendable () throws -> Bool) async throws {
    for _ in 0..<3000 {
        if try condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    throw TimedOut()
}
