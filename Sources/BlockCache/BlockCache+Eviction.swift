import Disk
import ObjectStore
import SQLite
import Synchronization
import SystemPackage

/// The cache's limit, as a writing file asks for it.
struct Room: Allowance {
    let cache: BlockCache
    let generation: Generation

    /// Small against the limit, since what is reserved and not used is lost to others for some seconds.
    var reservationStep: Int64 { min(4 << 20, cache.limit / 256) }

    /// One version leaves a quarter to the others, so that a huge file that is open does not shut them out.
    private var share: Int64 { cache.limit - cache.limit / 4 }

    func set(_ charged: Int64, ahead: Int64, _ name: VersionName) throws(NotKept) -> Index.Row {
        try inIndex { () throws(SQLiteError) in
            try generation.index.set(charged, ahead: ahead, name, limit: cache.limit, share: share)
        }
    }

    func reserve(_ count: Int64, _ name: VersionName, _ incarnation: Int64) throws(NotKept) {
        for _ in 0..<2 {
            let answer = try inIndex { () throws(SQLiteError) in
                try generation.index.reserve(count, name, incarnation, limit: cache.limit, share: share)
            }
            switch answer {
            case .done: return
            case .lost: throw .gone
            case .overShare: throw .noRoom
            case .overLimit: try cache.evict(count, generation)
            }
        }
        throw .noRoom
    }
}

extension BlockCache {
    /// Frees at least `count` bytes of the disk if that many can be evicted; returns how many were. For a disk that is
    /// full, when changed bytes, which come first, need the room.
    @discardableResult
    public func makeRoom(_ count: Int64) -> Int64 {
        guard let generation = place.withLock({ $0.generation }) else { return 0 }
        do throws(NotKept) {
            let before = try inIndex { () throws(SQLiteError) in try generation.index.total() }
            try evict(to: max(0, before - count), generation)
            return before - (try inIndex { () throws(SQLiteError) in try generation.index.total() })
        } catch {
            took(error, generation)
            return 0
        }
    }

    /// Forgets a version, unless it is pinned or being written.
    public func remove(_ version: ObjectVersion) {
        guard let generation = place.withLock({ $0.generation }) else { return }
        let name = identity.name(version)
        if files.withLock({ $0.isPinned(name) }) { return }
        do throws(NotKept) {
            guard let file = try inIndex({ () throws(SQLiteError) in try generation.index.file(name) }) else { return }
            try evict([file], generation)
        } catch {
            took(error, generation)
        }
    }

    /// Makes room for `count` bytes below the limit, and some more, so that this is not done for each write.
    func evict(_ count: Int64, _ generation: Generation) throws(NotKept) {
        if count > limit { return }
        let margin = min(limit / 16, 256 << 20)
        try evicting.withLock { (_) throws(NotKept) in
            // Another thread may have made the room while this one waited.
            let total = try inIndex { () throws(SQLiteError) in try generation.index.total() }
            if total + count <= limit { return }
            try evictHoldingLock(to: max(0, min(limit - count, limit - margin)), generation)
        }
    }

    private func evict(to goal: Int64, _ generation: Generation) throws(NotKept) {
        try evicting.withLock { (_) throws(NotKept) in try evictHoldingLock(to: goal, generation) }
    }

    /// Evicts files, the least recently used first, until no more than `goal` bytes are charged. What is pinned or being
    /// written stays.
    private func evictHoldingLock(to goal: Int64, _ generation: Generation) throws(NotKept) {
        // A full disk has no room for this either; older times then have to do.
        try? noteUses(generation)
        var last = Int64.min
        while true {
            let total = try inIndex { () throws(SQLiteError) in try generation.index.total() }
            if total <= goal { return }
            let from = last
            let candidates = try inIndex { () throws(SQLiteError) in
                try generation.index.leastRecentlyUsed(after: from)
            }
            guard let newest = candidates.last else { return }
            last = newest.usedAt
            var excess = total - goal
            var victims: [Index.File] = []
            let loose = files.withLock { files in candidates.filter { !files.isPinned($0.name) } }
            for file in loose where excess > 0 {
                victims.append(file)
                excess -= file.charged
            }
            try evict(victims, generation)
        }
    }

    /// Removes files and then their rows: a process that dies in between leaves rows without files, which count too much
    /// and are the next to go.
    private func evict(_ victims: [Index.File], _ generation: Generation) throws(NotKept) {
        var evicted: [Index.File] = []
        for file in victims {
            let path = generation.filePath(file.name)
            guard try onDisk({ () throws(Errno) in try BlockFile.evict(path) }) else { continue }
            evicted.append(file)
            // Let go outside of the lock: closing calls the disk.
            _ = files.withLock { $0.forget(file.name) }
        }
        try inIndex { () throws(SQLiteError) in try generation.index.remove(evicted) }
    }

    func noteUses(_ generation: Generation) throws(NotKept) {
        let uses = files.withLock { $0.takeUses() }
        try inIndex { () throws(SQLiteError) in try generation.index.touch(uses) }
    }
}
