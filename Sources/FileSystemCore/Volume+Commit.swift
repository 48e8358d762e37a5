import BlockCache
import Bytes
import Journal
import Logging
import ObjectStore
import SystemPackage

/// Carries intents out. What runs here is decided by the committer; what it did is told to base, view and committer in
/// one step under the lock.
extension Volume {
    /// What a request that has succeeded changes in the state. It is done in one step with the end of its intent: a crash
    /// finds both or neither.
    typealias Effect = @Sendable (inout VolumeState) -> Void

    func commit(_ intent: Intent) async {
        var effect: Effect = { _ in }
        let result: Committer.Result
        do throws(ObjectStoreError) {
            (result, effect) = try await carryOut(intent)
        } catch {
            result = .failed(error)
            report(error, intent)
            if error.code == .unreachable { noteUnreachable(error) }
        }
        update { state in
            effect(&state)
            if case .failed(let error) = result { state.lastError = error }
            let now = clock.monotonic()
            state.overlay.finished(intent, result, now: now, jitter: clock.random())
            // One that somebody wants tried again has not come to its end.
            if case .failed(let error) = result, state.overlay.committer.isRefused(intent.id) {
                state.settle(intent, after: error, now: now)
                state.overlay.tick(now: now)
            }
        }
        if let inode = intent.inode {
            releasePoint(inode)
            adoptAndDrop(inode)
        }
    }

    private func carryOut(_ intent: Intent) async throws(ObjectStoreError) -> (Committer.Result, Effect) {
        if isDown { throw Self.down }
        try checkWritten(intent)
        do throws(ObjectStoreError) {
            return (.done, try await run(intent))
        } catch {
            switch error.code {
            case .preconditionFailed where [.put, .copy].contains(intent.kind):
                return try await settleConflict(intent)
            case .sourceChanged, .notFound:
                if let inode = intent.inode, try await followOwnWrite(inode) { return (.again, Self.nothing) }
                if let effect = try await finishedCopy(intent) { return (.done, effect) }
            default: break
            }
            throw error
        }
    }

    /// Nothing is sent that a crash would not find in the journal. What is there goes on while nothing new can be
    /// written, since that is what makes room on a full disk.
    private func checkWritten(_ intent: Intent) throws(ObjectStoreError) {
        guard isJournalBehind else { return }
        var names: Set = [RowKind.intent.name(intent.id.value)]
        if let inode = intent.inode { names.insert(RowKind.node.name(inode.value)) }
        if journal.rows.isWaiting(names) { throw behind(intent) }
    }

    /// Returns when a power cut cannot take back what leads to a request. A disk that fails must not keep bytes from S3, so
    /// what only adds is sent even then; a journal that still names the old place of the bytes must not outlive them.
    private func secure(_ intent: Intent) throws(ObjectStoreError) {
        let onlyAdds = [.put, .copy, .marker].contains(intent.kind)
        // Whoever waits for S3 is promised nothing before, and what is there a listing tells.
        if onlyAdds, options.durability == .remote { return }
        do throws(Errno) { try syncRows() } catch {
            if !onlyAdds { throw behind(intent) }
        }
    }

    private func behind(_ intent: Intent) -> ObjectStoreError {
        ObjectStoreError(.unavailable, "\(intent.key) stays as it is until the journal can be written")
    }

    private func run(_ intent: Intent) async throws(ObjectStoreError) -> Effect {
        switch intent.kind {
        case .put: try await put(intent)
        case .copy: try await copy(intent)
        case .metadata: try await storeMetadata(intent)
        case .delete: try await delete(intent)
        case .marker: try await storeMarker(intent)
        }
    }

    private func report(_ error: ObjectStoreError, _ intent: Intent) {
        guard ![.cancelled, .preconditionFailed, .unreachable].contains(error.code) else { return }
        let level: Logger.Level = error.isTransient ? .notice : .warning
        logger.log(
            level: level, "A change could not be stored",
            metadata: ["key": "\(intent.key)", "change": "\(intent.kind)", "reason": "\(error)"])
    }

    // MARK: Contents

    /// What a put sends: the contents and attributes of one moment.
    struct Draft: Sendable {
        let node: Node
        let file: FileState
        /// What a close has left, where that is to be sent; else the contents of the moment of sending.
        let closed: SettledContents?
        let attributes: ObjectAttributes
        let precondition: Precondition
        let context: RequestContext
    }

    private static let nothing: Effect = { _ in }

