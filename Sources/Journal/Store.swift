import Bytes
import Disk
import Glibc
import Logging
import Sealing
import SystemPackage

extension StagedFile {
    /// Where staged files live and what they are sealed with. The directory is the store's alone (see `SpaceJournal`).
    public struct Store: Sendable {
        let directory: FilePath
        let key: SealingKey?
        let logger: Logger
        let disk: any DiskAccess
        /// What speaks of the logs.
        let rows: RowLog?
        /// A log of fewer bytes is not rewritten, however much of it is dead.
        let smallestCompaction: Int64
        /// Room for a megabyte of records. Two writers and two readers find one ready; more get fresh memory.
        let pool = ScratchPool(byteCount: Log.bufferByteCount, idleLimit: 4)

        /// What `smallestCompaction` is where nobody says otherwise, bytes.
        public static let usualCompaction: Int64 = 16 << 20

        /// Makes what is missing. Without a key, records are checked but not sealed.
        ///
        /// - Parameter smallestCompaction: A log of fewer bytes is not rewritten, however much of it is dead.
        public init(
            directory: FilePath, key: SealingKey?, logger: Logger, disk: any DiskAccess = MachineDisk(),
            rows: RowLog? = nil, smallestCompaction: Int64 = usualCompaction
        ) throws(JournalUnavailable) {
            do throws(Errno) {
                try disk.createDirectory(directory)
            } catch {
                throw JournalUnavailable(path: directory, reason: .disk(error))
            }
            self.directory = directory
            self.key = key
            self.logger = logger
            self.disk = disk
            self.rows = rows
            self.smallestCompaction = smallestCompaction
        }

        /// Makes an empty staged file over a base of `baseSize` bytes (0 for a new file).
        public func create(baseSize: Int64) throws(Errno) -> StagedFile {
            guard baseSize >= 0 else { throw .invalidArgument }
            let path = directory.appending(Hex.encode(SecureRandom.bytes(12)) + Self.suffix)
            let log = try Log.create(path, .stagedFile, baseSize: baseSize, key, on: disk)
            return StagedFile(path, self, Contents(log), LogWriter(compactionThreshold: smallestCompaction))
        }

        /// The logs that an earlier process left, but for those named in `kept` and those put aside. Removes what is no log
        /// yet: a compaction that did not end.
        public func leftovers(except kept: Set<String>) throws(Errno) -> [String] {
            var found: [String] = []
            for name in try disk.names(directory) where !kept.contains(name) && !Self.isAside(name) {
                if name.hasSuffix(Self.temporarySuffix) { remove([name]) } else { found.append(name) }
            }
            return found
        }

        /// Removes logs by name, best effort: what stays is left over at the next start too.
        public func remove(_ names: [String]) { for name in names { try? disk.remove(directory.appending(name)) } }

        /// Moves the logs that nothing speaks of any more to `directory`, instead of removing them: what spoke of them may have
        /// been lost. Best effort.
        public func moveLeftovers(except kept: Set<String>, to target: FilePath) {
            let left = ((try? disk.names(directory)) ?? []).filter { !kept.contains($0) && !Self.isAside($0) }
            guard !left.isEmpty, (try? disk.createDirectory(target)) != nil else { return }
            for name in left { try? disk.rename(directory.appending(name), to: target.appending(name)) }
            try? disk.syncDirectory(target)
        }

        /// Copies logs as they are to `directory`, before they are cut at a point. Best effort.
        public func copy(_ names: Set<String>, to target: FilePath) {
            guard !names.isEmpty, (try? disk.createDirectory(target)) != nil else { return }
            for name in names.sorted() {
                do throws(Errno) {
                    let source = try disk.open(directory.appending(name), O_RDONLY)
                    let copy = try disk.open(target.appending(name), O_RDWR | O_CREAT | O_EXCL)
                    try copyBytes(of: source, to: copy)
                } catch {
                    logger.warning(
                        "A staged file could not be copied", metadata: ["name": "\(name)", "reason": "\(error)"])
                }
            }
            try? disk.syncDirectory(target)
        }

        /// All bytes up to `end`, or as far as there are any. Returns how many.
        @discardableResult
        func copyBytes(
            of source: any DiskFile, to target: any DiskFile, upTo end: Int64 = .max
        ) throws(Errno) -> Int64 {
            try pool.withBuffer { (buffer) throws(Errno) in
                var position: Int64 = 0
                while position < end {
                    let wanted = UnsafeMutableRawBufferPointer(
                        rebasing: buffer[..<Int(min(Int64(buffer.count), end - position))])
                    let count = try source.read(at: position, into: wanted)
                    if count == 0 { break }
                    try target.write(UnsafeRawBufferPointer(rebasing: wanted[..<count]), at: position)
                    position += Int64(count)
                }
                return position
            }
        }

        /// Gives a log that does not open another name, under which nothing removes it. Best effort: it may be gone.
        public func putAside(_ name: String) {
            try? disk.rename(directory.appending(name), to: directory.appending(name + Self.asideSuffix))
        }

        private static let suffix = ".log"
        private static let asideSuffix = ".damaged"

        static func isAside(_ name: String) -> Bool { name.hasSuffix(asideSuffix) }

        private static let temporarySuffix = ".new"
        static func temporaryName(of path: FilePath) -> String { (path.lastComponent?.string ?? "") + temporarySuffix }
    }

    /// The log's name in its store: by it `recover` finds it again.
    public var name: String { path.lastComponent?.string ?? "" }
}
