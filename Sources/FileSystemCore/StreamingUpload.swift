import Bytes
import ObjectStore
import Synchronization

/// An upload as the journal keeps it: enough to go on with it in another process.
struct KeptUpload: Sendable {
    var upload: Upload
    /// What the object will have.
    var attributes: ObjectAttributes
    var parts: [UploadedPart]
}

/// An upload in parts, which may begin while the file is still being written in sequence: parts that are complete are sent,
/// parts that are changed afterwards are sent again. Nothing becomes visible before `finish`.
final class StreamingUpload: Sendable {
    private struct State {
        /// The upload, from the moment when it is asked for.
        var beginning: Task<Result<Begun, ObjectStoreError>, Never>?
        var parts: [Int: UploadedPart] = [:]
        /// Parts being sent.
        var sending: Set<Int> = []
        /// Rises for a part with each change of its bytes.
        var changes: [Int: UInt64] = [:]
        var bytesSent: Int64 = 0
        var isCancelled = false
        /// The parts may be of other bytes than those that are wanted now: each is compared before it counts.
        var isDoubtful = false
        /// How many parts the journal knows.
        var keptCount = 0
        /// Wait for the parts that are being sent.
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    /// An upload, and the attributes that the object will have.
    private struct Begun: Sendable {
        let upload: Upload
        let attributes: ObjectAttributes
    }

    /// Parts sent at once.
    static let width = 6

    let key: ObjectKey
    private let attributes: @Sendable () async throws(ObjectStoreError) -> ObjectAttributes
    private let store: any ObjectStore
    private let budget: MemoryBudget
    private let executor: (any TaskExecutor)?
    /// Told from time to time how far it has come, so that another process can go on.
    private let keep: @Sendable (KeptUpload) -> Void
    /// Guards which part is sent, being sent, or stale; held for a moment only.
    private let state = Mutex(State())

    /// `attributes` is asked when the upload begins.
    init(
        store: any ObjectStore, budget: MemoryBudget, key: ObjectKey, _ executor: (any TaskExecutor)? = nil,
        keep: @escaping @Sendable (KeptUpload) -> Void = { _ in },
        attributes: @escaping @Sendable () async throws(ObjectStoreError) -> ObjectAttributes
    ) {
        self.executor = executor
        self.keep = keep
        self.store = store
        self.budget = budget
        self.key = key
        self.attributes = attributes
    }

    /// Goes on with an upload that an earlier process began.
    convenience init(
        resuming kept: KeptUpload, store: any ObjectStore, budget: MemoryBudget, _ executor: (any TaskExecutor)?,
        keep: @escaping @Sendable (KeptUpload) -> Void
    ) {
        self.init(store: store, budget: budget, key: kept.upload.key, executor, keep: keep) { kept.attributes }
        let begun = Begun(upload: kept.upload, attributes: kept.attributes)
        state.withLock { state in
            state.beginning = Task(executorPreference: executor) { .success(begun) }
            for part in kept.parts { state.parts[part.number.value - 1] = part }
            state.bytesSent = kept.parts.reduce(0) { $0 + $1.size }
            state.keptCount = kept.parts.count
            state.isDoubtful = true
        }
    }

    var bytesSent: Int64 { state.withLock { $0.bytesSent } }
    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    /// What is wanted now was written after parts were sent: only those with the same bytes count.
    func doubt() { state.withLock { $0.isDoubtful = true } }

    /// Bytes of `range` changed: parts that hold them are stale.
    func noteWrite(_ range: Range<Int64>) {
        guard !range.isEmpty else { return }
        let first = PartPlan.index(min(range.lowerBound, PartPlan.largestObject - 1))
        let last = PartPlan.index(min(range.upperBound, PartPlan.largestObject) - 1)
        state.withLock { state in
            for index in Set(state.parts.keys).union(state.sending) where (first...last).contains(index) {
                state.changes[index, default: 0] += 1
                if let part = state.parts.removeValue(forKey: index) { state.bytesSent -= part.size }
            }
        }
    }

