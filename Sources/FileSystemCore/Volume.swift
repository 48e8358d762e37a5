import BlockCache
import Bytes
import Disk
import Journal
import Logging
import ObjectStore
import Sealing
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
    let journal: SpaceJournal
    let clock: VolumeClock
    let logger: Logger
    let writers: any WriterCensus
    let network: NetworkState
    let reader: ContentReader
    /// For the bodies of uploads.
    let budget: MemoryBudget
    /// Guards everything that changes. Taken under `rewriting` only. Under it, for a moment each: the queue of the journal's
    /// rows, `contents` of a staged file (never its writer), an upload's, the network's and a new latch's own state.
    private let state: Mutex<VolumeState>
    /// Why the journal could not take the last change; nil while it can. Guards only itself.
    private let journalFailure = Mutex<Errno?>(nil)
    /// `retryJournal` is at work.
    private let isRetrying = Atomic(false)
    private let notifier = Mutex<(any KernelNotifier)?>(nil)
    /// A rewrite of the journal is under way, or about to be.
    private let isRewriting = Atomic(false)
    /// One rewrite at a time. Held while the journal is written, so taken before the state's lock.
    private let rewriting = Mutex<Void>(())
    /// What is to be removed from this disk. Guards only itself.
    let discards = Mutex(Discards())

    /// Opens the space's journal and goes on from what it holds: what S3 was last seen to hold, and what was changed here
    /// and is not on S3 yet. Nothing is sent before `start`.
    ///
    /// - Parameters:
    ///   - cache: Nil when this disk cannot keep a cache: everything is then read through.
    ///   - journal: The directory of the space's journal, which this volume has alone while it lives.
    ///   - key: What the journal is sealed with; without one it is only checked.
    ///   - writers: Tells whether a file's last writer is closing it.
    public init(
        options: VolumeOptions, store: any ObjectStore, cache: BlockCache?, journal directory: FilePath,
        key: SealingKey?, disk: any DiskAccess = MachineDisk(), clock: VolumeClock = .system,
        writers: any WriterCensus = ProcessDescriptors(),
        logger: Logger
    ) throws(JournalUnavailable) {
        var recovery = VolumeRecovery(root: options.prefix)
        journal = try SpaceJournal(
            directory: directory, key: key, logger: logger, disk: disk, smallestCompaction: options.smallestCompaction
        ) { recovery.take($0, $1) }
        if recovery.unreadable > 0 {
            logger.error(
                "Some of the journal could not be read", metadata: ["rows": "\(recovery.unreadable)"])
        }
        let staged: (files: [InodeNumber: VolumeRecovery.Staged], leftovers: [String])
        do throws(Errno) {
            staged = try recovery.openStaged(journal, logger)
        } catch {
            throw JournalUnavailable(path: directory, reason: .disk(error))
        }
        recovery.damage(options.faults)
        var restored = VolumeState(options: options, now: clock.wall())
        let uploads = recovery.uploads
        recovery.restore(to: &restored, staged.files, now: clock.monotonic())
        self.options = options
        self.store = store
        self.cache = cache
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
        state = Mutex(restored)
        unreachable.value = self
        for (inode, kept) in uploads { resume(kept, inode) }
        discard([], leftovers: staged.leftovers)
    }

    /// Begins to send what is queued.
    public func start() { update { $0.overlay.tick(now: clock.monotonic()) } }

    /// Gives an upload that an earlier process began back to its file; one whose file is gone is given up.
    private func resume(_ kept: KeptUpload, _ inode: InodeNumber) {
        let upload = StreamingUpload(
            resuming: kept, store: store, budget: budget, clock.executor,
            keep: { [weak self] kept in self?.update { $0.keep(kept, inode) } })
        let isWanted = update { state in
            guard let file = state.tree[unkept: inode]?.file, file.pendingClose != nil else { return false }
            state.tree[unkept: inode]?.file?.streaming = upload
            state.tree[unkept: inode]?.file?.isStreamingClosed = true
            state.keep(kept, inode)
            return true
        }
        if isWanted { return }
        upload.cancel()
        update { $0.restoreForgotten(upload: inode) }
    }

    public func attach(_ notifier: any KernelNotifier) { self.notifier.withLock { $0 = notifier } }

    // MARK: The lock

    /// Reads the state.
    func look<Value: Sendable>(_ body: (VolumeState) throws(Errno) -> Value) throws(Errno) -> Value {
        try state.withLock { state throws(Errno) in try body(state) }
    }

    /// Changes the state, then does what the change asks for: brings what a crash must find to the journal, runs intents,
    /// wakes waiters, tells the kernel. In that order: nothing is sent or forgotten before the journal says so.
    @discardableResult
    func change<Value: Sendable>(_ body: (inout VolumeState) throws(Errno) -> Value) throws(Errno) -> Value {
        var outcome = Outcome()
        defer { finish(outcome) }
        return try state.withLock { state throws(Errno) in
            defer { outcome = take(&state) }
            return try body(&state)
        }
    }

    /// What a change leaves to be done when the lock is let go.
    private struct Outcome {
        var actions: [Committer.Action] = []
        /// Who waited for what has ended. Found in the same step: somebody who comes to wait later waits for what comes later.
        var answers: [(latch: Latch<Void>, result: Result<Void, Errno>)] = []
        var notices: [VolumeState.Notice] = []
        var discarded: [StagedFile] = []
        var isJournalled = false
        /// A directory was renamed: its files are to be queued.
        var hasMoves = false
    }

    private func take(_ state: inout VolumeState) -> Outcome {
        let rows = state.takeRows()
        // Under the lock, so that the journal has the changes in their order.
        journal.rows.enqueue(rows)
        defer { state.notices = [] }
        let hasMoves = !state.overlay.moves.isEmpty && !state.overlay.moves.isQueueing
        if hasMoves { state.overlay.moves.isQueueing = true }
        let actions = state.overlay.takeActions()
        return Outcome(
            actions: actions, answers: actions.flatMap { state.takeAnswers($0) }, notices: state.notices,
            discarded: state.tree.takeDiscarded(),
            isJournalled: !rows.isEmpty, hasMoves: hasMoves)
    }

    private func finish(_ outcome: Outcome) {
        if outcome.isJournalled, !options.faults.contains(.acknowledgesEarly) { _ = flushJournal() }
        discard(outcome.discarded)
        for action in outcome.actions { perform(action) }
        for answer in outcome.answers { answer.latch.resolve(answer.result) }
        tell(outcome.notices)
        if outcome.hasMoves { Task(executorPreference: clock.executor) { await self.queueMoves() } }
    }

    /// Queues what renamed directories owe, in steps that keep nobody waiting.
    private func queueMoves() async {
        while update({ $0.queueMoves(limit: 100, now: clock.monotonic()) }) { await Task.yield() }
    }

    /// Brings the journal to the kernel, and has it made short again where that is worth it. False when the disk refuses
    /// it; what was refused is tried again with the next.
    private func flushJournal() -> Bool {
        guard flushRows() else { return false }
        if journal.rows.isWorthRewriting, !isRewriting.exchange(true, ordering: .acquiringAndReleasing) {
            // All that is known is written: whoever has made this change does not wait for it.
            Task(executorPreference: clock.executor) {
                self.rewriteJournal(where: \.isWorthRewriting)
                self.isRewriting.store(false, ordering: .releasing)
            }
        }
        return true
    }

    private func flushRows() -> Bool {
        do throws(Errno) {
            try journal.rows.flush()
            let former = journalFailure.withLock { failure in
                defer { failure = nil }
                return failure
            }
            if former != nil { logger.notice("Changes can be kept on this disk again") }
            return true
        } catch {
            let isNew = journalFailure.withLock { failure in
                defer { failure = error }
                return failure == nil
            }
            if isNew {
                logger.error(
                    "Changes cannot be kept on this disk: make room in state_dir", metadata: ["reason": "\(error)"])
                if beginsRetrying() { Task(executorPreference: clock.executor) { await self.retryJournal() } }
            }
            return false
        }
    }

    /// Until the disk takes it, also where nothing else happens: what S3 has told meanwhile should outlive this process.
    private func retryJournal() async {
        repeat {
            repeat {
                guard (try? await clock.sleep(.seconds(10))) != nil else {
                    return isRetrying.store(false, ordering: .sequentiallyConsistent)
                }
            } while journalTrouble != nil && !flushJournal()
            isRetrying.store(false, ordering: .sequentiallyConsistent)
            // Whoever failed in between has left it to this task.
        } while journalTrouble != nil && beginsRetrying()
    }

    private func beginsRetrying() -> Bool {
        isRetrying.compareExchange(expected: false, desired: true, ordering: .sequentiallyConsistent).exchanged
    }

    /// Why the journal takes no changes; nil while it does.
    var journalTrouble: Errno? { journalFailure.withLock { $0 } }

    /// Writes the journal anew, from memory, unless whoever came before has done so meanwhile.
    func rewriteJournal(where isWanted: (RowLog) -> Bool) {
        rewriting.withLock { _ in
            guard isWanted(journal.rows) else { return }
            // Not by `update`: a rewrite that fails must not lead to the next one at once.
            state.withLock { state in
                journal.rows.enqueue(state.takeRows())
                // The base may be large. A copy costs nothing until one of the two changes, and is made rows of as they are
                // written.
                let (known, others) = (state.base, state.overlayRows(isRewritten: journal.rows.isRewritten))
                journal.rows.enqueueRewrite { (write) throws(Errno) in
                    try known.writeRows(write)
                    try write(others)
                }
            }
            _ = flushRows()
        }
    }

    /// Returns when the disk has all of the journal. After a failed sync the kernel may have dropped what was written, so
    /// the journal is written anew, from memory.
    func syncRows() throws(Errno) {
        do throws(Errno) { try journal.rows.sync() } catch {
            guard journal.rows.needsRewriting else { throw error }
            rewriteJournal(where: \.needsRewriting)
            try journal.rows.sync()
        }
    }

    /// True while the journal does not have all that it should.
    var isJournalBehind: Bool { journalFailure.withLock { $0 } != nil && !flushJournal() }

    /// Throws while the journal cannot take changes: nothing more is promised then.
    func checkJournal() throws(Errno) {
        try checkJournalled()
        guard journal.rows.hasRoom else { throw .noSpace }
    }

    /// Throws when the journal could not take a change.
    private func checkJournalled() throws(Errno) {
        guard journalFailure.withLock({ $0 }) != nil, !flushJournal() else { return }
        throw journalFailure.withLock { $0 } ?? .noSpace
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
        case .settled, .stalled: break
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

    /// A change that waits for nothing but the journal.
    func kept<Value: Sendable>(_ body: (inout VolumeState) throws(Errno) -> Value) -> Answer<Value> {
        do throws(Errno) {
            try checkJournal()
            let value = try change(body)
            try checkJournalled()
            return .ready(value)
        } catch {
            return .failed(error)
        }
    }

    /// An answer that memory can give.
    func now<Value: Sendable>(_ body: (inout VolumeState) throws(Errno) -> Value) -> Answer<Value> {
        do throws(Errno) { return .ready(try change(body)) } catch { return .failed(error) }
    }

    /// A change of the view that is made at once. The answer waits until S3 has what `body` queued where that is promised,
    /// and else only for the journal. `isTakenBack`: what S3 refuses while the answer waits is undone, since the call fails.
    func committed<Value: Sendable>(
        isTakenBack: Bool = false, _ body: (inout VolumeState) throws(Errno) -> (Value, [IntentID])
    ) -> Answer<Value> {
        if options.durability == .local {
            return kept { state throws(Errno) in try body(&state).0 }
        }
        do throws(Errno) {
            try checkJournal()
            let (value, latches) = try change { state throws(Errno) in
                let (value, ids) = try body(&state)
                return (value, ids.map { state.latch($0, isTakenBack: isTakenBack, now: clock.monotonic()) })
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

    public func statfs() -> FileSystemStatistics {
        FileSystemStatistics(
            blockSize: 4096, totalBytes: options.quota, freeBytes: options.quota,
            files: UInt64((try? look { $0.tree.nodes.count }) ?? 0), nameLimit: UInt32(EntryName.maximumByteCount))
    }
}
