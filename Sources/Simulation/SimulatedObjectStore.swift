import Bytes
import Disk
import ObjectStore
import Synchronization

/// One process's connection to a bucket, through a network with weather. Requests take simulated time and overtake each
/// other; each fails as the weather and the seed say. What the server has got happens even when the caller is gone.
///
/// It notes what no file system may do: touch what is outside its prefix, or ask for anything while it should be idle.
public final class SimulatedObjectStore: ObjectStore {
    struct State {
        var weather = Weather.fair
        var random: SeededRandom
        var isConnected = true
        var isIdle = false
        var violations: [String] = []
        var requestCount = 0
        var nextReply = 0
        /// Requests that wait for their answer: how each is cut off.
        var pending: [Int: @Sendable () -> Void] = [:]
    }

    /// What becomes of one request. Times count from its beginning.
    struct Fate: Sendable {
        var answerAfter: Duration
        var effectAfter: Duration?
        /// Told instead of what the server says.
        var error: ObjectStoreError?
    }

    static let violationLimit = 100

    let bucket: any ObjectStore
    let executor: SimulatedExecutor
    private let prefix: KeyPrefix
    /// Held for a moment only; replies are resolved after it is let go.
    private let state: Mutex<State>

    /// - Parameter bucket: What the server does, without delay: an `InMemoryObjectStore`.
    public init(_ bucket: any ObjectStore, prefix: KeyPrefix, on executor: SimulatedExecutor) {
        self.bucket = bucket
        self.executor = executor
        self.prefix = prefix
        state = Mutex(State(random: executor.splitRandom()))
    }

    public var weather: Weather {
        get { state.withLock { $0.weather } }
        set { state.withLock { $0.weather = newValue } }
    }

    /// While it is true, a request is a violation.
    public var mustBeIdle: Bool {
        get { state.withLock { $0.isIdle } }
        set { state.withLock { $0.isIdle = newValue } }
    }

    /// Requests outside the prefix and while idle, the first hundred.
    public var violations: [String] { state.withLock { $0.violations } }

    public var requestCount: Int { state.withLock { $0.requestCount } }

    /// Requests that wait for their answer.
    public var pendingCount: Int { state.withLock { $0.pending.count } }

    /// The process is gone: its requests, those under way and those to come, end with `.cancelled`. What is on its way to
    /// the server still arrives there, or not.
    public func disconnect() {
        let pending = state.withLock { state in
            state.isConnected = false
            return state.pending.sorted { $0.key < $1.key }.map(\.value)
        }
        for cut in pending { cut() }
    }

    // MARK: One request

    /// Sends a request: `effect` is what the server does.
    func request<Value: Sendable>(
        _ call: StoreCall, touching names: [[UInt8]], _ context: RequestContext,
        _ effect: @escaping @Sendable () async throws(ObjectStoreError) -> Value
    ) async throws(ObjectStoreError) -> Value {
        let fate = try begin(call, names, context)
        let reply = Reply<Value>()
        let id = state.withLock { state in
            state.nextReply += 1
            state.pending[state.nextReply] = { reply.resolve(.failure(Self.cut)) }
            return state.nextReply
        }
        defer { state.withLock { _ = $0.pending.removeValue(forKey: id) } }
        Task(executorPreference: executor) { await self.serve(call, fate, reply, effect) }
        return try await reply.wait().get()
    }

    private static let cut = ObjectStoreError(.cancelled, "The process has ended.")

    /// The network and the server, which outlive the caller.
    private func serve<Value: Sendable>(
        _ call: StoreCall, _ fate: Fate, _ reply: Reply<Value>,
        _ effect: @Sendable () async throws(ObjectStoreError) -> Value
    ) async {
        guard let effectAfter = fate.effectAfter else {
            await pause(fate.answerAfter)
            return reply.resolve(.failure(fate.error ?? Self.cut))
        }
        if let error = fate.error, effectAfter > fate.answerAfter {
            await pause(fate.answerAfter)
            reply.resolve(.failure(error))
            await pause(effectAfter - fate.answerAfter)
            _ = await Self.outcome(effect)
            return
        }
        await pause(effectAfter)
        if call.kind == .delete, !state.withLock({ $0.isConnected }) { return reply.resolve(.failure(Self.cut)) }
        let outcome = await Self.outcome(effect)
        await pause(fate.answerAfter - effectAfter)
        reply.resolve(fate.error.map { .failure($0) } ?? outcome)
    }