    /// A part that is to be sent, and how often it had changed before its bytes were taken.
    struct Claim: Sendable {
        let index: Int
        let change: UInt64
    }

    /// The first complete part of a file of `size` bytes that is neither sent nor being sent, if one more may be sent now.
    /// To be called before the bytes are taken.
    func claim(size: Int64) -> Claim? {
        state.withLock { state in
            guard !state.isCancelled, state.sending.count < Self.width else { return nil }
            let complete = size / PartPlan.smallPart == 0 ? 0 : PartPlan.index(size)
            // Parts are sent in order; only the newest few are looked at.
            for index in max(0, complete - 64)..<max(complete, 0)
            where state.parts[index] == nil && !state.sending.contains(index) {
                return Self.claim(index, &state)
            }
            return nil
        }
    }

    private static func claim(_ index: Int, _ state: inout State) -> Claim {
        state.sending.insert(index)
        return Claim(index: index, change: state.changes[index] ?? 0)
    }

    /// Sends a claimed part.
    func send(_ claim: Claim, _ contents: FileContents) async throws(ObjectStoreError) {
        let index = claim.index
        defer { wake { _ = $0.sending.remove(index) } }
        let range = PartPlan.range(index).clamped(to: 0..<contents.size)
        guard let number = PartNumber(index + 1), !range.isEmpty else { return }
        let begun = try await begun()
        let upload = begun.upload
        let part: UploadedPart
        if contents.isUnchanged(range), range.count >= 5 << 20, let location = contents.location {
            part = try await store.copyPart(upload, number, from: location, range: range, .upload)
        } else {
            part = try await budget.withBytes(range.count) { () async throws(ObjectStoreError) in
                try await store.uploadPart(upload, number, try await contents.bytes(range), .upload)
            }
        }
        let kept: [UploadedPart]? = state.withLock { state in
            // Changed while it was sent: it has to be sent again.
            guard state.changes[index] ?? 0 == claim.change else { return nil }
            state.parts[index] = part
            state.bytesSent += part.size
            // An eighth of a big upload may have to be sent again; the journal does not learn of each part.
            guard state.parts.count > state.keptCount + state.keptCount / 8 else { return nil }
            state.keptCount = state.parts.count
            return state.parts.sorted { $0.key < $1.key }.map(\.value)
        }
        if let kept { keep(KeptUpload(upload: upload, attributes: begun.attributes, parts: kept)) }
    }

    /// The upload, begun by the first who needs it.
    private func begun() async throws(ObjectStoreError) -> Begun {
        let beginning = state.withLock { state -> Task<Result<Begun, ObjectStoreError>, Never>? in
            if let beginning = state.beginning { return beginning }
            if state.isCancelled { return nil }
            let beginning = Task(executorPreference: executor) { [store, key, attributes] in
                await Self.outcome { () async throws(ObjectStoreError) in
                    let attributes = try await attributes()
                    return Begun(upload: try await store.createUpload(key, attributes, .upload), attributes: attributes)
                }
            }
            state.beginning = beginning
            return beginning
        }
        guard let beginning else { throw ObjectStoreError(.cancelled, "the upload of \(key) was given up") }
        let outcome = await beginning.value
        let isCancelled = state.withLock { state in
            if case .failure = outcome, state.beginning == beginning { state.beginning = nil }
            return state.isCancelled
        }
        if isCancelled { throw ObjectStoreError(.cancelled, "the upload of \(key) was given up") }
        return try outcome.get()
    }

    private static func outcome(
        _ body: () async throws(ObjectStoreError) -> Begun
    ) async -> Result<Begun, ObjectStoreError> {
        do throws(ObjectStoreError) { return .success(try await body()) } catch { return .failure(error) }
    }

