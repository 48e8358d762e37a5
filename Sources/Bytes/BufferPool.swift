import Glibc
import Synchronization

/// Memory for big transfers, counted from the moment a buffer is lent until the last reference to it goes, whoever has
/// it then: the network, a cache that writes, an answer that is being sent.
///
/// What comes back is kept for the next buffer of its size, since the kernel takes longer to hand out fresh pages than it
/// takes to fill them. What is lent and what is kept are together no more than the limit, apart from what somebody asked
/// for in any case.
public final class BufferPool: Sendable {
    /// Bytes.
    public let limit: Int

    private struct Waiter {
        let id: Int
        let count: Int
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var lent = 0
        /// Come back and not lent again, the latest last, and their bytes.
        var idle: [PooledMemory] = []
        var idleByteCount = 0
        /// First come, first served. There are as many as there are tasks that read.
        var waiters: [Waiter] = []
        var nextWaiter = 0
    }

    /// Bytes kept while nothing is lent.
    private static let kept = 4 << 20
    /// Guards the counts, the idle memory and the queue. Innermost: continuations are resumed and memory is unmapped after
    /// it is let go.
    private let state = Mutex(State())

    public init(limit: Int) { self.limit = limit }

    /// Bytes of all buffers that somebody refers to.
    public var lentByteCount: Int { state.withLock { $0.lent } }

    /// What the first of those who wait for room wants, bytes; 0: nobody waits.
    public var wantedByteCount: Int { state.withLock { $0.waiters.first?.count ?? 0 } }

    /// Nil when more than `bound` bytes would be lent then; but if nothing is lent, everybody gets what he asks for. A
    /// bound below the pool's limit stands behind those who wait for room.
    public func buffer(capacity: Int, within bound: Int) -> ByteBuffer? {
        lend(capacity) { state, byteCount in
            state.lent == 0 || (state.lent + byteCount <= bound && (bound >= limit || state.waiters.isEmpty))
        }
    }

    /// A buffer in any case, counted like any other.
    public func buffer(capacity: Int) -> ByteBuffer {
        guard let buffer = lend(capacity, if: { _, _ in true }) else { preconditionFailure("refused without a bound") }
        return buffer
    }

    private func lend(_ capacity: Int, if mayLend: (State, Int) -> Bool) -> ByteBuffer? {
        let byteCount = PooledMemory.byteCount(for: capacity)
        var dropped: [PooledMemory] = []
        let found: PooledMemory?? = state.withLock { state in
            guard mayLend(state, byteCount) else { return nil }
            state.lent += byteCount
            if let index = state.idle.lastIndex(where: { $0.byteCount == byteCount }) {
                state.idleByteCount -= byteCount
                return state.idle.remove(at: index)
            }
            dropped = Self.dropIdle(&state, keeping: max(0, limit - state.lent))
            return .some(nil)
        }
        dropped.removeAll()
        return found.map { ByteBuffer(capacity: capacity, $0 ?? PooledMemory(byteCount), of: self) }
    }

    /// From a buffer to which nobody refers any more.
    func takeBack(_ memory: PooledMemory) {
        let (dropped, woken) = state.withLock { state in
            state.lent -= memory.byteCount
            state.idle.append(memory)
            state.idleByteCount += memory.byteCount
            let keeping = state.lent == 0 ? min(Self.kept, limit) : max(0, limit - state.lent)
            return (Self.dropIdle(&state, keeping: keeping), takeServed(&state))
        }
        withExtendedLifetime(dropped) {}
        for waiter in woken { waiter.continuation.resume(returning: true) }
    }

    /// Takes out the idle memory that came back longest ago, until at most `count` bytes are left.
    private static func dropIdle(_ state: inout State, keeping count: Int) -> [PooledMemory] {
        var dropped: [PooledMemory] = []
        while state.idleByteCount > count {
            let oldest = state.idle.removeFirst()
            state.idleByteCount -= oldest.byteCount
            dropped.append(oldest)
        }
        return dropped
    }

    // MARK: Waiting

    /// Returns when `count` more bytes are within the limit, or nothing is lent; somebody else may then be quicker to take
    /// them. `queued` runs once this waits: from then on whoever could let go of memory sees that it is wanted. False:
    /// the task was cancelled.
    public func waitForRoom(_ count: Int, queued: () -> Void) async -> Bool {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        let byteCount = PooledMemory.byteCount(for: count)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waiter = Waiter(id: id, count: byteCount, continuation: continuation)
                let now: Bool? = state.withLock { state in
                    if Task.isCancelled { return false }
                    if state.waiters.isEmpty, state.lent == 0 || state.lent + byteCount <= limit { return true }
                    state.waiters.append(waiter)
                    return nil
                }
                if let now { continuation.resume(returning: now) } else { queued() }
            }
        } onCancel: {
            let (cancelled, woken) = state.withLock { state in
                let index = state.waiters.firstIndex { $0.id == id }
                return (index.map { state.waiters.remove(at: $0) }, takeServed(&state))
            }
            cancelled?.continuation.resume(returning: false)
            for waiter in woken { waiter.continuation.resume(returning: true) }
        }
    }

    /// Takes out the first waiters, as many as there is room for now.
    private func takeServed(_ state: inout State) -> [Waiter] {
        var expected = state.lent
        var served: [Waiter] = []
        while let first = state.waiters.first, expected == 0 || expected + first.count <= limit {
            expected += first.count
            served.append(state.waiters.removeFirst())
        }
        return served
    }
}

/// Pages of memory of its own, given back to the kernel when the last reference goes: not by way of malloc, which keeps
/// what is freed between other things.
///
/// Unchecked: idle in a pool, or of one buffer, which has its own rules.
final class PooledMemory: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int

    private static let step = 64 << 10

    /// Sizes are rounded up, so that memory fits the next who asks for about as much.
    static func byteCount(for capacity: Int) -> Int { (max(capacity, 1) + step - 1) / step * step }

    init(_ byteCount: Int) {
        guard let base = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            base != MAP_FAILED
            // Not input: memory is refused only when there is none left.
        else { fatalError("no memory for a buffer") }
        self.base = base
        self.byteCount = byteCount
    }

    deinit { munmap(base, byteCount) }
}