    private func pause(_ duration: Duration) async { try? await executor.sleep(duration, in: 0) }

    private static func outcome<Value>(
        _ effect: () async throws(ObjectStoreError) -> Value
    ) async -> Result<Value, ObjectStoreError> {
        do throws(ObjectStoreError) { return .success(try await effect()) } catch { return .failure(error) }
    }

    /// Notes the request, and draws its fate.
    private func begin(
        _ call: StoreCall, _ names: [[UInt8]], _ context: RequestContext
    ) throws(ObjectStoreError) -> Fate {
        if Task.isCancelled { throw ObjectStoreError(.cancelled, "\(call): cancelled.") }
        return try state.withLock { state throws(ObjectStoreError) in
            guard state.isConnected else { throw Self.cut }
            state.requestCount += 1
            if !names.allSatisfy({ $0.starts(with: prefix.bytes) }) { state.note("outside the prefix: \(call)") }
            if state.isIdle { state.note("while idle: \(call)") }
            if state.weather.needsSignIn {
                throw ObjectStoreError(.signInNeeded, "\(call): the session is over; run cognitofs login.")
            }
            if call.kind.isWrite, state.weather.refusedKeys.contains(where: { $0.description == call.name }) {
                return Fate(
                    answerAfter: state.latency(), error: ObjectStoreError(.accessDenied, "\(call): refused."))
            }
            return state.fate(call, context)
        }
    }

    /// How much of a read arrives; nil for all of it.
    func drawCut() -> Double? {
        state.withLock { state in
            state.random.happens(state.weather.cutReads) ? Double.random(in: 0..<1, using: &state.random) : nil
        }
    }
}

extension SimulatedObjectStore.State {
    mutating func note(_ violation: String) {
        if violations.count < SimulatedObjectStore.violationLimit { violations.append(violation) }
    }

    mutating func latency() -> Duration {
        let range = random.happens(weather.slow) ? weather.latency.upperBound...weather.longestLatency : weather.latency
        return .seconds(Double.random(in: range, using: &random))
    }

    mutating func fate(_ call: StoreCall, _ context: RequestContext) -> SimulatedObjectStore.Fate {
        func lost(_ why: String) -> ObjectStoreError { ObjectStoreError(.unreachable, "\(call): \(why).") }
        let total = latency()
        guard weather.isReachable else {
            return SimulatedObjectStore.Fate(answerAfter: total, error: lost("there is no route to the server"))
        }
        let there = total * Double.random(in: 0...1, using: &random)
        var fate = SimulatedObjectStore.Fate(answerAfter: total, effectAfter: there)
        if random.happens(weather.unavailable) {
            fate.effectAfter = nil
            fate.error = ObjectStoreError(.unavailable, "\(call): the server asks to slow down (SlowDown).")
        } else if random.happens(weather.lostRequests) {
            fate.effectAfter = nil
            fate.error = lost("the connection was lost")
        } else if random.happens(weather.lostAnswers) {
            fate.error = lost("the connection was lost")
        } else if random.happens(weather.lateEffects) {
            fate.effectAfter = total + .seconds(Double.random(in: 0...60, using: &random))
            fate.error = lost("the connection was lost")
        }
        if total > context.patience {
            fate.answerAfter = context.patience
            fate.error = fate.error ?? lost("the server did not answer in time")
        }
        // S3 has no order of requests: a deletion that came after the same bytes were back could not be told from the right
        // one, by nobody (docs/ARCHITECTURE.md, 16).
        if call.kind == .delete, let effectAfter = fate.effectAfter, effectAfter > fate.answerAfter {
            fate.effectAfter = nil
        }
        return fate
    }
}
