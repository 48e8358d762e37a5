import Disk
import Logging
import ObjectStore
import SQLite
import Sealing
import Synchronization
import SystemPackage

/// Why there can be no cache at all, with what to do about it.
public struct CacheUnavailable: Error, Sendable, CustomStringConvertible {
    public var path: FilePath
    public var reason: String
    public var description: String {
        "cannot use \(path) as a cache: \(reason). Make it a directory that this user can write, or set cache_dir to one."
    }
}

/// The bytes of object versions that this disk holds, sealed. Never fetches.
///
/// Any thread, and any number of processes, may use one directory at once. Nothing here ever fails for the caller: what
/// can't be kept is not kept, and what can't be read is a miss.
public final class BlockCache: Sendable {
    /// Bytes.
    public static let blockSize = 64 << 10

    let directory: FilePath
    /// Bytes on the disk for all who use the directory.
    public let limit: Int64
    let identity: VersionIdentity
    let complaints: Complaints
    let pool = ScratchPool(byteCount: BlockLayout.blocksPerWrite * BlockLayout.blockByteCount, idleLimit: 8)

    // The locks. `renewing` and `evicting` are held over disk and index calls, `files` and `place` for memory only (and
    // the locking of a byte range, which does not wait). Order: a file's `writing`, then `evicting`, then `files`;
    // `renewing`, then `place`. The index's own lock comes last.
    let place: Mutex<Place>
    let renewing = Mutex(())
    let evicting = Mutex(())
    let files = Mutex(OpenFiles())
    let isFlushPlanned = Atomic(false)
    /// False while an older generation still takes room on the disk: until it is gone nothing is written.
    let mayWrite = Atomic(false)

    struct Place: Sendable {
        /// Nil after a failure to open one.
        var generation: Generation?
        /// When a new one was last tried, nanoseconds since 1970.
        var triedAt: Int64 = 0
    }

    /// Opens the cache in `directory`, which is made if missing, in a time that does not depend on what it holds.
    ///
    /// - Parameters:
    ///   - key: seals what is written; nil: it is only checked.
    ///   - limit: bytes on the disk for all who use the directory. The one who writes keeps to its own value.
    ///   - space: names whose objects these are. Blocks of one space do not open in another.
    public init(
        directory: FilePath, key: SealingKey?, limit: Int64, space: String, logger: Logger
    ) throws(CacheUnavailable) {
        self.directory = directory
        self.limit = limit
        identity = VersionIdentity(key: key, space: space)
        complaints = Complaints(logger)
        do throws(NotKept) {
            place = Mutex(Place(generation: try Generation.open(directory)))
        } catch {
            throw CacheUnavailable(path: directory, reason: error.reason)
        }
        sweepIfNeeded()
    }

    deinit {
        let uses = files.withLock { $0.takeUses() }
        // The files give their unused bytes back as they go.
        try? place.withLock { $0.generation }?.index.touch(uses)
    }

    /// Reads bytes of a version into `destination`, which is filled from its start.
    /// Returns how many leading bytes were there: 0 is a miss. A damaged block is a miss.
    public func read(
        _ version: ObjectVersion, offset: Int64, into destination: UnsafeMutableRawBufferPointer
    ) -> Int {
        guard offset >= 0, let file = blockFile(version, creating: false) else { return 0 }
        do throws(Errno) {
            let count = try file.read(offset, into: destination, pool) { block in
                complaints.say(
                    .damage, "A damaged block was dropped from the cache",
                    ["file": "\(file.generation.filePath(file.name))", "block": "\(block)"])
            }
            if count < destination.count, file.isGone { files.withLock { $0.forget(file, version) } }
            return count
        } catch {
            complaints.say(.read, "The cache can't be read", ["path": "\(directory)", "error": "\(error)"])
            return 0
        }
    }

    /// Keeps bytes of a version. `offset` is a multiple of the block size; `bytes` is whole blocks, or ends where the
    /// object (of `size` bytes) ends. Never throws: what can't be kept is not kept.
    public func write(_ version: ObjectVersion, size: Int64, offset: Int64, _ bytes: UnsafeRawBufferPointer) {
        let end = offset + Int64(bytes.count)
        guard offset >= 0, offset % Int64(Self.blockSize) == 0, end <= size,
            end == size || end % Int64(Self.blockSize) == 0
        else { return assertionFailure("not whole blocks of the object") }
        if bytes.isEmpty || !mayWrite.load(ordering: .relaxed) { return }
        // A file may be evicted at any time; the second try makes a new one.
        for _ in 0..<2 {
            guard let file = blockFile(version, creating: true) else { return }
            do throws(NotKept) {
                try file.write(size: size, offset: offset, bytes, pool, Room(cache: self, generation: file.generation))
                return
            } catch {
                guard case .gone = error else { return took(error, file.generation) }
                files.withLock { $0.forget(file, version) }
            }
        }
    }

    /// How many bytes from `offset` on are (very likely) there without a gap, at most `limit`; cheap, reads no data.
    public func availableCount(_ version: ObjectVersion, offset: Int64, limit: Int) -> Int {
        guard offset >= 0, let file = blockFile(version, creating: false) else { return 0 }
        return (try? file.availableCount(offset, limit: limit)) ?? 0
    }

    /// Protects a version from eviction until as many `unpin`s; other processes respect it while the file is open here.
    public func pin(_ version: ObjectVersion) { files.withLock { $0.pin(version, identity.name(version)) } }
    public func unpin(_ version: ObjectVersion) { files.withLock { $0.unpin(version) } }

    /// Bytes that the cache takes on the disk, all processes together, and the limit.
    public func usage() -> (bytes: Int64, limit: Int64) {
        let unused = files.withLock { $0.all }.reduce(0) { $0 + $1.unusedCredit }
        let total = (try? place.withLock { $0.generation }?.index.total()) ?? 0
        return (max(0, total - unused), limit)
    }

    /// The open file of a version, opened or made if need be; nil when there is none.
    private func blockFile(_ version: ObjectVersion, creating: Bool) -> BlockFile? {
        let now = Index.now()
        planFlush()
        guard let generation = currentGeneration(now, verifying: creating) else { return nil }
        if let known = files.withLock({ $0.use(version, now) }), known.generation === generation,
            !(creating && known.isReadOnly)
        {
            return known
        }
        let name = identity.name(version)
        do throws(Errno) {
            guard let (file, isReadOnly) = try generation.openFile(name, creating: creating) else { return nil }
            let opened = BlockFile(
                name, file, isReadOnly: isReadOnly, generation, identity.blockGuard(version))
            var dropped: [BlockFile] = []
            return files.withLock { $0.add(opened, version, now, dropped: &dropped) }
        } catch {
            complaints.say(
                creating ? .write : .read, "A file of the cache can't be opened",
                ["path": "\(directory)", "error": "\(error)"])
            return nil
        }
    }

    /// Deals with a failed write.
    func took(_ error: NotKept, _ generation: Generation) {
        switch error {
        case .gone, .noRoom: return
        case .disk(let code):
            complaints.say(.write, "The cache can't be written", ["path": "\(directory)", "error": "\(code)"])
        case .index(let cause):
            complaints.say(.index, "The cache's index fails", ["path": "\(directory)", "error": "\(cause)"])
            if cause.isCorrupt { renew(damaged: generation) }
        }
    }
}

extension NotKept {
    /// For a person.
    var reason: String {
        switch self {
        case .gone: "it was removed"
        case .noRoom: "there is no room"
        case .disk(let code): "\(code)"
        case .index(let error): error.message
        }
    }
}
