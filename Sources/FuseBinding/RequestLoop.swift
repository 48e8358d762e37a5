import CFuse
import Glibc
import Logging
import Synchronization
import SystemPackage

/// Takes requests from the kernel on several threads and has libfuse call back for each, until it is stopped or the
/// connection ends.
///
/// libfuse's own loop looks at its exit mark only when a further request has come, and ends its threads by cancelling
/// them. This one waits for a request and for the stop at the same time, and its threads return.
final class RequestLoop: Sendable {
    // libfuse locks what its threads share, and the session outlives the loop's threads.
    private nonisolated(unsafe) let session: OpaquePointer
    /// Readable from the stop on, for good.
    private let stopEvent: FileDescriptor
    private let isStopped = Atomic(false)
    // Innermost lock: nothing is called while it is held.
    private let failure = Mutex<Errno?>(nil)
    private let workerEnded = Semaphore()

    init(_ session: OpaquePointer) throws(Errno) {
        let event = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard event >= 0 else { throw Errno(rawValue: errno) }
        self.session = session
        self.stopEvent = FileDescriptor(rawValue: event)
    }

    deinit { try? stopEvent.close() }

    /// From any thread, at any time, any number of times.
    func stop() {
        isStopped.store(true, ordering: .releasing)
        var one: UInt64 = 1
        // Fails only when the event is set already.
        _ = write(stopEvent.rawValue, &one, MemoryLayout<UInt64>.size)
    }

    /// Blocks until the end. `connected` is called when the kernel has taken the answer to its first request, before any
    /// other thread starts.
    func run(threads: Int, for server: FuseServer, connected: () -> Void) throws(Errno) {
        let device = fuse_session_fd(session)
        guard fcntl(device, F_SETFL, fcntl(device, F_GETFL) | O_NONBLOCK) == 0 else { throw Errno(rawValue: errno) }
        var reader = try RequestReader.open(device: device, stopEvent: stopEvent.rawValue)
        while !server.isConnected {
            guard take(&reader) else { return try end() }
        }
        connected()
        var workers = 0
        for _ in 1..<max(threads, 2) {
            guard PlainThread.start("fuse", { self.work(device) }) else {
                server.log.warning("fewer threads than wanted take requests", metadata: ["count": "\(workers + 1)"])
                break
            }
            workers += 1
        }
        while take(&reader) {}
        stop()
        for _ in 0..<workers { workerEnded.wait() }
        try end()
    }

    private func work(_ device: Int32) {
        do throws(Errno) {
            var reader = try RequestReader.open(device: device, stopEvent: stopEvent.rawValue)
            while take(&reader) {}
        } catch {
            failure.withLock { $0 = $0 ?? error }
        }
        stop()
        workerEnded.signal()
    }

    /// Waits for a request and has it answered or parked. False at the end.
    private func take(_ reader: inout RequestReader) -> Bool {
        while !isStopped.load(ordering: .acquiring) {
            let status = fuse_session_receive_buf(session, &reader.buffer)
            switch status {
            case 1...:
                fuse_session_process_buf(session, &reader.buffer)
                return true
            // Unmounted: libfuse says 0, or the kernel cut a request short.
            case 0, -ECONNABORTED: return false
            case -EAGAIN: reader.wait()
            case -EINTR: continue
            default:
                failure.withLock { $0 = $0 ?? Errno(rawValue: -status) }
                return false
            }
        }
        return false
    }

    private func end() throws(Errno) {
        // Quiets libfuse about answers that come after the end.
        fuse_session_exit(session)
        if let errno = failure.withLock({ $0 }) { throw errno }
    }
}

/// One thread's place at the device: a buffer, which libfuse allocates, and a way to wait.
private struct RequestReader: ~Copyable {
    var buffer = fuse_buf()
    private let events: FileDescriptor

    private init(events: FileDescriptor) {
        self.events = events
    }

    static func open(device: Int32, stopEvent: Int32) throws(Errno) -> RequestReader {
        let descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw Errno(rawValue: errno) }
        let reader = RequestReader(events: FileDescriptor(rawValue: descriptor))
        // Exclusive: one request wakes one thread.
        var request = epoll_event(events: EPOLLIN.rawValue | EPOLLEXCLUSIVE.rawValue, data: epoll_data())
        var stop = epoll_event(events: EPOLLIN.rawValue, data: epoll_data())
        guard epoll_ctl(descriptor, EPOLL_CTL_ADD, device, &request) == 0,
            epoll_ctl(descriptor, EPOLL_CTL_ADD, stopEvent, &stop) == 0
        else { throw Errno(rawValue: errno) }
        return reader
    }

    deinit {
        free(buffer.mem)
        try? events.close()
    }

    /// Returns when there is a request that no other thread has taken yet, or at the stop, or for nothing.
    func wait() {
        var event = epoll_event()
        _ = epoll_wait(events.rawValue, &event, 1, -1)
    }
}