    private func put(_ intent: Intent) async throws(ObjectStoreError) -> Effect {
        guard let inode = intent.inode else { return Self.nothing }
        try await knowStored(inode)
        guard let draft = update({ $0.draft(inode, intent) }) else {
            let now = clock.monotonic()
            return { state in
                // A power cut has taken contents that were being sent: S3 may have them, and is asked at the next look.
                if state.unanswered[intent.key] != nil { state.forgetListing(intent.place.prefix) }
                state.keepAttributesQueued(inode, now: now)
            }
        }
        let attempt = Attempt(
            inode: inode, size: draft.file.size, metadata: draft.attributes.metadata, eTag: nil)
        // Once a file has replaced what it stands on, only the attempt tells where those bytes are.
        let replacesBase =
            draft.file.location?.key == intent.key && contents(draft).needsBase(0..<draft.file.size)
        // Once it is replaced, what a power cut leaves here could stand on a version that is nowhere any more. Where the
        // disk refuses that, bringing the bytes to S3 is the safest that is left.
        if draft.precondition != .absent, options.durability == .local { try? draft.file.staged?.sync() }
        let eTag = try await answered(intent, attempt, mustBeWritten: replacesBase) {
            () async throws(ObjectStoreError) in
            try await upload(intent.key, draft)
        }
        let object = stored(intent, eTag, size: draft.file.size)
        return { state in
            state.forgetAttempts(at: intent.key)
            state.stored(inode, intent, object, draft)
        }
    }

    private func stored(_ intent: Intent, _ eTag: ETag, size: Int64) -> ObjectSummary {
        ObjectSummary(
            version: ObjectVersion(key: intent.key, eTag: eTag), size: size, lastModified: clock.wall().seconds)
    }

    /// Runs a write. What it would leave behind is kept from before it is sent until its effect is, so that a later run
    /// recognises it even when this process dies in between.
    private func answered(
        _ intent: Intent, _ attempt: Attempt, mustBeWritten: Bool = false,
        _ body: () async throws(ObjectStoreError) -> ETag
    ) async throws(ObjectStoreError) -> ETag {
        let isNew = update { $0.remember(attempt, at: intent.key) }
        do throws(ObjectStoreError) {
            if mustBeWritten, isJournalBehind, journal.rows.isWaiting([RowKind.attempts.name(intent.key.bytes)]) {
                throw behind(intent)
            }
            try secure(intent)
            return try await body()
        } catch {
            if isNew, !error.isTransient, error.code != .cancelled {
                update { $0.forgetLastAttempt(at: intent.key) }
            }
            throw error
        }
    }

    private func upload(_ key: ObjectKey, _ draft: Draft) async throws(ObjectStoreError) -> ETag {
        let contents = contents(draft)
        if let target = draft.node.linkTarget {
            return try await store.put(key, ByteSlice(target), draft.attributes, draft.precondition, .upload)
        }
        // Contents that lie elsewhere on S3 (a copy on the server) need no upload.
        if draft.file.staged == nil, let location = draft.file.location, draft.file.size == draft.file.baseSize,
            draft.file.size > 0
        {
            return try await store.copy(
                location, size: draft.file.size, to: key, draft.attributes, draft.precondition, .upload)
        }
        let streaming = update { $0.takeStreaming(draft.node.inode, key) }
        if streaming == nil, contents.size <= PartPlan.singlePut {
            return try await budget.withBytes(Int(contents.size)) { () async throws(ObjectStoreError) in
                try await putWhole(key, contents, draft)
            }
        }
        return try await sendParts(streaming ?? newUpload(draft, key), key, contents, draft)
    }

    private func newUpload(_ draft: Draft, _ key: ObjectKey) -> StreamingUpload {
        let inode = draft.node.inode
        let upload = StreamingUpload(
            store: store, budget: budget, key: key, clock.executor,
            keep: { [weak self] kept in self?.update { $0.keep(kept, inode) } }, attributes: { draft.attributes })
        update { state in
            state.tree[unkept: inode]?.file?.streaming = upload
            state.tree[unkept: inode]?.file?.isStreamingClosed = true
        }
        return upload
    }

