import ObjectStore
import SystemPackage

/// Somebody who looks into one directory after another (`find`, an indexer, `ls -R`) is served by a flat listing of all that
/// is below: a thousand keys a request, instead of a request for each directory.
extension Volume {
    /// Pages of one flat listing, of a thousand keys each. What they did not reach is listed when it is asked for.
    private static let pageLimit = 10
    /// After this time no further page is asked for: somebody waits for one directory.
    private static let timeLimit = Duration.seconds(3)

    /// Called when `inode` has to be listed. Lists all below its parent instead, if somebody walks there.
    func listWalked(_ inode: InodeNumber) async {
        if isDown { return }
        let walk: (parent: InodeNumber, latch: Latch<Void>, isNew: Bool)? = update { state in
            guard !state.isBlind, let parent = state.noteWalk(to: inode, clock.monotonic()) else { return nil }
            if let latch = state.walks[parent] { return (parent, latch, false) }
            let latch = Latch<Void>()
            state.walks[parent] = latch
            return (parent, latch, true)
        }
        guard let walk else { return }
        if walk.isNew {
            Task(executorPreference: clock.executor) {
                await self.listFlat(walk.parent, from: inode)
                self.update { $0.walks[walk.parent] = nil }
                walk.latch.resolve(.success(()))
            }
        }
        // Interrupted or not: what was not listed is listed by itself then.
        try? await walk.latch.wait()
    }

    /// Lists what is below `top`, from the directory on that is asked for: those before it were looked at, or are another
    /// listing's.
    private func listFlat(_ top: InodeNumber, from asked: InodeNumber) async {
        let begin: (prefix: KeyPrefix, asked: KeyPrefix, start: UInt64)? = update { state in
            guard let prefix = state.tree.keyPrefix(top), let asked = state.tree.keyPrefix(asked) else { return nil }
            return (prefix, asked, state.overlay.beginListing())
        }
        guard let (prefix, asked, start) = begin else { return }
        defer { update { $0.overlay.endListing(start) } }
        let startedAt = clock.monotonic()
        var request = ListRequest(
            prefix: prefix.bytes, delimited: false, startAfter: ObjectKey(Array(asked.bytes.dropLast())))
        var listing = FlatListing(prefix, after: request.startAfter)
        do throws(ObjectStoreError) {
            for _ in 0..<Self.pageLimit {
                let page = try await store.list(request, .metadata)
                listing.add(page)
                request.continuation = page.continuation
                if page.continuation == nil || clock.monotonic() - startedAt > Self.timeLimit { break }
            }
        } catch {
            // The single listings say what is wrong, and somebody has to walk anew before this is tried again.
            if error.code == .unreachable { noteUnreachable(error) }
            return update { $0.tree[unkept: top]?.directory?.walkCount = 0 }
        }
        let directories = listing.complete(isEnd: request.continuation == nil)
        update { state in
            // So large that one listing does not reach its end: the next one has to be worth it again.
            if request.continuation != nil { state.tree[unkept: top]?.directory?.walkCount = 0 }
            for (prefix, directory) in directories {
                guard let inode = state.tree.inode(of: prefix),
                    state.tree[unkept: inode]?.directory.map({ state.isFresh($0, now: startedAt) }) != true
                else { continue }
                state.adopt(directory, as: inode, prefix, since: start, startedAt: startedAt)
            }
        }
    }
}

extension VolumeState {
    /// So many directories of one parent, one after another within this time: somebody walks.
    private static let walkCount = 3
    private static let walkPause = Duration.seconds(3)

    /// Notes that a directory is about to be listed. The parent, when somebody walks through it.
    mutating func noteWalk(to inode: InodeNumber, _ now: Duration) -> InodeNumber? {
        guard inode != .root, let parent = tree[unkept: inode]?.parent,
            let directory = tree[unkept: parent]?.directory, directory.listedAt != nil
        else { return nil }
        // The same one again is no walk.
        guard directory.walkedTo != inode else { return nil }
        let isNear = directory.walkedAt.map { now - $0 < Self.walkPause } ?? false
        let count = isNear ? directory.walkCount + 1 : 1
        tree[unkept: parent]?.directory?.walkedAt = now
        tree[unkept: parent]?.directory?.walkedTo = inode
        tree[unkept: parent]?.directory?.walkCount = count
        return count >= Self.walkCount ? parent : nil
    }
}

/// The keys of a flat listing, sorted into directories as delimited listings of each would give them.
struct FlatListing {
    private let top: KeyPrefix
    private var directories: [[UInt8]: Base.Directory] = [:]
    private var last: [UInt8] = []
    /// The listing began after this key.
    private let start: [UInt8]

    init(_ top: KeyPrefix, after start: ObjectKey? = nil) {
        self.top = top
        self.start = start?.bytes ?? []
        directories[top.bytes] = Base.Directory()
    }

    /// Takes the next page; pages come in the order of their keys.
    mutating func add(_ page: ListPage) {
        var group: [ObjectSummary] = []
        var prefix: [UInt8] = []
        for object in page.objects {
            let key = object.version.key.bytes
            guard key.starts(with: top.bytes) else { continue }
            let end = key.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
            if !key[..<end].elementsEqual(prefix) {
                add(group, below: prefix)
                (group, prefix) = ([], Array(key[..<end]))
            }
            group.append(object)
            last = key
        }
        add(group, below: prefix)
    }

    private mutating func add(_ objects: [ObjectSummary], below bytes: [UInt8]) {
        guard !objects.isEmpty, let prefix = KeyPrefix(bytes) else { return }
        noteAbove(bytes)
        directories[bytes, default: Base.Directory()]
            .add(ListPage(objects: objects, commonPrefixes: [], continuation: nil), below: prefix)
    }

    /// Each directory above has the next one in it.
    private mutating func noteAbove(_ bytes: [UInt8]) {
        guard bytes.count > top.bytes.count, directories[bytes] == nil else { return }
        directories[bytes] = Base.Directory()
        let end = bytes.dropLast().lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
        let above = Array(bytes[..<end])
        noteAbove(above)
        guard let prefix = KeyPrefix(above) else { return }
        directories[above]?.add(ListPage(objects: [], commonPrefixes: [bytes], continuation: nil), below: prefix)
    }

    /// The directories of which all is known, those above before those below. That leaves out those that a key before the
    /// first may be in, and, where the listing stopped before its end, those into which the next key may fall.
    func complete(isEnd: Bool) -> [(KeyPrefix, Base.Directory)] {
        directories.compactMap { bytes, directory -> (KeyPrefix, Base.Directory)? in
            let isBegunBefore = !start.isEmpty && start.starts(with: bytes)
            guard !isBegunBefore, isEnd || !last.starts(with: bytes), let prefix = KeyPrefix(bytes) else { return nil }
            var settled = directory
            settled.settle(below: prefix)
            return (prefix, settled)
        }.sorted { $0.0.bytes.count < $1.0.bytes.count }
    }
}
