import ObjectStore
import SystemPackage

/// The refresher: brings base and view up to what S3 holds, when somebody looks.
extension Volume {
    /// Names that S3 gives in one answer.
    private static let pageSize = 1000

    /// Makes what is known of `name` in `parent` fresh.
    func refresh(_ parent: InodeNumber, _ name: EntryName) async throws(Errno) {
        let wantsListing = try change { state throws(Errno) in
            let directory = try state.tree.directory(parent)
            if state.isBlind { return false }
            let count = directory.probeCount + 1
            state.tree[unkept: parent]?.directory?.probeCount = count
            guard directory.listedAt != nil else { return count > 2 }
            // Once questions for single names, of two requests each, have cost what a listing does, that is made.
            let isDue = 2 * count > directory.children.count / Self.pageSize
            if isDue { state.tree[unkept: parent]?.directory?.probeCount = 0 }
            return isDue
        }
        do throws(Errno) {
            if wantsListing { try await load(parent) } else { try await probe(parent, name) }
        } catch {
            // A name that is known is still shown while S3 cannot be asked.
            let mayWait = [.networkUnreachable, .resourceBusy, ObjectStoreError.keyExpired].contains(error)
            let isKnown = try look { state throws(Errno) in state.tree.child(parent, name) != nil }
            guard mayWait, isKnown else { throw error }
        }
    }

    /// Lists a directory, together with everybody else who wants it listed now.
    func load(_ inode: InodeNumber) async throws(Errno) {
        await listWalked(inode)
        let isFresh = try look { state throws(Errno) in
            state.isFresh(try state.tree.directory(inode), now: clock.monotonic())
        }
        if isFresh { return }
        let (latch, isNew) = update { state in
            if let latch = state.loads[inode] { return (latch, false) }
            let latch = Latch<Void>()
            state.loads[inode] = latch
            return (latch, true)
        }
        if isNew {
            Task(executorPreference: clock.executor) {
                let outcome = await self.list(inode)
                self.update { $0.loads[inode] = nil }
                latch.resolve(outcome)
            }
        }
        try await latch.wait()
    }

    private func list(_ inode: InodeNumber) async -> Result<Void, Errno> {
        let begin: (prefix: KeyPrefix, start: UInt64, isDown: Bool)? = update { state in
            guard state.tree[inode]?.directory != nil, let prefix = state.tree.keyPrefix(inode) else { return nil }
            return (prefix, state.overlay.beginListing(), isDown)
        }
        guard let (prefix, start, isDown) = begin else { return .failure(.staleNFSFileHandle) }
        defer { update { $0.overlay.endListing(start) } }
        let startedAt = clock.monotonic()
        do throws(ObjectStoreError) {
            if isDown { throw Self.down }
            var directory = Base.Directory()
            var request = ListRequest(prefix: prefix.bytes, delimited: true)
            var pageCount = 0
            repeat {
                let page = try await store.list(request, .metadata)
                directory.add(page, below: prefix)
                request.continuation = page.continuation
                pageCount += 1
            } while request.continuation != nil
            directory.settle(below: prefix)
            let (listed, isLong) = (directory, pageCount > 1)
            update { state in
                state.isBlind = false
                state.adopt(listed, as: inode, prefix, since: start, startedAt: startedAt)
                let time = isLong ? clock.monotonic() - startedAt : .zero
                state.tree[unkept: inode]?.directory?.listingTime = time
            }
            return .success(())
        } catch {
            return noteFailure(error, of: inode)
        }
    }

    /// What a failed listing means. What was listed before is still shown while S3 cannot be reached.
    private func noteFailure(_ error: ObjectStoreError, of inode: InodeNumber) -> Result<Void, Errno> {
        if error.code == .unreachable { noteUnreachable(error) }
        return update { state in
            state.lastError = error
            if error.code == .accessDenied { state.isBlind = true }
            let isKnown = state.tree[inode]?.directory?.listedAt != nil
            return isKnown && (error.isTransient || error.code == .signInNeeded)
                ? .success(()) : .failure(error.errno)
        }
    }

    /// Asks S3 for one name: whether an object is there, and whether keys lie below it. Two listings decide: `name.x` and
    /// `name-1` sort between `name` and `name/`, so one would not do, and HEAD does not tell missing from denied.
    func probe(_ parent: InodeNumber, _ name: EntryName) async throws(Errno) {
        let begin: (prefix: KeyPrefix, key: ObjectKey, start: UInt64, isBlind: Bool, isDown: Bool) =
            try change { state throws(Errno) in
                guard let prefix = state.tree.keyPrefix(parent) else { throw .staleNFSFileHandle }
                return (
                    prefix, try state.tree.key(parent, name), state.overlay.beginListing(), state.isBlind,
                    isDown
                )
            }
        defer { update { $0.overlay.endListing(begin.start) } }
        let startedAt = clock.monotonic()
        do throws(ObjectStoreError) {
            if begin.isDown { throw Self.down }
            let seen = begin.isBlind ? try await headOnly(begin.key) : try await twoListings(begin.key)
            update { state in
                state.observe(
                    parent, begin.prefix, name, object: seen.object, isDirectory: seen.isDirectory, since: begin.start,
                    at: startedAt, mayCacheAbsence: !begin.isBlind)
            }
        } catch {
            if error.code == .accessDenied, !begin.isBlind {
                update { $0.isBlind = true }
                return try await probe(parent, name)
            }
            if case .failure(let errno) = noteFailure(error, of: parent) {
                let isKnown = try look { state throws(Errno) in state.tree.child(parent, name) != nil }
                if !isKnown { throw errno }
            }
        }
    }

    private func twoListings(
        _ key: ObjectKey
    ) async throws(ObjectStoreError) -> (object: ObjectSummary?, isDirectory: Bool) {
        async let below = listOne(key.bytes + [UInt8(ascii: "/")])
        let exact = try await listOne(key.bytes).get().objects.first { $0.version.key == key }
        let page = try await below.get()
        return (exact, !page.objects.isEmpty || !page.commonPrefixes.isEmpty)
    }

    private func listOne(_ prefix: [UInt8]) async -> Result<ListPage, ObjectStoreError> {
        do throws(ObjectStoreError) {
            return .success(try await store.list(ListRequest(prefix: prefix, delimited: false, maxKeys: 1), .metadata))
        } catch {
            return .failure(error)
        }
    }

    /// Where listing is refused, HEAD is all there is. 403 and 404 may then both mean missing or denied, so neither is
    /// ever taken for "there is no such name".
    private func headOnly(
        _ key: ObjectKey
    ) async throws(ObjectStoreError) -> (object: ObjectSummary?, isDirectory: Bool) {
        do throws(ObjectStoreError) {
            return (try await store.head(key, .metadata).summary, false)
        } catch {
            guard error.code == .notFound else { throw error }
            throw ObjectStoreError(.accessDenied, "\(key) is not there, or this app does not let you see it.")
        }
    }

    /// Loads a whole subtree, so that it can be moved.
    func loadTree(_ inode: InodeNumber) async throws(Errno) {
        var waiting = [inode]
        while let next = waiting.popLast() {
            let isFresh = try look { state throws(Errno) in
                state.isFresh(try state.tree.directory(next), now: clock.monotonic())
            }
            if !isFresh { try await load(next) }
            waiting += try look { state throws(Errno) in
                try state.tree.directory(next).subdirectories
            }
        }
    }
}
