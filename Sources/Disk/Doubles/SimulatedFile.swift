import Synchronization
import SystemPackage

/// An open file of a simulated disk.
final class SimulatedFile: DiskFile {
    private let disk: SimulatedDisk
    private let node: Int
    private let handle: Int
    private let boot: Int

    init(_ disk: SimulatedDisk, _ opened: PlatterState.Opened) {
        self.disk = disk
        node = opened.node
        handle = opened.handle
        boot = opened.boot
    }

    deinit {
        disk.platter.state.withLock { state in
            // A power cut since has closed everything.
            if state.boot == boot { state.close(node, handle) }
        }
    }

    func status() throws(Errno) -> OpenFile.Status {
        try disk.run(.read) { state throws(Errno) in
            guard case .file(let file) = state.nodes[node] else { throw .ioError }
            return OpenFile.Status(
                size: Int64(file.live.count), allocated: Int64(file.live.count), linkCount: file.linkCount, device: 1,
                inode: UInt64(node))
        }
    }

    func read(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        guard offset >= 0 else { throw .invalidArgument }
        return try disk.run(.read) { state throws(Errno) in
            if state.random.happens(state.faults.failingReads) { throw .ioError }
            guard case .file(let file) = state.nodes[node] else { throw .ioError }
            let start = min(Int(offset), file.live.count)
            let count = min(buffer.count, file.live.count - start)
            file.live.withUnsafeBytes {
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + count]))
            }
            return count
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(Errno) {
        guard offset >= 0 else { throw .invalidArgument }
        try disk.run(.write) { state throws(Errno) in
            let isHalting = state.halts[disk.view].map { $0 < 0 } ?? false
            let failure: Errno?
            var count = bytes.count
            if isHalting || state.random.happens(state.faults.failingWrites) {
                count = Int.random(in: 0...bytes.count, using: &state.random)
                failure = isHalting ? state.halted(disk.view) : .ioError
            } else {
                (count, failure) = room(for: bytes.count, at: Int(offset), state)
            }
            let change = state.withFile(node) { file in
                let old = file.live.count
                file.write(UnsafeRawBufferPointer(rebasing: bytes[..<count]), at: Int(offset))
                return file.live.count - old
            }
            state.used += Int64(change ?? 0)
            if state.random.happens(state.faults.writingBack) { state.withFile(node) { $0.sync() } }
            if let failure { throw failure }
        }
    }

    /// How much of a write there is room for.
    private func room(for count: Int, at offset: Int, _ state: PlatterState) -> (count: Int, Errno?) {
        guard let capacity = state.faults.capacity, case .file(let file) = state.nodes[node] else {
            return (count, nil)
        }
        let free = Int(max(0, capacity - state.used)) + max(0, file.live.count - offset)
        return free >= count ? (count, nil) : (free, .noSpace)
    }

    func truncate(to size: Int64) throws(Errno) {
        guard size >= 0 else { throw .invalidArgument }
        try disk.run(.truncate) { state throws(Errno) in state.resize(node, to: Int(size)) }
    }

    func syncData() throws(Errno) {
        try disk.run(.syncData) { state throws(Errno) in
            guard state.random.happens(state.faults.failingSyncs) else {
                state.withFile(node) { $0.sync() }
                return
            }
            var random = state.random.split()
            state.withFile(node) { $0.failSync(&random) }
            throw .ioError
        }
    }

    func lock(_ mode: OpenFile.LockMode) throws(Errno) -> Bool {
        try disk.run(.read) { [handle, view = disk.view] state throws(Errno) in
            state.withFile(node) { file in
                let others = file.locks.filter { $0.handle != handle }
                guard mode == .exclusive ? others.isEmpty : !others.contains(where: \.isExclusive) else {
                    return false
                }
                file.locks =
                    others + [FileImage.Lock(view: view, handle: handle, isExclusive: mode == .exclusive)]
                return true
            } ?? false
        }
    }

    func unlock() {
        disk.platter.state.withLock { state in
            state.withFile(node) { file in file.locks.removeAll { $0.handle == handle } }
        }
    }
}
