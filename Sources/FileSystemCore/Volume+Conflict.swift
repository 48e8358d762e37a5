import Bytes
import Glibc
import Journal
import Logging
import ObjectStore
import SystemPackage

/// What happens when somebody else changed an object first: both versions stay
/// (docs/SEMANTICS.md, "Other devices").
extension Volume {
    /// Two versions are compared in steps of so many bytes.
    private static let step: Int64 = 8 << 20

    /// Settles a put or copy whose precondition failed, by what S3 holds now.
    func settleConflict(_ intent: Intent) async throws(ObjectStoreError) -> (Committer.Result, Effect) {
        guard let theirs = try await object(at: intent.key) else {
            // Gone in the meantime: ours is made anew.
            return (.again, { $0.setKnown(intent.place, nil) })
        }
        if try await isOwnEcho(intent, theirs) { return (.again, { _ in }) }
        if let draft = try await draftWithEqualBytes(intent, theirs) {
            let now = clock.monotonic()
            return (.done, { $0.agree(intent, theirs, draft, now: now) })
        }
        let suffix = conflictSuffix()
        let result = update { $0.keepBoth(intent, theirs, suffix, wall: clock.wall(), now: clock.monotonic()) }
        guard let result else {
            throw ObjectStoreError(
                .tooLarge,
                "\(intent.key) was changed elsewhere, and its name leaves no room for a second one; rename it")
        }
        logger.warning(
            "A file was changed here and elsewhere; both versions are kept", metadata: ["key": "\(intent.key)"])
        return (result, { _ in })
    }

    /// What is there is what an earlier write of ours left, whose answer was lost: not a conflict, but what is replaced next.
    private func isOwnEcho(_ intent: Intent, _ theirs: ObjectSummary) async throws(ObjectStoreError) -> Bool {
        guard let (there, own) = try await ownWrite(at: intent.key), there.version == theirs.version else {
            return false
        }
        update { state in
            state.forgetAttempts(at: intent.key)
            state.setKnown(intent.place, theirs)
            if own.inode == intent.inode { state.found(theirs, of: own.inode) }
        }
        return true
    }

    /// The version that a file's clean bytes are of is gone. Where a write of ours replaced it, whose answer was lost, the
    /// bytes are in what that left. True when they are found.
    func followOwnWrite(_ inode: InodeNumber) async throws(ObjectStoreError) -> Bool {
        let location = try? look { state throws(Errno) in state.tree[inode]?.file?.location }
        guard let location, let place = Place(location.key), let (there, own) = try await ownWrite(at: location.key),
            there.version != location
        else { return false }
        return update { state in
            guard let file = state.tree[inode]?.file, file.location == location else { return false }
            // What a power cut has taken here is still newer than what it replaced, where nothing written since stands on that.
            let isFree = !file.isDirty || file.staged?.hidesBase ?? true
            guard own.inode == inode || (own.isDisowned && isFree) else { return false }
            // One that was begun later may be under way.
            state.forgetAttempts(at: location.key, through: own)
            state.setKnown(place, there)
            state.found(there, of: inode)
            return true
        }
    }

    /// The version that a copy was to be made of is gone, and the copy is there: the run that made it could not note that.
    func finishedCopy(_ intent: Intent) async throws(ObjectStoreError) -> Effect? {
        guard intent.kind == .copy, let inode = intent.inode, let draft = update({ $0.draft(inode, intent) }),
            draft.file.location?.key != intent.key
        else { return nil }
        do throws(ObjectStoreError) {
            guard let theirs = try await object(at: intent.key), isCopy(theirs, of: draft) else { return nil }
            let now = clock.monotonic()
            return { $0.agree(intent, theirs, draft, now: now) }
        } catch {
            // What may not be looked for is taken for not there.
            guard error.code == .notFound || error.code == .accessDenied else { throw error }
            return nil
        }
    }

    /// True for an object with the ETag of the file's unchanged bytes, which no other bytes of that size have.
    private func isCopy(_ object: ObjectSummary, of draft: Draft) -> Bool {
        object.version.eTag == draft.file.location?.eTag && object.size == draft.file.baseSize
    }

    /// What S3 has at a key, if that came from a write of ours whose answer was lost.
    func ownWrite(
        at key: ObjectKey
    ) async throws(ObjectStoreError) -> (there: ObjectSummary, own: Attempt)? {
        let attempts = (try? look { state throws(Errno) in state.unanswered[key] }) ?? []
        guard !attempts.isEmpty else { return nil }
        do throws(ObjectStoreError) {
            let there = try await store.head(key, .metadata)
            return attempts.last { $0.made(there) }.map { (there.summary, $0) }
        } catch {
            guard error.code == .notFound || error.code == .accessDenied else { throw error }
            return nil
        }
    }

