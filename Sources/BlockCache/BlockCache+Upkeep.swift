import Disk
import Glibc
import Logging
import SQLite
import Synchronization
import SystemPackage

/// What the cache does beside reading and writing: begin anew when its index is lost, tell the index what was used, and
/// clean up, all of that in the background.
extension BlockCache {
    /// How long a use may be unknown to the index, seconds.
    private static let flushInterval: UInt32 = 4
    /// How often opening a lost cache is tried, nanoseconds.
    private static let retryInterval: Int64 = 5_000_000_000

    /// The generation in use. `verifying` asks the disk whether it still is: others may have begun a new one.
    func currentGeneration(_ now: Int64, verifying: Bool) -> Generation? {
        let (generation, mayTry) = place.withLock { ($0.generation, now - $0.triedAt > Self.retryInterval) }
        if let generation, !verifying || generation.isCurrent { return generation }
        if mayTry || generation != nil { renew(damaged: nil, replacing: generation) }
        return place.withLock { $0.generation }
    }

    func renew(damaged: Generation) { renew(damaged: damaged.name, replacing: damaged) }

    private func renew(damaged: String?, replacing old: Generation?) {
        let dropped: [BlockFile] = renewing.withLock { _ in
            // Another thread may have been faster.
            guard place.withLock({ $0.generation === old }) else { return [] }
            var new: Generation?
            do throws(NotKept) {
                new = try Generation.open(directory, damaged: damaged)
            } catch {
                complaints.say(
                    .index, "The cache can't be opened", ["path": "\(directory)", "error": "\(error.reason)"])
            }
            mayWrite.store(false, ordering: .relaxed)
            place.withLock { $0 = Place(generation: new, triedAt: Index.now()) }
            return files.withLock { $0.removeAll() }
        }
        // Closed here, outside of the locks.
        _ = consume dropped
        sweepIfNeeded()
    }

    /// Writes what is due to the index now, and gives back what was reserved and not used.
    public func flush() {
        guard let generation = place.withLock({ $0.generation }) else { return }
        do throws(NotKept) {
            try noteUses(generation)
            for file in files.withLock({ $0.all }) { file.releaseCredit() }
            try inIndex { () throws(SQLiteError) in try generation.index.checkpoint() }
        } catch {
            took(error, generation)
        }
    }

    /// One flush some seconds from now, however many uses ask for it.
    func planFlush() {
        if isFlushPlanned.load(ordering: .relaxed) { return }
        guard isFlushPlanned.compareExchange(expected: false, desired: true, ordering: .relaxed).exchanged else {
            return
        }
        let isPlanned = runInBackground(after: Self.flushInterval) { [weak self] in
            guard let self else { return }
            isFlushPlanned.store(false, ordering: .relaxed)
            flush()
        }
        if !isPlanned { isFlushPlanned.store(false, ordering: .relaxed) }
    }

    /// Allows writing, at once if nothing of an older generation is left, else when it has been removed.
    func sweepIfNeeded() {
        guard let generation = place.withLock({ $0.generation }) else { return }
        let isClean = (try? generation.others())?.isEmpty ?? false
        if isClean { mayWrite.store(true, ordering: .relaxed) }
        if isClean && !isAfterBoot(generation) { return }
        runInBackground { [weak self] in self?.sweep(generation) }
    }

    private func sweep(_ generation: Generation) {
        do throws(NotKept) {
            if isAfterBoot(generation) { try reconcile(generation) }
            for _ in 0..<3 {
                let others = try onDisk { () throws(Errno) in try generation.superseded() }
                if others.isEmpty { break }
                // Whoever writes there finds out at the next write, and may leave something for another round.
                for other in others { try? Directory.removeTree(other) }
            }
            let left = try onDisk { () throws(Errno) in try generation.superseded() }
            guard left.isEmpty else { throw NotKept.disk(.directoryNotEmpty) }
            mayWrite.store(true, ordering: .relaxed)
        } catch {
            complaints.say(
                .sweep, "An old cache can't be removed, so nothing new is cached",
                ["path": "\(directory)", "error": "\(error.reason)"])
        }
    }

    private static func boot() -> String {
        guard let file = try? OpenFile("/proc/sys/kernel/random/boot_id", O_RDONLY) else { return "unknown" }
        var text = [UInt8](repeating: 0, count: 36)
        let count = text.withUnsafeMutableBytes { (try? file.read(at: 0, into: $0)) ?? 0 }
        return String(decoding: text[..<count], as: UTF8.self)
    }

    private func isAfterBoot(_ generation: Generation) -> Bool {
        (try? generation.index.isFromAnotherBoot(Self.boot())) ?? false
    }

    /// After a power cut the latest rows may be missing: files without a row are removed.
    private func reconcile(_ generation: Generation) throws(NotKept) {
        for folder in try onDisk({ () throws(Errno) in try Directory.names(generation.path) }) where folder.count == 2 {
            let path = generation.path.appending(folder)
            for file in try onDisk({ () throws(Errno) in try Directory.names(path) }) {
                guard let name = VersionName(folder: folder, file: file),
                    try inIndex({ () throws(SQLiteError) in try generation.index.file(name) }) == nil
                else { continue }
                _ = try onDisk { () throws(Errno) in try BlockFile.evict(path.appending(file)) }
            }
        }
        try inIndex { () throws(SQLiteError) in try generation.index.setBoot(Self.boot()) }
    }

    /// Removes the cache from the disk, whoever uses it, and keeps nothing any more: everything is a miss here from now
    /// on. Another process that uses the directory begins anew.
    public func destroy() throws(Errno) {
        mayWrite.store(false, ordering: .relaxed)
        let dropped = renewing.withLock { _ in
            place.withLock { $0 = Place(generation: nil, triedAt: .max) }
            return files.withLock { $0.removeAll() }
        }
        // Closed here, outside of the locks.
        _ = consume dropped
        try Directory.removeTree(directory)
    }
}
