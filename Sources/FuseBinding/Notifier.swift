import CFuse
import FileSystemCore
import Glibc
import Logging
import Synchronization

/// Tells the kernel from a thread of its own.
///
/// The kernel takes a notification under the locks of the directory or file, which it may hold while it waits for one of
/// our answers. So no thread that answers requests may wait for this one: callers only queue.
final class Notifier: KernelNotifier {
    private struct State {
        var backlog: NotificationBacklog
        var phase = Phase.idle
        /// To be called by the thread when it ends.
        var onStop: [@Sendable () -> Void] = []
    }

    /// Idle: the kernel has cached nothing yet, so there is nothing to tell. Stopped is for ever.
    private enum Phase { case idle, running, stopping, stopped }

    // Innermost lock: nothing is called while it is held.
    private let state: Mutex<State>
    private let wakeUp = Semaphore()
    private let log: Logger

    init(limit: Int, log: Logger) {
        self.state = Mutex(State(backlog: NotificationBacklog(limit: limit)))
        self.log = log
    }

    func invalidateEntry(_ parent: InodeNumber, _ name: FileName) { add(.entry(parent: parent, name: name)) }

    func entryDeleted(_ parent: InodeNumber, _ child: InodeNumber, _ name: FileName) {
        add(.deletion(parent: parent, child: child, name: name))
    }

    func invalidateInode(_ inode: InodeNumber, data: Bool) { add(.inode(inode, data: data)) }

    /// Starts to tell, through `channel`, which must live until `stop` has called back.
    func start(_ channel: NotificationChannel) {
        let mayStart = state.withLock { state in
            guard state.phase == .idle else { return false }
            state.phase = .running
            return true
        }
        guard mayStart else { return }
        if !PlainThread.start("fuse-notify", { self.run(channel) }) {
            log.error("no thread to tell the kernel of changes; they show when timeouts end")
            finish()
        }
    }

    /// Takes no more, and calls `stopped` when the kernel is no longer being told; on this thread if it is idle.
    func stop(_ stopped: @escaping @Sendable () -> Void) {
        let isDown = state.withLock { state in
            switch state.phase {
            case .idle, .stopped:
                state.phase = .stopped
                return true
            case .running, .stopping:
                state.phase = .stopping
                state.onStop.append(stopped)
                return false
            }
        }
        if isDown { stopped() } else { wakeUp.signal() }
    }

    private func add(_ notification: Notification) {
        let isFirst = state.withLock { state in
            guard state.phase == .running else { return false }
            let wasEmpty = state.backlog.isEmpty
            state.backlog.add(notification)
            return wasEmpty
        }
        if isFirst { wakeUp.signal() }
    }

    private func run(_ channel: NotificationChannel) {
        while true {
            wakeUp.wait()
            let (batch, dropped) = state.withLock { state in
                let dropped = state.backlog.droppedCount
                return (state.backlog.takeAll(), dropped)
            }
            if dropped > 0 {
                log.notice(
                    "more changes than the kernel can be told; some show late", metadata: ["count": "\(dropped)"])
            }
            for notification in batch {
                if isStopping { break }
                channel.tell(notification, log)
            }
            if isStopping { break }
        }
        finish()
    }

    private var isStopping: Bool { state.withLock { $0.phase == .stopping } }

    private func finish() {
        let callbacks = state.withLock { state in
            state.phase = .stopped
            defer { state.onStop = [] }
            return state.onStop
        }
        for callback in callbacks { callback() }
    }
}

/// The way of notifications into the kernel.
struct NotificationChannel: Sendable {
    // libfuse's notification calls lock what they share, and the session outlives the notifier's thread.
    nonisolated(unsafe) let session: OpaquePointer
    /// The kernel can let a name expire, which unlike an invalidation leaves alone who stands in that directory and what
    /// is mounted there.
    let canExpire: Bool

    func tell(_ notification: Notification, _ log: Logger) {
        let status =
            switch notification {
            case .entry(let parent, let name): tellEntry(parent, name)
            case .deletion(let parent, let child, let name):
                withTerminated(name.bytes) {
                    fuse_lowlevel_notify_delete(session, parent.value, child.value, $0, name.bytes.count)
                }
            case .inode(let inode, let data):
                // A negative offset leaves the pages alone.
                fuse_lowlevel_notify_inval_inode(session, inode.value, data ? 0 : -1, 0)
            }
        // ENOENT: the kernel does not know the name or inode, so there is nothing to forget.
        guard status != 0, status != -ENOENT else { return }
        log.debug("the kernel did not take a notification", metadata: ["errno": "\(-status)"])
    }

    private func tellEntry(_ parent: InodeNumber, _ name: FileName) -> Int32 {
        withTerminated(name.bytes) {
            canExpire
                ? fuse_lowlevel_notify_expire_entry(session, parent.value, $0, name.bytes.count, FUSE_LL_EXPIRE_ONLY)
                : fuse_lowlevel_notify_inval_entry(session, parent.value, $0, name.bytes.count)
        }
    }
}
