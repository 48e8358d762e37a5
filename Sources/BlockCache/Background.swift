import Glibc

/// Runs `body` on a thread of its own after `seconds`. For work that waits for the disk: Swift's own threads are as few
/// as the processors. False when there is no thread to be had; then `body` does not run.
@discardableResult
func runInBackground(after seconds: UInt32 = 0, _ body: @escaping @Sendable () -> Void) -> Bool {
    let work = Unmanaged.passRetained(Work(seconds, body))
    var thread = pthread_t()
    let code = pthread_create(&thread, nil, { runWork($0) }, work.toOpaque())
    if code != 0 {
        work.release()
        return false
    }
    pthread_detach(thread)
    return true
}

private final class Work: Sendable {
    let seconds: UInt32
    let body: @Sendable () -> Void
    init(_ seconds: UInt32, _ body: @escaping @Sendable () -> Void) {
        self.seconds = seconds
        self.body = body
    }
}

private func runWork(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    let work = Unmanaged<Work>.fromOpaque(argument).takeRetainedValue()
    sleep(work.seconds)
    work.body()
    return nil
}
