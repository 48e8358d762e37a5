import ObjectStore
import SystemPackage

/// What a running volume can tell about itself, and how it is brought to rest.
extension Volume {
    /// A moment's account of what S3 does not have yet.
    public struct Report: Sendable {
        public struct Change: Sendable {
            /// Below the mount point.
            public var path: String
            /// Sent so far, of `total` bytes.
            public var sent: Int64
            public var total: Int64
            public var isRunning: Bool
            /// Why S3 refused it for good.
            public var failure: ObjectStoreError?
        }

        public var changes: [Change]
        /// Keys that cannot be names and are not shown.
        public var hiddenCount: Int
        public var isBlind: Bool
        public var isOffline: Bool
        public var lastError: ObjectStoreError?
    }

    public func report() -> Report {
        update { state in
            let changes = state.overlay.committer.intents.map { intent, isRunning, _, failure in
                let file = intent.inode.flatMap { state.tree[$0]?.file }
                let carriesBytes = intent.kind == .put
                return Report.Change(
                    path: state.relativePath(intent.key), sent: carriesBytes ? file?.streaming?.bytesSent ?? 0 : 0,
                    total: carriesBytes ? file?.size ?? 0 : 0, isRunning: isRunning,
                    failure: failure.flatMap { $0.isTransient ? nil : $0 })
            }
            let moves = state.overlay.moves.inodes.compactMap { inode -> Report.Change? in
                guard let key = try? state.tree.key(inode) else { return nil }
                return Report.Change(path: state.relativePath(key), sent: 0, total: 0, isRunning: false)
            }
            return Report(
                changes: changes + moves, hiddenCount: state.base.hiddenCount, isBlind: state.isBlind,
                isOffline: isDown, lastError: state.lastError)
        }
    }

    /// Makes all that waits due now; with `retryFailed`, also what S3 refused before.
    public func hurry(retryFailed: Bool = false) {
        update { $0.overlay.hurry(now: clock.monotonic(), retryFailed: retryFailed) }
    }

    /// Lists the root: the first look, which shows whether the space can be reached. Throws what stands in the way;
    /// a refused listing alone does not.
    public func begin() async throws(ObjectStoreError) {
        do throws(ObjectStoreError) {
            _ = try await store.list(
                ListRequest(prefix: options.prefix.bytes, delimited: true, maxKeys: 1), .metadata)
        } catch {
            guard error.code == .accessDenied else { throw error }
            update { $0.isBlind = true }
        }
    }
}

extension VolumeState {
    /// A key as a path below the mount point.
    func relativePath(_ key: ObjectKey) -> String {
        let bytes =
            key.bytes.starts(with: options.prefix.bytes) ? key.bytes[options.prefix.bytes.count...] : key.bytes[...]
        return String(decoding: bytes, as: UTF8.self)
    }
}