    private func sendParts(
        _ upload: StreamingUpload, _ key: ObjectKey, _ contents: FileContents, _ draft: Draft
    ) async throws(ObjectStoreError) -> ETag {
        do throws(ObjectStoreError) {
            guard let (eTag, attributes) = try await upload.finish(contents, draft.precondition) else {
                throw ObjectStoreError(.unavailable, "the upload of \(key) was given up and begins anew")
            }
            update { $0.forgetUpload(draft.node.inode, upload) }
            return try await retouched(key, eTag, draft, attributes)
        } catch {
            if upload.isCancelled { update { $0.forgetUpload(draft.node.inode, upload) } }
            // The parts sent so far are gone from S3: nothing is lost, they are sent again.
            guard error.code == .noSuchUpload else { throw error }
            throw ObjectStoreError(.unavailable, error.message)
        }
    }

    private func putWhole(
        _ key: ObjectKey, _ contents: FileContents, _ draft: Draft
    ) async throws(ObjectStoreError) -> ETag {
        let body = try await contents.bytes(0..<contents.size)
        let eTag = try await store.put(key, body, draft.attributes, draft.precondition, draft.context)
        // Staged bytes go over into the cache after the last close, when nobody waits; what came from the base version is
        // only here.
        if !contents.isStaged {
            body.withBytes { bytes in
                cache?.write(ObjectVersion(key: key, eTag: eTag), size: contents.size, offset: 0, bytes)
            }
        }
        return eTag
    }

    /// An upload that began while the file was written carries the attributes of its beginning: others are stored by a copy
    /// of the object onto itself.
    private func retouched(
        _ key: ObjectKey, _ eTag: ETag, _ draft: Draft, _ sent: ObjectAttributes
    ) async throws(ObjectStoreError) -> ETag {
        var wanted = draft.attributes
        if !draft.node.attributes.hasExplicitTime { wanted.metadata["mtime"] = sent.metadata["mtime"] }
        guard wanted != sent else { return eTag }
        return try await store.copy(
            ObjectVersion(key: key, eTag: eTag), size: draft.file.size, to: key, wanted, .matches(eTag), .upload)
    }

    func contents(_ draft: Draft) -> FileContents {
        let snapshot = draft.closed.map { $0.staged?.snapshot } ?? draft.file.staged?.snapshot()
        return FileContents(size: draft.file.size, snapshot: snapshot, source: source(draft.node), reader: reader)
    }

    /// Makes sure that what the app stored beside the bytes is known before it is written again.
    func knowStored(_ inode: InodeNumber) async throws(ObjectStoreError) {
        let key = try? look { state throws(Errno) -> ObjectKey? in
            state.isStoredKnown(inode) ? nil : state.tree[inode]?.file?.location?.key
        }
        guard let key else { return }
        do throws(ObjectStoreError) {
            let details = try await store.head(key, .metadata)
            update { $0.takeOver(details.attributes, details.summary.version.eTag, inode) }
        } catch {
            guard error.code == .notFound || error.code == .accessDenied else { throw error }
        }
    }

    private func knowMarker(_ inode: InodeNumber, _ intent: Intent) async throws(ObjectStoreError) {
        let isKnown = try? look { state throws(Errno) in
            state.tree[inode]?.attributes.stored != nil || state.base.marker(intent.place.prefix) == nil
        }
        guard isKnown == false else { return }
        do throws(ObjectStoreError) {
            let details = try await store.head(intent.key, .metadata)
            update { $0.takeOver(details.attributes, details.summary.version.eTag, inode) }
        } catch {
            guard error.code == .notFound || error.code == .accessDenied else { throw error }
        }
    }

    // MARK: Copies and attributes

    private func copy(_ intent: Intent) async throws(ObjectStoreError) -> Effect {
        guard let inode = intent.inode else { return Self.nothing }
        let (typeChanges, isDirty) =
            (try? look { state throws(Errno) in
                (state.typeChanges(inode, intent), state.tree[inode]?.attributes.isDirty == true)
            }) ?? (false, false)
        if typeChanges || isDirty { try await knowStored(inode) }
        guard let draft = update({ $0.draft(inode, intent) }), let location = draft.file.location,
            location.key != intent.key
        else {
            // An earlier one has done it, whose answer was lost; attributes that were to go with this one have to go.
            let now = clock.monotonic()
            return { $0.keepAttributesQueued(inode, now: now) }
        }
        let attributes = typeChanges || draft.node.attributes.isDirty ? draft.attributes : nil
        let attempt = Attempt(
            inode: inode, size: draft.file.baseSize, metadata: attributes?.metadata, eTag: location.eTag)
        let eTag = try await answered(intent, attempt) { () async throws(ObjectStoreError) in
            try await store.copy(
                location, size: draft.file.baseSize, to: intent.key, attributes, draft.precondition, .upload)
        }
        let object = stored(intent, eTag, size: draft.file.baseSize)
        return { state in
            state.forgetAttempts(at: intent.key)
            state.copied(inode, intent, object, draft, attributes)
        }
    }