    private func object(at key: ObjectKey) async throws(ObjectStoreError) -> ObjectSummary? {
        do throws(ObjectStoreError) {
            let page = try await store.list(ListRequest(prefix: key.bytes, delimited: false, maxKeys: 1), .metadata)
            return page.objects.first { $0.version.key == key }
        } catch {
            // Where listing is refused: something is there, or the precondition had held.
            guard error.code == .accessDenied else { throw error }
            return try await store.head(key, .metadata).summary
        }
    }

    /// The state of this side whose bytes are the same as theirs.
    private func draftWithEqualBytes(
        _ intent: Intent, _ theirs: ObjectSummary
    ) async throws(ObjectStoreError) -> Draft? {
        guard let inode = intent.inode, let draft = update({ $0.draft(inode, intent) }) else { return nil }
        let contents: FileContents
        if intent.kind == .copy {
            if isCopy(theirs, of: draft) { return draft }
            // Most often a copy of ours, made by a process that was killed before it learned of it.
            contents = FileContents(
                size: draft.file.baseSize, snapshot: nil, source: source(draft.node), reader: reader)
        } else {
            guard draft.node.linkTarget == nil else { return nil }
            contents = self.contents(draft)
        }
        guard contents.size == theirs.size else { return nil }
        for offset in stride(from: Int64(0), to: theirs.size, by: Int(Self.step)) {
            let range = offset..<min(offset + Self.step, theirs.size)
            guard try await isEqual(contents, theirs.version, range) else { return nil }
        }
        return draft
    }

    private func isEqual(
        _ contents: FileContents, _ theirs: ObjectVersion, _ range: Range<Int64>
    ) async throws(ObjectStoreError) -> Bool {
        let ours: ByteSlice
        do throws(ObjectStoreError) { ours = try await contents.bytes(range) } catch {
            // What cannot be read any more is not the same.
            guard error.code == .sourceChanged else { throw error }
            return false
        }
        let buffer = ByteBuffer(capacity: range.count)
        let count: Int
        do throws(ObjectStoreError) {
            count = try await store.get(theirs, range: range, into: buffer, .upload) { _ in }
        } catch {
            guard [.preconditionFailed, .notFound].contains(error.code) else { throw error }
            throw ObjectStoreError(.unavailable, "\(theirs.key) is being changed elsewhere")
        }
        guard count == ours.count else { return false }
        return ours.withBytes { a in
            buffer.withBytes(0..<count) { b in
                guard let a = a.baseAddress, let b = b.baseAddress else { return count == 0 }
                return memcmp(a, b, count) == 0
            }
        }
    }

    private func conflictSuffix() -> String {
        var seconds = time_t(clock.wall().seconds)
        var local = tm()
        localtime_r(&seconds, &local)
        func two(_ value: Int32) -> String { (value < 10 ? "0" : "") + String(value) }
        let date = "\(local.tm_year + 1900)-\(two(local.tm_mon + 1))-\(two(local.tm_mday))"
        let time = "\(two(local.tm_hour)).\(two(local.tm_min)).\(two(local.tm_sec))"
        return "\(EntryName.conflictMark)\(options.hostName) \(date) \(time))"
    }
}

extension EntryName {
    fileprivate static let conflictMark = " (conflict from "

    /// True for a name that a conflict has given to one of its two sides, and nobody has changed since.
    var isOfConflict: Bool { description.contains(Self.conflictMark) }
}

extension VolumeState {
    /// S3 has a version that this file's own write has left: it has the same bytes wherever the file is unchanged.
    mutating func found(_ version: ObjectSummary, of inode: InodeNumber) {
        guard tree[inode]?.file != nil else { return }
        tree[inode]?.file?.location = version.version
        tree[inode]?.file?.identity = version.version
        tree[inode]?.file?.baseSize = version.size
        guard tree[inode]?.file?.isDirty == false else { return }
        tree[inode]?.file?.size = version.size
        notices.append(.inode(inode, data: true))
    }

    /// Their bytes are ours: nothing was lost, nothing has to be stored.
    mutating func agree(_ intent: Intent, _ theirs: ObjectSummary, _ draft: Volume.Draft, now: Duration) {
        setKnown(intent.place, theirs)
        forgetAttempts(at: intent.key)
        guard let inode = intent.inode, let file = tree[inode]?.file else { return }
        // What it stands on has been found elsewhere meanwhile.
        if intent.kind == .copy, file.location != draft.file.location { return }
        tree[inode]?.file?.location = theirs.version
        // A copy says nothing of what was written here since.
        if intent.kind == .put {
            tree[inode]?.file?.identity = theirs.version
            tree[inode]?.file?.baseSize = theirs.size
            tree[inode]?.file?.committedGeneration = draft.file.generation
        }
        tree[inode]?.attributes.stored = nil
        if tree[inode]?.attributes.isDirty == true { try? enqueueMetadata(inode, now: now) }
    }

