import Disk
import Glibc
import Synchronization
import SystemPackage

extension BlockFile {
    /// How looking again at a block that did not open ended.
    enum Verdict: Sendable { case whole, absent, damaged }

    /// Fills `destination` from its start with bytes from `offset` on, as far as the blocks are here and open; returns
    /// how many. What lies behind those is as it was, or zeros. `reportDamage` gets the number of a block that was
    /// found damaged and dropped.
    func read(
        _ offset: Int64, into destination: UnsafeMutableRawBufferPointer, _ pool: ScratchPool,
        reportDamage: (Int64) -> Void
    ) throws(Errno) -> Int {
        var done = 0
        var retriesLeft = 3
        while done < destination.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: destination[done...])
            let part = try GroupRead(self, offset + Int64(done), rest)
            if part.blocks.isEmpty { break }
            let (count, failed) = try pool.withBuffer { (scratch) throws(Errno) in try part.run(scratch) }
            done += count
            guard let failed else {
                if part.isLast { break }
                continue
            }
            // A writer of another process, or an evictor, may have been at it just then.
            let verdict = try examine(failed, pool)
            if verdict == .damaged { reportDamage(failed) }
            retriesLeft -= 1
            if verdict != .whole || retriesLeft == 0 { break }
        }
        return done
    }

    /// Looks at a block again while nobody writes to it. One that still does not open is dropped, and its room freed.
    private func examine(_ block: Int64, _ pool: ScratchPool) throws(Errno) -> Verdict {
        try writing.withLock { (writing) throws(Errno) in
            let group = Self.lockRange(of: block..<block + 1)
            guard try file.lockRange(group, isReadOnly ? .shared : .exclusive) else { return .absent }
            defer { file.unlockRange(group) }
            if isGone { return .absent }
            guard let entry = try entries(block..<block + 1)[0] else { return .absent }
            let isWhole = try pool.withBuffer { (scratch) throws(Errno) in
                let bytes = UnsafeMutableRawBufferPointer(rebasing: scratch[..<entry.length])
                return try file.read(at: BlockLayout.dataPosition(block: block), into: bytes) == entry.length
                    && open(bytes, entry, block: block)
            }
            if isWhole { return .whole }
            if !isReadOnly { try drop(block, entry, &writing) }
            return .damaged
        }
    }

    private func drop(_ block: Int64, _ entry: Entry, _ writing: inout Writing) throws(Errno) {
        let none = [UInt8](repeating: 0, count: BlockLayout.entryByteCount)
        let result: Result<Void, Errno> = none.withUnsafeBytes { none in
            Result { () throws(Errno) in try file.write(none, at: BlockLayout.entryPosition(block: block)) }
        }
        try result.get()
        // Where holes can't be made the room stays taken, and charged.
        guard (try? file.punchHole(BlockLayout.dataPosition(block: block), BlockLayout.blockByteCount)) != nil else {
            return
        }
        if writing.incarnation != nil { writing.credit += BlockLayout.charge(blockLength: entry.length) }
    }

    /// How many bytes from `offset` on the tables promise, at most `limit`.
    func availableCount(_ offset: Int64, limit: Int) throws(Errno) -> Int {
        var done = 0
        while done < limit {
            let at = offset + Int64(done)
            let blocks = Self.blocks(at, limit - done)
            for (block, entry) in zip(blocks, try entries(blocks)) {
                guard let entry else { return done }
                let end = block * Int64(BlockLayout.blockByteCount) + Int64(entry.length)
                done = max(done, min(limit, Int(end - offset)))
                if entry.length < BlockLayout.blockByteCount { return done }
            }
        }
        return done
    }

    /// The blocks that `count` bytes from `offset` on touch, within the group where they begin.
    static func blocks(_ offset: Int64, _ count: Int) -> Range<Int64> {
        let size = Int64(BlockLayout.blockByteCount)
        let perGroup = Int64(BlockLayout.blocksPerGroup)
        let first = offset / size
        let end = (offset + Int64(count) + size - 1) / size
        return first..<min(end, (first / perGroup + 1) * perGroup)
    }

    /// The bytes of the file that hold the groups of `blocks`.
    static func lockRange(of blocks: Range<Int64>) -> Range<Int64> {
        let perGroup = Int64(BlockLayout.blocksPerGroup)
        let end = (blocks.upperBound + perGroup - 1) / perGroup
        return BlockLayout.tablePosition(
            group: blocks.lowerBound / perGroup)..<BlockLayout.tablePosition(group: end)
    }
}

