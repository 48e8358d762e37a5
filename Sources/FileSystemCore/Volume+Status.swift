import Journal
import ObjectStore
import SystemPackage

/// What a running volume can tell about itself, and how it is brought to rest.
extension Volume {
    /// A moment's account of what S3 does not have yet.
    public struct Report: Sendable {
        public struct Change: Sendable, Equatable {
            /// What S3 is to learn of the file or directory.
            public enum Kind: String, Sendable {
                case contents, name, attributes, directory, deletion
            }

            /// Below the mount point.
            public var path: String
            public var kind: Kind
            /// The former name that a new one follows, below the mount point.
            public var source: String?
            /// Sent so far, of `total` bytes.
            public var sent: Int64
            public var total: Int64
            public var isRunning: Bool
            /// Waits for the last program that has the file open.
            public var isHeld = false
            /// S3 refused it, or something that has to come before it: it does not go by itself.
            public var isStuck = false
            /// Why S3 refused it for good; nil for what only waits.
            public var failure: String?
            /// It changes a part of a version that another device has replaced or deleted: no trying again brings that back.
            public var isSourceChanged = false
        }

        public var changes: [Change]
        /// Keys that cannot be names and are not shown.
        public var hiddenCount: Int
        public var isBlind: Bool
        public var isOffline: Bool
        public var lastError: ObjectStoreError?
        /// Why the journal takes no changes; nil while it does.
        public var journalTrouble: Errno?
    }

    /// A file that was synced and never closed, so that it is on this machine only.
    public struct UnclosedFile: Sendable, Equatable {
        /// Below the mount point.
        public let path: String
        /// Bytes.
        public let size: Int64
    }

    /// Such files of which a crash has ended the writer, by path.
    public func unclosed() -> [UnclosedFile] {
        update { state in
            state.unclosed.map { UnclosedFile(path: state.tree.path($0.inode), size: $0.file?.size ?? 0) }
        }
        .sorted { $0.path < $1.path }
    }

    /// What could not be read back from this disk, and lies aside.
    public func asides() -> [SpaceJournal.Aside] { journal.asides }

    public func report() -> Report {
        let trouble = journalTrouble
        return update { state in
            Report(
                changes: state.reportedChanges(), hiddenCount: state.base.hiddenCount, isBlind: state.isBlind,
                isOffline: isDown, lastError: state.lastError, journalTrouble: trouble)
        }
    }

    /// True when an earlier mount has seen this space, or has left changes of it: it can be shown without a network.
    public var isRemembered: Bool {
        update { !$0.overlay.committer.isEmpty || !$0.base.prefixes.isEmpty || !$0.tree.hasOnlyRoot }
    }

    /// Makes all that waits due now; with `retryFailed`, also what S3 refused before.
    public func hurry(retryFailed: Bool = false) {
        update { $0.overlay.hurry(now: clock.monotonic(), retryFailed: retryFailed) }
    }

    /// As `hurry`, for what is at and below `path` and what stands before it; for everything where `path` is empty.
    public func hurry(below path: String, retryFailed: Bool = false) {
        guard !path.isEmpty else { return hurry(retryFailed: retryFailed) }
        update { state in
            let spared = retryFailed ? [] : state.overlay.committer.stuck
            for item in state.overlay.committer.intents
            where !spared.contains(item.intent.id) && state.covers(path, item.intent) {
                if retryFailed { state.overlay.tryAgain(item.intent.id) }
                state.overlay.expedite(item.intent.id, now: clock.monotonic())
            }
        }
    }

    /// Lists the root: the first look, which shows whether the space can be reached. Throws what stands in the way;
    /// a refused listing alone does not.
    public func begin() async throws(ObjectStoreError) {
        let (start, startedAt) = (update { $0.overlay.beginListing() }, clock.monotonic())
        defer { update { $0.overlay.endListing(start) } }
        do throws(ObjectStoreError) {
            let page = try await store.list(ListRequest(prefix: options.prefix.bytes, delimited: true), .metadata)
            if page.continuation == nil { recall(page, since: start, startedAt: startedAt) }
        } catch {
            if error.code == .unreachable { noteUnreachable() }
            guard error.code == .accessDenied else {
                note(refusal: error)
                throw error
            }
            update { $0.isBlind = true }
        }
    }