    /// Theirs keeps the name, ours goes beside it. Nil when no name can be made for it.
    mutating func keepBoth(
        _ intent: Intent, _ theirs: ObjectSummary, _ suffix: String, wall: Timestamp, now: Duration
    ) -> Committer.Result? {
        guard let inode = intent.inode, let node = tree[inode], node.isLinked else {
            spare(intent)
            return .done
        }
        guard place(node) == intent.place else { return followRename(intent, inode, now) }
        guard let (aside, key) = freeConflictName(node, suffix) else { return nil }
        spare(intent)
        let (parent, name) = (node.parent, node.name)
        setKnown(intent.place, theirs)
        tree.move(inode, to: parent, aside)
        let shown = Self.attributes(options, isDirectory: false, modified: Timestamp(seconds: theirs.lastModified))
        _ = tree.add(parent, name, .file(FileState(clean: theirs)), shown)
        notices.append(.entry(parent, name))
        notices.append(.entry(parent, aside))
        noteChildren(of: parent, wall)
        guard let place = place(tree[inode] ?? node) else { return nil }
        // What else was queued for our bytes under that name is done with them.
        for (other, isRunning) in overlay.committer.intents(for: intent.key)
        where !isRunning && other.inode == inode && other.key == intent.key {
            replace(other, by: intent, now)
        }
        overlay.move(intent, to: key, place)
        return .again
    }

    /// The file has another name by now: its bytes go straight there.
    private mutating func followRename(
        _ intent: Intent, _ inode: InodeNumber, _ now: Duration
    ) -> Committer.Result? {
        let name = Self.exchangeName(intent.order)
        guard let node = tree[inode], let key = try? tree.key(inode), let place = place(node),
            let third = try? tree.key(node.parent, name)
        else { return nil }
        spare(intent)
        // All that is queued of it goes with it, newer contents too.
        let waiting = overlay.committer.intents(of: inode).filter { !$0.isRunning }.map(\.intent)
        let puts = waiting.filter { $0.kind == .put }.map { overlay.withdraw($0.id) }
        let copies = waiting.filter { $0.kind == .copy }.map { overlay.withdraw($0.id) }
        // Where it is back where its bytes are, those are not deleted any more; nor is what it is to replace after it.
        let isBack = node.file?.location?.key == key
        drop(deletionsOf: key) { isBack || $0.requires == intent.id }
        let sendsRest = !puts.isEmpty && intent.kind == .copy
        var last = intent.id
        if overlay.committer.isBehind(intent.id, at: key) {
            // What is queued there waits for this: the bytes go to a third name, and from there to their own.
            let aside = Place(prefix: place.prefix, name: name)
            overlay.move(intent, to: third, aside)
            last = overlay.add(
                sendsRest ? .put : .copy, key: key, source: third, inode: inode, place: place, now: now)
            _ = overlay.add(.delete, key: third, inode: nil, place: aside, requires: last, now: now)
        } else {
            overlay.move(intent, to: key, place)
            if sendsRest { last = overlay.add(.put, key: key, inode: inode, place: place, now: now) }
        }
        for withdrawn in copies + puts { _ = take(the: withdrawn, over: last, now) }
        return .again
    }

    /// Their version is not deleted, whatever was queued for ours.
    private mutating func spare(_ intent: Intent) { drop(deletionsOf: intent.key) }

    private mutating func drop(deletionsOf key: ObjectKey, where isMeant: (Intent) -> Bool = { _ in true }) {
        for (other, isRunning) in overlay.committer.intents(for: key)
        where !isRunning && other.kind == .delete && other.key == key && isMeant(other) {
            _ = overlay.drop(other)
        }
    }

    private mutating func replace(_ other: Intent, by intent: Intent, _ now: Duration) {
        _ = take(the: overlay.withdraw(other.id), over: intent.id, now)
    }

    private func freeConflictName(_ node: Node, _ suffix: String) -> (name: EntryName, key: ObjectKey)? {
        for number in 1...100 {
            let name = node.name.inserting(number == 1 ? suffix : "\(suffix) \(number)")
            guard name != node.name, let key = try? tree.key(node.parent, name) else { return nil }
            if tree.child(node.parent, name) == nil { return (name, key) }
        }
        return nil
    }

