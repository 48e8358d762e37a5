/// Foresees which small files are read next. Whoever copies a directory, or looks through it, reads one file after another in
/// the order of the inodes, which is that of the names where they came with one listing; each would cost a round trip.
///
/// A value without a lock: its owner has one.
struct Neighbours: Sendable {
    /// Files that are fetched ahead of a reader, at most, and their bytes.
    fileprivate static let countLimit = 32
    fileprivate static let byteLimit: Int64 = 8 << 20
    /// Readers that are followed at the same time.
    private static let readerLimit = 8
    /// So many files in order, and somebody goes through all of them.
    fileprivate static let shortestRun = 3
    /// How many files a reader may pass over, such as those that the kernel still has.
    fileprivate static let slack: UInt64 = 4
    /// How far ahead of a reader files are looked for.
    fileprivate static let reach: UInt64 = 256

    /// Somebody who goes through a directory.
    fileprivate struct Run: Sendable {
        let directory: InodeNumber
        var last: InodeNumber
        /// Files read in order.
        var length = 1
        /// The first number that was not looked at yet.
        var next: UInt64 = 0
        /// Bytes of what was fetched ahead, by inode.
        var fetched: [InodeNumber: Int64] = [:]

        /// True for a file that may be the next one, or was a moment ago: readers side by side do not come in order.
        func isNear(_ inode: InodeNumber) -> Bool {
            max(inode.value, last.value) - min(inode.value, last.value) <= Neighbours.slack
        }
    }

    /// The one that was seen last is last.
    private var runs: [Run] = []

    /// A small file of `directory` is read from its start. Gives the files that are to be fetched now.
    ///
    /// - Parameter size: Bytes of a file of that directory that is worth fetching; nil for anything else.
    mutating func noteRead(
        _ inode: InodeNumber, in directory: InodeNumber, size: (InodeNumber) -> Int64?
    ) -> [InodeNumber] {
        guard let index = runs.lastIndex(where: { $0.directory == directory && $0.isNear(inode) }) else {
            if runs.count == Self.readerLimit { runs.removeFirst() }
            runs.append(Run(directory: directory, last: inode))
            return []
        }
        var run = runs.remove(at: index)
        defer { runs.append(run) }
        guard inode.value > run.last.value else { return [] }
        run.last = inode
        run.length += 1
        return run.length < Self.shortestRun ? [] : run.advance(size)
    }

    fileprivate static func depth(_ length: Int) -> Int { min(countLimit, 2 << min(length - shortestRun, 10)) }
}

extension Neighbours.Run {
    /// What is to be fetched beyond what was. The files of a listing have numbers one after another.
    fileprivate mutating func advance(_ size: (InodeNumber) -> Int64?) -> [InodeNumber] {
        fetched = fetched.filter { $0.key.value > last.value }
        next = max(next, last.value + 1)
        var ahead = fetched.values.reduce(0, +)
        var wanted: [InodeNumber] = []
        while fetched.count < Neighbours.depth(length), ahead < Neighbours.byteLimit,
            next - last.value <= Neighbours.reach
        {
            let inode = InodeNumber(next)
            next += 1
            guard let count = size(inode) else { continue }
            fetched[inode] = count
            ahead += count
            wanted.append(inode)
        }
        return wanted
    }
}
