import BlockCache
import Bytes
import Journal
import Logging
import ObjectStore
import Synchronization
import SystemPackage

/// One mounted space: the file system that a kernel binding talks to.
///
/// Every answer comes from the view in memory; what the view does not know is asked of S3 in a task, and what the user
/// changes becomes an intent that a task carries out. The state has one lock, held for a moment only; nothing is
/// replied, read from disk, logged or awaited under it.
public final class Volume: FileSystem {
    let options: VolumeOptions
    let store: any ObjectStore
    let cache: BlockCache?
    let staging: StagedFile.Store
    let clock: VolumeClock
    let logger: Logger
    let writers: any WriterCensus
    let network: NetworkState
    let reader: ContentReader
    /// For the bodies of uploads.
    let budget: MemoryBudget
    /// Guards everything that changes. Lock order: this before nothing; a staged file's and a window's own lock are never
    /// taken while it is held.
    private let state: Mutex<VolumeState>
    private let notifier = Mutex<(any KernelNotifier)?>(nil)

    /// - Parameters:
    ///   - cache: Nil when this disk cannot keep a cache: everything is then read through.
    ///   - staging: Where changed bytes wait for their upload.
    ///   - writers: Tells whether a file's last writer is closing it.
    public init(
        options: VolumeOptions, store: any ObjectStore, cache: BlockCache?, staging: StagedFile.Store,
        clock: VolumeClock = .system, writers: any WriterCensus = ProcessDescriptors(), logger: Logger
    ) {
        self.options = options
        self.store = store
        self.cache = cache
        self.staging = staging
        self.clock = clock
        self.writers = writers
        self.logger = logger
        let network = NetworkState(clock)
        self.network = network
        let unreachable = Weak<Volume>()
        reader = ContentReader(
            store: store, cache: cache, memoryLimit: options.memory / 2, isDown: { network.isDown },
            noteUnreachable: { unreachable.value?.noteUnreachable() }, executor: clock.executor)
        budget = MemoryBudget(limit: Int(options.memory / 2))
        state = Mutex(VolumeState(options: options, now: clock.wall()))
        unreachable.value = self
    }

    public func attach(_ notifier: any KernelNotifier) { self.notifier.withLock { $0 = notifier } }

    // MARK: The lock

    /// Reads the state.
    func look<Value: Sendable>(_ body: (VolumeState) throws(Errno) -> Value) throws(Errno) -> Value {
        try state.withLock { state throws(Errno) in try body(state) }
    }

    /// Changes the state, then does what the change asks for: runs intents, wakes waiters, tells the kernel.
    @discardableResult
    func change<Value: Sendable>(_ body: (inout VolumeState) throws(Errno) -> Value) throws(Errno) -> Value {
        var actions: [Committer.Action] = []
        var notices: [VolumeState.Notice] = []
        defer {
            for action in actions { perform(action) }
            tell(notices)
        }
        return try state.withLock { state throws(Errno) in
            defer {
                actions = state.overlay.takeActions()
                notices = state.notices
                state.notices = []
            }
            return try body(&state)
        }
    }

    /// As `change`, for what cannot fail.
    func update<Value: Sendable>(_ body: (inout VolumeState) -> Value) -> Value {
        do throws(Errno) {
            return try change { state throws(Errno) in body(&state) }
        } catch {
            preconditionFailure("a change that cannot fail has failed")
        }
    }

    private func perform(_ action: Committer.Action) {
        switch action {
        case .run(let intent):
            Task(executorPreference: clock.executor) { await self.commit(intent) }
        case .wake(let time):
            let wait = max(time - clock.monotonic(), .zero)
            Task(executorPreference: clock.executor) {
                guard (try? await self.clock.sleep(wait)) != nil else { return }
                self.update { $0.overlay.tick(now: self.clock.monotonic()) }
            }
        case .settled(let id, let error):
            let latches = state.withLock { $0.latches.removeValue(forKey: id) } ?? []
            for latch in latches { latch.resolve(error.map { .failure($0.errno) } ?? .success(())) }
        case .stalled(let ids, let error):
            let latches = state.withLock { state in ids.flatMap { state.latches.removeValue(forKey: $0) ?? [] } }
            for latch in latches { latch.resolve(.failure(error.errno)) }
        }
    }

    private func tell(_ notices: [VolumeState.Notice]) {
        guard !notices.isEmpty, let notifier = notifier.withLock({ $0 }) else { return }
        for notice in notices {
            switch notice {
            case .entry(let parent, let name): notifier.invalidateEntry(parent, name.fileName)
            case .deleted(let parent, let child, let name): notifier.entryDeleted(parent, child, name.fileName)
            case .inode(let inode, let data): notifier.invalidateInode(inode, data: data)
            }
        }
    }

    // MARK: Shapes of answers

    /// An answer that memory can give.
    func now<Value: Sendable>(_ body: (inout VolumeState) throws(Errno) -> Value) -> Answer<Value> {
        do throws(Errno) { return .ready(try change(body)) } catch { return .failed(error) }
    }

    /// A change of the view that is made at once, and an answer that waits until S3 has what `body` queued.
    func committed<Value: Sendable>(
        _ body: (inout VolumeState) throws(Errno) -> (Value, [IntentID])
    ) -> Answer<Value> {
        do throws(Errno) {
            let (value, latches) = try change { state throws(Errno) in
                let (value, ids) = try body(&state)
                return (value, ids.map { state.latch($0, now: clock.monotonic()) })
            }
            if latches.isEmpty { return .ready(value) }
            return .later { () async throws(Errno) in
                for latch in latches { try await latch.wait() }
                return value
            }
        } catch {
            return .failed(error)
        }
    }

    /// As `committed`, from within a task.
    func commitNow<Value: Sendable>(
        _ body: (inout VolumeState) throws(Errno) -> (Value, [IntentID])
    ) async throws(Errno) -> Value {
        switch committed(body) {
        case .ready(let value): return value
        case .failed(let error): throw error
        case .later(let work): return try await work()
        }
    }

    public func statfs() -> FileSystemStatistics {
        FileSystemStatistics(
            blockSize: 4096, totalBytes: options.quota, freeBytes: options.quota,
            files: UInt64((try? look { $0.tree.nodes.count }) ?? 0), nameLimit: UInt32(EntryName.maximumByteCount))
    }
}
