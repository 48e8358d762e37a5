import CFuse
import Glibc
import Synchronization

/// A thread of the operating system, for calls that may block for long and so must not hold a thread of Swift's pool.
enum PlainThread {
    private final class Job: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Runs `body` on a detached thread. `name` shows in tools, at most 15 bytes of it. False if the system gives none.
    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) -> Bool {
        let job = Unmanaged.passRetained(Job(name: name, body: body))
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let job = Unmanaged<Job>.fromOpaque(argument).takeRetainedValue()
                PlainThread.name(job.name)
                PlainThread.blockSignals()
                job.body()
                return nil
            }, job.toOpaque())
        guard status == 0 else {
            job.release()
            return false
        }
        pthread_detach(thread)
        return true
    }

    /// Threads started by this one inherit the name.
    static func name(_ name: String) {
        name.withCString { cfuse_name_thread($0) }
    }

    /// Keeps every signal that is not an error of this thread from it, and from the threads that it starts: signals are
    /// for the threads that wait for them. Returns the mask of before.
    @discardableResult
    static func blockSignals() -> sigset_t {
        var blocked = sigset_t()
        var before = sigset_t()
        sigfillset(&blocked)
        for fault in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS] { sigdelset(&blocked, fault) }
        pthread_sigmask(SIG_SETMASK, &blocked, &before)
        return before
    }

    static func restoreSignals(_ mask: sigset_t) {
        var mask = mask
        pthread_sigmask(SIG_SETMASK, &mask, nil)
    }
}

/// A counting semaphore, for plain threads only.
///
/// Unchecked: sem_t is made for use by many threads, and lives at one address until deinit.
package final class Semaphore: @unchecked Sendable {
    private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    package init() {
        let status = sem_init(semaphore, 0, 0)
        precondition(status == 0, "a semaphore within a process needs no resource")
    }

    deinit {
        sem_destroy(semaphore)
        semaphore.deallocate()
    }

    package func signal() { sem_post(semaphore) }

    package func wait() {
        while sem_wait(semaphore) != 0, errno == EINTR {}
    }
}
