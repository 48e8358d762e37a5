import ObjectStore
import SystemPackage

/// Reading directories. A stream shows what was there when it was first read or rewound, each name once.
extension Volume {
    public func opendir(_ inode: InodeNumber) -> Answer<Opened> {
        defer { learnFromMarker(inode) }
        return openListed(inode)
    }

    /// A listing has shown that there is a marker.
    private func learnFromMarker(_ inode: InodeNumber) {
        let hasMarker = try? look { state throws(Errno) in state.tree[inode]?.directory?.hasMarker }
        if hasMarker == true { learnDirectory(inode) }
    }

    private func openListed(_ inode: InodeNumber) -> Answer<Opened> {
        do throws(Errno) {
            let isFresh = try look { state throws(Errno) in
                state.isFresh(try state.tree.directory(inode), now: clock.monotonic())
            }
            if isFresh { return now { state throws(Errno) in try state.openStream(inode) } }
            return .later { () async throws(Errno) in
                try await self.load(inode)
                self.learnFromMarker(inode)
                return try self.change { state throws(Errno) in try state.openStream(inode) }
            }
        } catch {
            return .failed(error)
        }
    }

    public func readdir(
        _ inode: InodeNumber, _ handle: FileHandle, offset: UInt64, plus: Bool,
        _ add: (DirectoryEntry, UInt64) -> Bool
    ) throws(Errno) {
        // Entries are taken in batches under the lock and given outside it.
        var next = offset
        while true {
            let batch = try change { state throws(Errno) in
                try state.batch(handle, from: next, limit: 64, plus: plus, clock.monotonic())
            }
            if batch.isEmpty { return }
            for (index, item) in batch.enumerated() {
                guard add(item, next + UInt64(index) + 1) else {
                    // The lookups of those that had no room are taken back.
                    for unused in batch[index...] where unused.entry?.attributes != nil {
                        forget(unused.inode, count: 1)
                    }
                    return
                }
            }
            next += UInt64(batch.count)
        }
    }

    public func fsyncdir(_ inode: InodeNumber, _ handle: FileHandle) -> Answer<Void> {
        if options.durability == .local { return syncJournal() }
        return committed { state throws(Errno) in
            guard let prefix = state.tree.keyPrefix(inode) else { return ((), []) }
            // The marker of a directory in it is in that one.
            func isHere(_ place: Place) -> Bool {
                place.prefix == prefix || (place.name == nil && place.prefix.parent == prefix)
            }
            // The deletion of a file that is still open waits for its last close.
            let here = state.overlay.committer.intents.filter { isHere($0.intent.place) && !$0.isHeld }
            return ((), here.map(\.intent.id))
        }
    }

    public func releasedir(_ inode: InodeNumber, _ handle: FileHandle) {
        update { $0.streams[handle] = nil }
    }
}

extension VolumeState {
    mutating func openStream(_ inode: InodeNumber) throws(Errno) -> Opened {
        _ = try tree.directory(inode)
        let handle = newHandle()
        streams[handle] = DirectoryStream(inode: inode)
        return Opened(handle: handle, keepCache: false)
    }

    /// The entries from a directory offset on: 0 is `.`, 1 is `..`, the rest are the names. An offset of 0 is a rewind.
    mutating func batch(
        _ handle: FileHandle, from offset: UInt64, limit: Int, plus: Bool, _ now: Duration
    ) throws(Errno) -> [DirectoryEntry] {
        guard let inode = streams[handle]?.inode else { throw .badFileDescriptor }
        if offset == 0 || streams[handle]?.entries == nil, let directory = tree[inode]?.directory {
            streams[handle]?.entries = directory.entries
        }
        var found: [DirectoryEntry] = []
        var position = Int(clamping: offset)
        while position < 2 {
            let target = position == 0 ? inode : tree[inode]?.parent ?? .root
            found.append(
                DirectoryEntry(
                    name: FileName(Array(repeating: UInt8(ascii: "."), count: position + 1)), inode: target,
                    type: FileMode.directory, entry: nil))
            position += 1
        }
        let count = streams[handle]?.entries?.count ?? 0
        while position - 2 < count, found.count < limit {
            guard let item = streams[handle]?.entries?[position - 2] else { break }
            position += 1
            found.append(entry(item.name, item.inode, in: inode, plus: plus, now))
        }
        return found
    }

    /// A name of a stream. One that is gone since is still given, without attributes: the kernel asks if it matters.
    private mutating func entry(
        _ name: EntryName, _ inode: InodeNumber, in parent: InodeNumber, plus: Bool, _ now: Duration
    ) -> DirectoryEntry {
        guard let node = tree[inode], node.isLinked, node.parent == parent, node.name == name else {
            return DirectoryEntry(name: name.fileName, inode: inode, type: FileMode.regular, entry: nil)
        }
        return DirectoryEntry(
            name: name.fileName, inode: inode, type: node.fileType,
            entry: plus ? try? entry(inode, now: now) : nil)
    }
}