    private func storeMetadata(_ intent: Intent) async throws(ObjectStoreError) -> Effect {
        guard let inode = intent.inode else { return Self.nothing }
        try await knowStored(inode)
        guard let draft = update({ $0.draft(inode, intent) }), let location = draft.file.location,
            location.key == intent.key, draft.node.attributes.isDirty
        else { return Self.nothing }
        try secure(intent)
        let eTag = try await store.copy(
            location, size: draft.file.baseSize, to: intent.key, draft.attributes, .matches(location.eTag), .upload)
        let object = stored(intent, eTag, size: draft.file.baseSize)
        return { $0.copied(inode, intent, object, draft, draft.attributes) }
    }

    private func delete(_ intent: Intent) async throws(ObjectStoreError) -> Effect {
        // What is there by now is the file's that has the name.
        let isTaken = (try? look { state throws(Errno) in state.isStored(at: intent.place, intent.key) }) ?? false
        if isTaken { return Self.nothing }
        try secure(intent)
        if let precondition = try await deletePrecondition(intent) {
            do throws(ObjectStoreError) {
                try await store.delete(intent.key, precondition, .metadata)
            } catch {
                guard error.code == .preconditionFailed || error.code == .notFound else { throw error }
                if error.code == .preconditionFailed {
                    guard let ours = try await ownWrite(at: intent.key)?.there.version.eTag else {
                        // Somebody else has changed it since it was seen here: theirs stays, and is shown again at the
                        // next look.
                        return { $0.forgetListing(intent.place.prefix) }
                    }
                    try await store.delete(intent.key, .matches(ours), .metadata)
                }
            }
        }
        return { state in
            state.setKnown(intent.place, nil)
            state.forgetAttempts(at: intent.key)
            if let inode = intent.inode, state.tree[inode]?.file?.heldDelete == intent.id {
                state.tree[inode]?.file?.heldDelete = nil
            }
        }
    }

    /// Only the version that was seen or made here is deleted. Nil: there is nothing of ours.
    private func deletePrecondition(_ intent: Intent) async throws(ObjectStoreError) -> Precondition? {
        let known = try? look { state throws(Errno) in state.knownObject(intent.place) }
        if let known { return .matches(known.version.eTag) }
        // A directory's marker is nobody's in particular.
        if intent.place.name == nil { return Precondition.none }
        return try await ownWrite(at: intent.key).map { .matches($0.there.version.eTag) }
    }

    private func storeMarker(_ intent: Intent) async throws(ObjectStoreError) -> Effect {
        guard let inode = intent.inode else { return Self.nothing }
        // Other programs' metadata of a marker that is there stays.
        let isWritten = (try? look { state throws(Errno) in state.markerAttributes(inode, intent) != nil }) ?? false
        guard isWritten else { return Self.nothing }
        try await knowMarker(inode, intent)
        let attributes = try? look { state throws(Errno) in state.markerAttributes(inode, intent) }
        guard let attributes else { return Self.nothing }
        let precondition = (try? look { state throws(Errno) in state.precondition(intent.place) }) ?? .absent
        var made: ETag?
        do throws(ObjectStoreError) {
            let attempt = Attempt(inode: inode, size: 0, metadata: attributes.metadata, eTag: nil)
            made = try await answered(intent, attempt) { () async throws(ObjectStoreError) in
                try await store.put(intent.key, .empty, attributes, precondition, .metadata)
            }
        } catch {
            // Somebody else made the directory: it exists, which is all that was wanted.
            guard error.code == .preconditionFailed else { throw error }
        }
        let object = made.map { stored(intent, $0, size: 0) }
        return { state in
            // A directory that was renamed meanwhile has this marker under its old name, and needs one of its own. So does one
            // that is back: this one is deleted next.
            let isDeleted = state.overlay.committer.intents(for: intent.key).contains { $0.intent.kind == .delete }
            if let node = state.tree[inode], state.place(node) == intent.place, !isDeleted {
                state.tree[inode]?.directory?.hasMarker = true
                state.tree[inode]?.attributes.isDirty = false
                if object != nil { state.tree[inode]?.attributes.stored = attributes }
            }
            guard let object else { return }
            state.forgetAttempts(at: intent.key)
            state.setKnown(intent.place, object)
        }
    }
}