    /// Sends what is missing of `contents` and makes the object. Nil when the upload was cancelled.
    func finish(
        _ contents: FileContents, _ precondition: Precondition
    ) async throws(ObjectStoreError) -> (eTag: ETag, attributes: ObjectAttributes)? {
        let count = PartPlan.count(contents.size)
        do throws(ObjectStoreError) {
            try await sendMissing(count, contents)
            let begun = try await begun()
            let parts = state.withLock { state -> [UploadedPart]? in
                state.isCancelled ? nil : (0..<count).compactMap { state.parts[$0] }
            }
            guard let parts, parts.count == count, parts.reduce(0, { $0 + $1.size }) == contents.size else {
                cancel()
                return nil
            }
            return (
                try await store.completeUpload(begun.upload, parts, precondition, .upload), begun.attributes
            )
        } catch {
            // What a better network would let through goes on where it stopped.
            if !error.isTransient, error.code != .signInNeeded, error.code != .cancelled { cancel() }
            throw error
        }
    }

    /// Forgets the parts that are not of `contents`, by their checksums.
    private func dropOtherParts(_ contents: FileContents) async throws(ObjectStoreError) {
        let parts = state.withLock { state in
            defer { state.isDoubtful = false }
            return state.isDoubtful ? state.parts : [:]
        }
        do throws(ObjectStoreError) {
            for (index, part) in parts.sorted(by: { $0.key < $1.key }) where try await !isSame(part, index, contents) {
                state.withLock { state in
                    if state.parts.removeValue(forKey: index) != nil { state.bytesSent -= part.size }
                }
            }
        } catch {
            doubt()
            throw error
        }
    }

    /// True when a part surely has the bytes of `contents`. What would have to be fetched for that is not worth it.
    private func isSame(
        _ part: UploadedPart, _ index: Int, _ contents: FileContents
    ) async throws(ObjectStoreError) -> Bool {
        let range = PartPlan.range(index).clamped(to: 0..<contents.size)
        guard let checksum = part.crc32c, part.size == range.count, !contents.needsBase(range) else { return false }
        return try await budget.withBytes(range.count) { () async throws(ObjectStoreError) in
            CRC32C(try await contents.bytes(range)).value == checksum
        }
    }

    private func sendMissing(_ count: Int, _ contents: FileContents) async throws(ObjectStoreError) {
        // Parts that are being sent from an older snapshot end first.
        await sendingEnded()
        try await dropOtherParts(contents)
        var missing = state.withLock { state in
            (0..<count).filter { index in
                let size = Int64(PartPlan.range(index).clamped(to: 0..<contents.size).count)
                return state.parts[index].map { $0.size != size } ?? true
            }
        }[...]
        let failure = await withTaskGroup(of: ObjectStoreError?.self) { group in
            func startNext() {
                guard let index = missing.popFirst() else { return }
                group.addTask {
                    do throws(ObjectStoreError) {
                        try await self.send(self.state.withLock { Self.claim(index, &$0) }, contents)
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            let width = PartPlan.range(max(count - 1, 0)).count > PartPlan.smallPart ? 2 : Self.width
            for _ in 0..<width { startNext() }
            var failure: ObjectStoreError?
            for await outcome in group {
                if let outcome {
                    failure = failure ?? outcome
                    missing = []
                }
                startNext()
            }
            return failure
        }
        if let failure { throw failure }
    }

    /// Returns when no part is being sent, or the upload was cancelled.
    private func sendingEnded() async {
        await withCheckedContinuation { continuation in
            wake { $0.waiting.append(continuation) }
        }
    }

    /// Changes the state, then wakes who waits, if there is nothing to wait for any more.
    private func wake(_ change: (inout sending State) -> Void) {
        let woken = state.withLock { state in
            change(&state)
            guard state.sending.isEmpty || state.isCancelled else { return [CheckedContinuation<Void, Never>]() }
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in woken { continuation.resume() }
    }

    /// Gives the upload up.
    func cancel() {
        wake { $0.isCancelled = true }
        let beginning = state.withLock { state in
            defer { state.beginning = nil }
            return state.beginning
        }
        guard let beginning else { return }
        Task(executorPreference: executor) { [store] in
            if case .success(let begun) = await beginning.value { await store.abortUpload(begun.upload, .metadata) }
        }
    }
}