    /// What becomes of a change that S3 refuses for good. It stays in the queue, as failed, until somebody tries it again
    /// or gives it up, and the view stays as it was changed. Only two kinds go, and the view goes back to what S3 has: what
    /// has lost the version it was about, and what is told to the very call that made it.
    mutating func settle(_ intent: Intent, after error: ObjectStoreError, now: Duration) {
        guard error.isRefusal else { return }
        let isLost = [.notFound, .sourceChanged, .preconditionFailed].contains(error.code)
        guard isLost || mayTakeBack(intent) else { return }
        switch intent.kind {
        case .put:
            // Bytes that lie here are kept for a retry. A file that was to be copied on the server from a version that is
            // gone has none: what S3 has instead is shown at the next look.
            guard let inode = intent.inode, let node = tree[unkept: inode], node.file?.staged == nil,
                node.file?.location != nil, error.code != .preconditionFailed
            else { return }
            overlay.giveUp(intent.id)
            if node.isLinked { takeAway(node, error) }
        case .delete, .marker:
            overlay.giveUp(intent.id)
        case .metadata:
            overlay.giveUp(intent.id)
            if let inode = intent.inode {
                tree[inode]?.attributes.isDirty = false
                tree[inode]?.attributes.overridden = []
                tree[inode]?.attributes.stored = nil
            }
        case .copy:
            guard let inode = intent.inode, let node = tree[inode], node.isLinked else {
                // Somebody has removed or replaced the file, so what it leaves behind goes all the same; but while it is
                // open, its bytes are read where they are.
                let isOpen = intent.inode.flatMap { tree[unkept: $0]?.file?.openCount } ?? 0 > 0
                if !isLost || isOpen || !overlay.drop(intent) { overlay.giveUp(intent.id) }
                break
            }
            let isDirty = node.file?.isDirty == true
            if isDirty, [.notFound, .sourceChanged].contains(error.code) {
                withdrawCopy(intent, of: inode, now)
                break
            }
            overlay.giveUp(intent.id)
            if isDirty {
                moveBack(node)
            } else {
                takeAway(node, error)
            }
        }
        forgetListings()
    }

    /// A file that cannot come to be where its name is, since its bytes are gone or S3 refuses the copy that a call waits for,
    /// is shown there no longer. What else is queued of it has nothing to store, and must not delete what its names were to
    /// replace or leave.
    private mutating func takeAway(_ node: Node, _ error: ObjectStoreError) {
        for (other, isRunning) in overlay.committer.intents(of: node.inode) where !isRunning {
            overlay.giveUp(other.id, because: error)
        }
        notices.append(.deleted(node.parent, node.inode, node.name))
        tree.detach(node.inode)
    }

    /// A changed file whose rename is undone is shown where its bytes are, unless that name is another's by now.
    private mutating func moveBack(_ node: Node) {
        guard let place = node.file?.location.flatMap({ Place($0.key) }), let name = place.name,
            let parent = tree.inode(of: place.prefix), tree.child(parent, name) == nil
        else { return }
        tree.move(node.inode, to: parent, name)
        notices.append(.entry(node.parent, node.name))
        notices.append(.entry(parent, name))
    }

    /// The version that was to be copied is nowhere any more. What was changed lies here and goes by a put, so what was to be
    /// deleted after the copy is deleted after that.
    private mutating func withdrawCopy(_ intent: Intent, of inode: InodeNumber, _ now: Duration) {
        let put = overlay.committer.intents(of: inode).last { $0.intent.kind == .put }?.intent.id
        let withdrawn = overlay.withdraw(intent.id)
        if put == nil { overlay.settle(withdrawn: intent) }
        _ = take(the: withdrawn, over: put, now)
    }

    /// True for a rename or a removal whose call still waits and is about to fail. A file's new attributes were promised
    /// before: they stay.
    private func mayTakeBack(_ intent: Intent) -> Bool {
        guard callers.contains(intent.id), intent.kind == .copy || intent.kind == .delete else { return false }
        return intent.kind == .delete || intent.inode.flatMap { tree[unkept: $0]?.attributes.isDirty } != true
    }

    /// The next look at any directory asks S3.
    private mutating func forgetListings() {
        for inode in tree.nodes.values.filter(\.isDirectory).map(\.inode) { forgetListing(inode) }
    }

    /// The next look at one directory asks S3.
    mutating func forgetListing(_ prefix: KeyPrefix) {
        if let inode = tree.inode(of: prefix) { forgetListing(inode) }
    }

    private mutating func forgetListing(_ inode: InodeNumber) {
        tree[inode]?.directory?.listedAt = nil
        tree[inode]?.directory?.absentAt = [:]
    }
}
