/// Foresees which small files are read next. Whoever copies a directory, or looks through it, reads one file after another in
/// the order of the inodes, which is that of the names where they came with one listing; each would cost a round trip.
///
/// A value without a lock: its owner has one.
struct Neighbours: Sendable {
    /// Files that are fetched ahead of a reader, at most, and their bytes.
    fileprivate static let countLimit = 32
    fileprivate static let byteLimit: Int64 = 8 << 20
    /// Directories that are followed at the same time.
    private static let directoryLimit = 8
    /// So many files in order, and somebody goes through all of them.
    fileprivate static let shortestRun = 3
    /// How many files a reader may pass over, such as those that the kernel still has.
    private static let slack: UInt64 = 16

    /// Somebody who goes through a directory.
    fileprivate struct Run: Sendable {
        let directory: InodeNumber
        var last: InodeNumber
        /// Files read in order.
        var length = 1
        /// What is left to be read as it was when the run had got long enough, in order; what was fetched is not in it.
        var rest: [InodeNumber]?
        /// Bytes of what was fetched ahead, by inode.
        var fetched: [InodeNumber: Int64] = [:]
    }

    /// The one that was seen last is last.
    private var runs: [Run] = []

    /// A small file of `directory` is read from its start. Gives the files that are to be fetched now.
    ///
    /// - Parameters:
    ///   - children: All inodes of the directory.
    ///   - size: Bytes of a file that is worth fetching; nil for anything else.
    mutating func noteRead(
        _ inode: InodeNumber, in directory: InodeNumber, children: () -> [InodeNumber],
        size: (InodeNumber) -> Int64?
    ) -> [InodeNumber] {
        guard let index = runs.firstIndex(where: { $0.directory == directory }) else {
            if runs.count == Self.directoryLimit { runs.removeFirst() }
            runs.append(Run(directory: directory, last: inode))
            return []
        }
        var run = runs.remove(at: index)
        defer { runs.append(run) }
        // Readers side by side do not come in order.
        let isBehind = inode.value <= run.last.value && run.last.value - inode.value <= Self.slack
        if isBehind { return [] }
        guard inode.value > run.last.value, inode.value - run.last.value <= Self.slack else {
            run = Run(directory: directory, last: inode)
            return []
        }
        run.last = inode
        run.length += 1
        guard run.length >= Self.shortestRun else { return [] }
        return run.advance(children, size)
    }

    fileprivate static func depth(_ length: Int) -> Int { min(countLimit, 2 << min(length - shortestRun, 10)) }
}

extension Neighbours.Run {
    /// What is to be fetched beyond what was.
    fileprivate mutating func advance(
        _ children: () -> [InodeNumber], _ size: (InodeNumber) -> Int64?
    ) -> [InodeNumber] {
        // The next one is the last, so that it is cheap to take.
        var left = rest ?? children().filter { $0.value > last.value }.sorted { $0.value > $1.value }
        // Given up here, so that it is changed in place.
        rest = nil
        fetched = fetched.filter { $0.key.value > last.value }
        while let next = left.last, next.value <= last.value { left.removeLast() }
        var ahead = fetched.values.reduce(0, +)
        var wanted: [InodeNumber] = []
        while fetched.count < Neighbours.depth(length), ahead < Neighbours.byteLimit, let next = left.popLast() {
            guard let count = size(next) else { continue }
            fetched[next] = count
            ahead += count
            wanted.append(next)
        }
        rest = left
        return wanted
    }
}
