import Synchronization
import SystemPackage

/// A disk in memory that loses in a power cut what was not synced, fills up, and fails: the double for everything that
/// stands on a `DiskAccess`. All it does follows from its seed and the calls.
///
/// One object is one process's view of the disk; `attach` gives other processes theirs. When the process is killed, or
/// the power goes, the view is dead: every call on it and on its files throws `.ioError` and changes nothing.
public final class SimulatedDisk: DiskAccess {
    public enum Call: Sendable, Hashable, CaseIterable {
        case open, createDirectory, names, rename, remove, syncDirectory, read, write, truncate, syncData
    }

    /// What goes wrong, how often: 0 never, 1 always.
    public struct Faults: Sendable, Hashable {
        /// Bytes that all files together may have; over it `.noSpace`, with a part of the write done. Nil: no limit.
        public var capacity: Int64?
        /// A write does a part of its work and fails with `.ioError`.
        public var failingWrites = 0.0
        /// A sync fails with `.ioError`, and what was to be synced may be lost in the next power cut, whatever is
        /// synced later (Linux: the pages count as clean after the error).
        public var failingSyncs = 0.0
        public var failingReads = 0.0
        /// A write is followed by the kernel's own writing back of the file, so that old bytes may be on the disk.
        public var writingBack = 0.1

        public init() {}
    }

    let platter: Platter
    let view: Int

    public convenience init(seed: UInt64) { self.init(Platter(seed)) }

    private init(_ platter: Platter) {
        self.platter = platter
        view = platter.state.withLock { $0.newView() }
    }

    /// The view of another process, with locks of its own.
    public func attach() -> SimulatedDisk { SimulatedDisk(platter) }

    /// Ends this process, or, with `power`, all of them, and gives the view of the next. A killed process leaves what it
    /// has written; a power cut leaves what was synced, and of the rest whatever a file system may have got to: in each
    /// directory changes of names up to some point, in each file any part of the writes, the last one maybe torn.
    public func crash(power: Bool) -> SimulatedDisk {
        platter.state.withLock { state in
            if power { state.loseWhatIsNotSynced() } else { state.end(view) }
        }
        return attach()
    }

    /// The process makes so many more calls that change something, and is then as good as dead; `crash` is still to be
    /// called. The last call may have done a part of its work. Nil takes it back.
    public func halt(after calls: Int?) {
        platter.state.withLock { $0.halts[view] = calls }
    }

    /// True when `halt` or `crash` has ended the process: nothing that was answered since counts.
    public var isDead: Bool { platter.state.withLock { !$0.living.contains(view) } }

    public var faults: Faults {
        get { platter.state.withLock { $0.faults } }
        set { platter.state.withLock { $0.faults = newValue } }
    }

    /// The next call of this kind on any view fails so, without effect; several are used up in order.
    public func failNext(_ call: Call, with error: Errno) {
        platter.state.withLock { $0.script.append((call, error)) }
    }

    /// Bytes of all files that have a name or are open.
    public var usedByteCount: Int64 { platter.state.withLock { $0.used } }

    /// How many calls of each kind came through, whatever came of them.
    public var callCounts: [Call: Int] { platter.state.withLock { $0.counts } }

    // MARK: DiskAccess

    public func open(_ path: FilePath, _ flags: Int32) throws(Errno) -> any DiskFile {
        SimulatedFile(self, try run(.open) { state throws(Errno) in try state.open(path, flags) })
    }

    public func createDirectory(_ path: FilePath) throws(Errno) {
        try run(.createDirectory) { state throws(Errno) in try state.createDirectory(path) }
    }

    public func names(_ path: FilePath) throws(Errno) -> [String] {
        try run(.names) { state throws(Errno) in
            // Not in the order of the names, which may be truly random.
            let names = try state.directory(path).live.sorted { $0.value < $1.value }.map(\.key)
            return names.shuffled(using: &state.random)
        }
    }

    public func rename(_ old: FilePath, to new: FilePath) throws(Errno) {
        try run(.rename) { state throws(Errno) in try state.rename(old, to: new) }
    }

    public func remove(_ path: FilePath) throws(Errno) {
        try run(.remove) { state throws(Errno) in try state.remove(path) }
    }

    public func removeEmpty(_ path: FilePath) throws(Errno) {
        try run(.remove) { state throws(Errno) in try state.removeEmpty(path) }
    }

    public func syncDirectory(_ path: FilePath) throws(Errno) {
        try run(.syncDirectory) { state throws(Errno) in
            let directory = try state.directoryNode(path)
            if state.random.happens(state.faults.failingSyncs) { throw .ioError }
            state.syncNames(of: directory)
        }
    }

    /// Runs a call of this process, if it is alive and nothing is scripted to go wrong.
    func run<R: Sendable>(
        _ call: Call, _ body: (inout PlatterState) throws(Errno) -> R
    ) throws(Errno) -> R {
        try platter.state.withLock { state throws(Errno) in
            try state.begin(call, view)
            return try body(&state)
        }
    }
}

/// What all views share.
final class Platter: Sendable {
    /// Held for one whole call, so each call is atomic.
    let state: Mutex<PlatterState>
    init(_ seed: UInt64) { state = Mutex(PlatterState(SeededRandom(seed))) }
}