    /// Keeps the root's names for a time without a network. Whoever looks asks S3 all the same.
    private func recall(_ page: ListPage, since start: UInt64, startedAt: Duration) {
        var directory = Base.Directory()
        directory.add(page, below: options.prefix)
        directory.settle(below: options.prefix)
        let listed = directory
        update { state in
            guard state.tree[.root]?.directory?.listedAt == nil else { return }
            state.adopt(listed, as: .root, options.prefix, since: start, startedAt: startedAt)
            state.tree[.root]?.directory?.listedAt = .seconds(-1_000_000_000)
        }
    }

    /// S3 has answered a question that nobody here has asked: what is wrong with the space is to be seen in `report`. That
    /// listing is refused, or the session over, is told otherwise.
    func note(refusal error: ObjectStoreError) {
        guard !error.isTransient, error.code != .accessDenied, error.code != .signInNeeded else { return }
        update { $0.lastError = error }
    }

    /// S3 has kept somebody waiting: until it is seen to answer, nobody waits for it.
    public func noteSilence() { noteUnreachable() }
}

extension VolumeState {
    func reportedChanges() -> [Volume.Report.Change] {
        let stuck = overlay.committer.stuck
        let queued = overlay.committer.intents.map { item in
            var change = reported(item)
            change.isStuck = stuck.contains(item.intent.id)
            return change
        }
        let deferred = overlay.moves.inodes.compactMap { inode -> Volume.Report.Change? in
            guard let key = try? tree.key(inode) else { return nil }
            return Volume.Report.Change(
                path: relativePath(key), kind: .init(.copy), sent: 0, total: 0, isRunning: false)
        }
        return queued + deferred
    }

    func reported(
        _ item: (intent: Intent, isRunning: Bool, isHeld: Bool, failure: ObjectStoreError?)
    ) -> Volume.Report.Change {
        let file = item.intent.inode.flatMap { tree[$0]?.file }
        let carriesBytes = item.intent.kind == .put
        return Volume.Report.Change(
            path: relativePath(shownKey(item.intent)), kind: .init(item.intent.kind),
            source: item.intent.kind == .copy ? item.intent.source.map(relativePath) : nil,
            sent: carriesBytes ? file?.streaming?.bytesSent ?? 0 : 0, total: carriesBytes ? file?.size ?? 0 : 0,
            isRunning: item.isRunning, isHeld: item.isHeld,
            failure: item.failure.flatMap { $0.isRefusal ? $0.message : nil },
            // What is to be stored of a file's own bytes and is not found is what they are read from.
            isSourceChanged: item.failure?.code == .sourceChanged
                || (item.failure?.code == .notFound && [.put, .copy].contains(item.intent.kind)))
    }

    /// Where a person finds what an intent is about: a file may have got another name since.
    private func shownKey(_ intent: Intent) -> ObjectKey {
        guard [.put, .copy, .metadata].contains(intent.kind), let inode = intent.inode, tree[inode]?.isLinked == true,
            let key = try? tree.key(inode)
        else { return intent.key }
        return key
    }

    /// A key as a path below the mount point.
    func relativePath(_ key: ObjectKey) -> String {
        let bytes =
            key.bytes.starts(with: options.prefix.bytes) ? key.bytes[options.prefix.bytes.count...] : key.bytes[...]
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension Volume.Report.Change.Kind {
    init(_ kind: Intent.Kind) {
        self =
            switch kind {
            case .put: .contents
            case .copy: .name
            case .metadata: .attributes
            case .delete: .deletion
            case .marker: .directory
            }
    }
}
