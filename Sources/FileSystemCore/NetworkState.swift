import Logging
import ObjectStore
import Synchronization

/// Whether S3 can be reached, as far as is known.
///
/// After a failure everything that needs the network fails at once, and one probe a second asks whether it is back; so
/// a mount without a network never makes anybody wait twice, and nothing storms when the network returns.
final class NetworkState: Sendable {
    static let probePause = Duration.seconds(1)

    private struct State {
        var isDown = false
    }
    /// Guards the flag only.
    private let state = Mutex(State())
    private let clock: VolumeClock

    init(_ clock: VolumeClock) { self.clock = clock }

    var isDown: Bool { state.withLock { $0.isDown } }

    /// Notes a failure to reach S3; false if it was known. `probe` is asked about once a second until it returns true,
    /// then `returned` is called.
    func noteUnreachable(
        probe: @escaping @Sendable () async -> Bool, returned: @escaping @Sendable () -> Void
    ) -> Bool {
        let isNew = state.withLock { state in
            defer { state.isDown = true }
            return !state.isDown
        }
        guard isNew else { return false }
        Task(executorPreference: clock.executor) {
            while await !probe() {
                guard (try? await self.clock.sleep(Self.probePause)) != nil else { return }
            }
            self.state.withLock { $0.isDown = false }
            returned()
        }
        return true
    }
}

extension Volume {
    static let down = ObjectStoreError(.unreachable, "The network is down; it is looked for once a second.")

    var isDown: Bool { network.isDown }

    /// Told in one line, whatever waits for the network.
    func noteUnreachable(_ error: ObjectStoreError? = nil) {
        let list = ListRequest(prefix: options.prefix.bytes, delimited: true, maxKeys: 1)
        let isNew = network.noteUnreachable { [store, weak self] in
            do throws(ObjectStoreError) {
                _ = try await store.list(list, RequestContext(priority: .metadata, patience: .seconds(5)))
                return true
            } catch {
                self?.note(refusal: error)
                // Any answer at all means that the network is there.
                return error.code != .unreachable
            }
        } returned: { [weak self] in
            guard let self else { return }
            logger.notice("S3 can be reached again")
            update { $0.overlay.hurry(now: self.clock.monotonic()) }
        }
        guard isNew else { return }
        logger.notice(
            "S3 cannot be reached; what is known is still shown, and changes wait",
            metadata: error.map { ["reason": "\($0)"] })
    }
}
