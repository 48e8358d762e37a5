import Bytes
import Glibc
import Journal
import Logging
import ObjectStore
import SystemPackage

/// What happens when somebody else changed an object first: both versions stay (docs/SEMANTICS.md §4).
extension Volume {
    /// Contents up to this size are compared before two versions are called different.
    private static let comparedSize: Int64 = 16 << 20

    /// Settles a put or copy whose precondition failed, by what S3 holds now.
    func settleConflict(_ intent: Intent) async throws(ObjectStoreError) {
        let page = try await store.list(ListRequest(prefix: intent.key.bytes, delimited: false, maxKeys: 1), .metadata)
        let theirs = page.objects.first { $0.version.key == intent.key }
        let isSame = if let theirs { try await hasEqualBytes(intent, theirs) } else { false }
        let suffix = conflictSuffix()
        update { state in
            guard let theirs else {
                // Gone in the meantime: ours is made anew.
                state.setKnown(intent.place, nil)
                state.again(intent, now: clock.monotonic())
                return
            }
            state.setKnown(intent.place, theirs)
            if isSame {
                state.agree(intent, theirs)
            } else {
                state.keepBoth(intent, theirs, suffix, now: clock.monotonic(), wall: clock.wall())
            }
        }
        if theirs != nil, !isSame {
            logger.warning(
                "A file was changed here and elsewhere; both versions are kept", metadata: ["key": "\(intent.key)"])
        }
    }

    private func hasEqualBytes(_ intent: Intent, _ theirs: ObjectSummary) async throws(ObjectStoreError) -> Bool {
        guard intent.kind == .put, let inode = intent.inode, let draft = update({ $0.draft(inode, intent) }),
            draft.node.linkTarget == nil, draft.file.size == theirs.size, theirs.size <= Self.comparedSize
        else { return false }
        if theirs.size == 0 { return true }
        let contents = FileContents(
            size: draft.file.size, snapshot: draft.file.staged?.snapshot(), source: source(draft.node), reader: reader)
        guard let ours = try? await contents.bytes(0..<theirs.size) else { return false }
        let buffer = ByteBuffer(capacity: Int(theirs.size))
        let count = try await store.get(theirs.version, range: 0..<theirs.size, into: buffer, .upload) { _ in }
        guard count == ours.count else { return false }
        return ours.withBytes { a in buffer.withBytes(0..<count) { b in a.elementsEqual(b) } }
    }

    private func conflictSuffix() -> String {
        var seconds = time_t(clock.wall().seconds)
        var local = tm()
        localtime_r(&seconds, &local)
        func two(_ value: Int32) -> String { (value < 10 ? "0" : "") + String(value) }
        let date = "\(local.tm_year + 1900)-\(two(local.tm_mon + 1))-\(two(local.tm_mday))"
        let time = "\(two(local.tm_hour)).\(two(local.tm_min)).\(two(local.tm_sec))"
        return " (conflict from \(options.hostName) \(date) \(time))"
    }
}

extension VolumeState {
    /// Queues the same change once more, at the place where its node is now.
    mutating func again(_ intent: Intent, now: Duration) {
        guard let inode = intent.inode, let node = tree[inode], node.isLinked, let key = try? tree.key(inode),
            let place = place(node)
        else { return }
        let id = overlay.add(intent.kind, key: key, source: intent.source, inode: inode, place: place, now: now)
        pass(intent.id, to: id)
    }

    /// Their bytes are ours: nothing was lost, nothing has to be stored.
    mutating func agree(_ intent: Intent, _ theirs: ObjectSummary) {
        guard let inode = intent.inode, let file = tree[inode]?.file else { return }
        tree[inode]?.file?.location = theirs.version
        tree[inode]?.file?.identity = theirs.version
        tree[inode]?.file?.baseSize = theirs.size
        tree[inode]?.file?.committedGeneration = file.generation
        tree[inode]?.attributes.stored = nil
    }

    /// Theirs gets the name, ours goes beside it.
    mutating func keepBoth(
        _ intent: Intent, _ theirs: ObjectSummary, _ suffix: String, now: Duration, wall: Timestamp
    ) {
        guard let inode = intent.inode, let node = tree[inode], node.isLinked else { return }
        guard place(node) == intent.place else { return again(intent, now: now) }
        let (parent, name) = (node.parent, node.name)
        var aside = name.inserting(suffix)
        var number = 2
        while tree.child(parent, aside) != nil {
            aside = name.inserting("\(suffix) \(number)")
            number += 1
        }
        guard let key = try? tree.key(parent, aside) else { return }
        tree.move(inode, to: parent, aside)
        let shown = Self.attributes(options, isDirectory: false, modified: Timestamp(seconds: theirs.lastModified))
        _ = tree.add(parent, name, .file(FileState(clean: theirs)), shown)
        notices.append(.entry(parent, name))
        notices.append(.entry(parent, aside))
        noteChildren(of: parent, wall)
        guard let place = self.place(tree[inode] ?? node) else { return }
        let id = overlay.add(intent.kind, key: key, source: intent.source, inode: inode, place: place, now: now)
        pass(intent.id, to: id)
        // The source of a rename goes when the bytes are at the new name.
        if let source = intent.source {
            for (other, isRunning) in overlay.committer.intents(for: source)
            where !isRunning && other.requires == intent.id {
                _ = overlay.drop(other)
                _ = overlay.add(
                    .delete, key: source, inode: nil, place: other.place, requires: id, now: now)
            }
        }
    }

    /// Who waited for one intent now waits for another.
    private mutating func pass(_ old: IntentID, to new: IntentID) {
        if let latch = latches.removeValue(forKey: old) { latches[new] = latch }
    }

    /// What becomes of the view when S3 refuses a change for good. Contents that could not be stored stay, as failed;
    /// everything else goes back to what S3 has.
    mutating func settle(_ intent: Intent, after error: ObjectStoreError, _ clock: VolumeClock) {
        guard !error.isTransient, error.code != .signInNeeded, error.code != .cancelled else { return }
        switch intent.kind {
        case .put:
            return
        case .delete, .marker:
            overlay.giveUp(intent.id)
        case .metadata:
            overlay.giveUp(intent.id)
            if let inode = intent.inode {
                tree[inode]?.attributes.isDirty = false
                tree[inode]?.attributes.isOverridden = false
                tree[inode]?.attributes.stored = nil
            }
        case .copy:
            overlay.giveUp(intent.id)
            if let inode = intent.inode, let node = tree[inode], node.isLinked, node.file?.isDirty == false {
                notices.append(.deleted(node.parent, inode, node.name))
                tree.detach(inode)
            }
        }
        forgetListings()
    }

    /// The next look at any directory asks S3.
    private mutating func forgetListings() {
        for inode in tree.nodes.keys { forgetListing(inode) }
    }

    /// The next look at one directory asks S3.
    mutating func forgetListing(_ prefix: KeyPrefix) {
        for inode in tree.nodes.keys where tree[inode]?.directory != nil && tree.keyPrefix(inode) == prefix {
            forgetListing(inode)
        }
    }

    private mutating func forgetListing(_ inode: InodeNumber) {
        tree[inode]?.directory?.listedAt = nil
        tree[inode]?.directory?.absentAt = [:]
    }
}