/// The part of a read that lies in one group: whole blocks go straight into the destination and are opened there, those
/// at the edges take a way through scratch memory.
private struct GroupRead {
    let blocks: Range<Int64>
    /// The blocks after these are not here, or there are none.
    let isLast: Bool
    private let file: BlockFile
    private let entries: [BlockFile.Entry]
    private let offset: Int64
    private let destination: UnsafeMutableRawBufferPointer

    init(_ file: BlockFile, _ offset: Int64, _ destination: UnsafeMutableRawBufferPointer) throws(Errno) {
        let wanted = BlockFile.blocks(offset, destination.count)
        var present: [BlockFile.Entry] = []
        for entry in try file.entries(wanted) {
            guard let entry else { break }
            present.append(entry)
            if entry.length < BlockLayout.blockByteCount { break }
        }
        // A short block is the object's last; what is asked behind it is not there.
        let start = wanted.lowerBound * Int64(BlockLayout.blockByteCount)
        if present.count == 1, start + Int64(present[0].length) <= offset { present = [] }
        self.file = file
        self.offset = offset
        self.destination = destination
        entries = present
        blocks = wanted.lowerBound..<wanted.lowerBound + Int64(present.count)
        isLast = present.count < wanted.count || present.last.map { $0.length < BlockLayout.blockByteCount } ?? true
    }

    private func isDirect(_ index: Int) -> Bool {
        let start = (blocks.lowerBound + Int64(index)) * Int64(BlockLayout.blockByteCount) - offset
        return start >= 0 && start + Int64(entries[index].length) <= Int64(destination.count)
    }

    /// Where block `index` is read to and opened: only the first and the last can need scratch memory.
    private func place(_ index: Int, _ scratch: UnsafeMutableRawBufferPointer) -> UnsafeMutableRawBufferPointer {
        let length = entries[index].length
        if isDirect(index) {
            let start = Int((blocks.lowerBound + Int64(index)) * Int64(BlockLayout.blockByteCount) - offset)
            return UnsafeMutableRawBufferPointer(rebasing: destination[start..<start + length])
        }
        let start = index == 0 ? 0 : BlockLayout.blockByteCount
        return UnsafeMutableRawBufferPointer(rebasing: scratch[start..<start + length])
    }

    /// Reads and opens. Returns how many bytes of the destination are good, and the first block that did not open.
    func run(_ scratch: UnsafeMutableRawBufferPointer) throws(Errno) -> (count: Int, failed: Int64?) {
        let got = try readAll(scratch)
        var needed = 0
        var done = 0
        for index in entries.indices {
            needed += entries[index].length
            let block = blocks.lowerBound + Int64(index)
            let bytes = place(index, scratch)
            guard needed <= got, file.open(bytes, entries[index], block: block) else {
                wipe(from: done)
                return (done, block)
            }
            if isDirect(index) {
                done += bytes.count
            } else {
                let skipped = Int(max(0, offset - block * Int64(BlockLayout.blockByteCount)))
                let part = UnsafeRawBufferPointer(rebasing: bytes[skipped...].prefix(destination.count - done))
                UnsafeMutableRawBufferPointer(rebasing: destination[done...]).copyMemory(from: part)
                done += part.count
            }
        }
        return (done, nil)
    }

    private func readAll(_ scratch: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
        let position = BlockLayout.dataPosition(block: blocks.lowerBound)
        let result: Result<Int, Errno> = withUnsafeTemporaryAllocation(of: iovec.self, capacity: entries.count) {
            list in
            for index in entries.indices {
                let bytes = place(index, scratch)
                list.initializeElement(at: index, to: iovec(iov_base: bytes.baseAddress, iov_len: bytes.count))
            }
            return Result { () throws(Errno) in try file.file.read(at: position, into: UnsafeBufferPointer(list)) }
        }
        return try result.get()
    }

    /// Sealed bytes may stand where opened ones were to come.
    private func wipe(from done: Int) {
        UnsafeMutableRawBufferPointer(rebasing: destination[done...].prefix(BlockLayout.groupByteCount))
            .initializeMemory(as: UInt8.self, repeating: 0)
    }
}
