import Disk
import SQLite
import Sealing
import Synchronization
import SystemPackage

/// Why bytes were not kept.
enum NotKept: Error {
    /// The file was evicted meanwhile; a new one may be made.
    case gone
    /// The limit, or what one version may take of it, leaves no room.
    case noRoom
    case disk(Errno)
    case index(SQLiteError)
}

/// Gives bytes of the limit to files.
protocol Allowance {
    /// Charges `count` more bytes to a file, evicting others if needed. Throws when there is no room.
    func reserve(_ count: Int64, _ name: VersionName, _ incarnation: Int64) throws(NotKept)
    /// Says that a file takes `charged` bytes, and charges `ahead` more if there is room for them without evicting.
    func set(_ charged: Int64, ahead: Int64, _ name: VersionName) throws(NotKept) -> Index.Row
    /// How much is reserved ahead, so that the index is not asked for each block.
    var reservationStep: Int64 { get }
}

extension BlockFile {
    /// Keeps blocks that are not here yet; those that are, are not written again. Another process that writes there just
    /// now makes this do nothing.
    func write(
        size: Int64, offset: Int64, _ bytes: UnsafeRawBufferPointer, _ pool: ScratchPool, _ allowance: some Allowance
    ) throws(NotKept) {
        if isReadOnly { return }
        try writing.withLock { (writing) throws(NotKept) in
            let first = offset / Int64(BlockLayout.blockByteCount)
            let count = (bytes.count + BlockLayout.blockByteCount - 1) / BlockLayout.blockByteCount
            let range = Self.lockRange(of: first..<first + Int64(count))
            guard try onDisk({ () throws(Errno) in try file.lockRange(range, .exclusive) }) else { return }
            defer { file.unlockRange(range) }
            // From here on nobody can evict the file. Before, somebody may have.
            if isGone { throw .gone }
            guard try findRow(&writing, size: size, allowance) else { return }
            var done = 0
            while done < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
                let blocks = Self.blocks(offset + Int64(done), rest.count)
                try writeGroup(blocks, rest, size: size, pool, allowance, &writing)
                done += blocks.count * BlockLayout.blockByteCount
            }
        }
    }

    /// Finds the file's row in the index. Who is alone with the file counts what is in it and sets the row right, so that
    /// nothing that went wrong before (a killed process, a lost row) stays wrong. False: another process does so now.
    private func findRow(
        _ writing: inout Writing, size: Int64, _ allowance: some Allowance
    ) throws(NotKept) -> Bool {
        if writing.incarnation != nil { return true }
        let isAlone = try onDisk { () throws(Errno) in try file.lockRange(Self.creditRange, .exclusive) }
        if isAlone {
            let charged = try onDisk { () throws(Errno) in try countCharge() }
            let missing = max(0, BlockLayout.charge(objectSize: size) - charged)
            let row = try allowance.set(charged, ahead: min(allowance.reservationStep, missing), name)
            writing.incarnation = row.incarnation
            writing.credit = row.ahead
        }
        guard try onDisk({ () throws(Errno) in try file.lockRange(Self.creditRange, .shared) }) else { return false }
        if !isAlone {
            writing.incarnation = try inIndex { () throws(SQLiteError) in try generation.index.incarnation(name) }
        }
        return writing.incarnation != nil
    }

    /// The disk space of the blocks that are here, by the tables.
    private func countCharge() throws(Errno) -> Int64 {
        let groups = (try file.status().size + BlockLayout.groupStride - 1) / BlockLayout.groupStride
        let perGroup = Int64(BlockLayout.blocksPerGroup)
        var charge: Int64 = 0
        for group in 0..<groups {
            let present = try entries(group * perGroup..<(group + 1) * perGroup).compactMap { $0 }
            if !present.isEmpty { charge += Int64(BlockLayout.tableByteCount) }
            charge += present.reduce(0) { $0 + BlockLayout.charge(blockLength: $1.length) }
        }
        return charge
    }

    /// Keeps the blocks of one group, whose bytes `bytes` begins with.
    private func writeGroup(
        _ blocks: Range<Int64>, _ bytes: UnsafeRawBufferPointer, size: Int64, _ pool: ScratchPool,
        _ allowance: some Allowance, _ writing: inout Writing
    ) throws(NotKept) {
        let perGroup = Int64(BlockLayout.blocksPerGroup)
        let groupStart = blocks.lowerBound / perGroup * perGroup
        let old = try onDisk { () throws(Errno) in try entries(groupStart..<groupStart + perGroup) }
        let missing = blocks.filter { old[Int($0 - groupStart)] == nil }
        if missing.isEmpty { return }
        func piece(_ block: Int64) -> UnsafeRawBufferPointer {
            let start = Int(block - blocks.lowerBound) * BlockLayout.blockByteCount
            return .init(rebasing: bytes[start...].prefix(BlockLayout.blockByteCount))
        }
        let table = old.contains { $0 != nil } ? 0 : Int64(BlockLayout.tableByteCount)
        let charge = missing.reduce(table) { $0 + BlockLayout.charge(blockLength: piece($1).count) }
        try spend(charge, size: size, allowance, &writing)
        do throws(Errno) {
            var entries = old
            for run in Self.runs(missing, limit: Int64(BlockLayout.blocksPerWrite)) {
                let sealed = try writeRun(run, pool, piece)
                for (block, entry) in zip(run, sealed) { entries[Int(block - groupStart)] = entry }
            }
            // The table comes last: who finds an entry finds the block.
            try writeTable(blocks, entries[Int(blocks.lowerBound - groupStart)..<Int(blocks.upperBound - groupStart)])
        } catch {
            for run in Self.runs(missing, limit: perGroup) { try? free(run) }
            writing.credit += charge
            throw .disk(error)
        }
    }

    /// Takes `charge` from the credit, which is filled up first if it must be.
    private func spend(
        _ charge: Int64, size: Int64, _ allowance: some Allowance, _ writing: inout Writing
    ) throws(NotKept) {
        guard let incarnation = writing.incarnation else { throw .gone }
        let lacking = charge - writing.credit
        if lacking > 0 {
            let ahead = max(lacking, min(allowance.reservationStep, BlockLayout.charge(objectSize: size)))
            do throws(NotKept) {
                try allowance.reserve(ahead, name, incarnation)
                writing.credit += ahead
            } catch .noRoom where ahead > lacking {
                try allowance.reserve(lacking, name, incarnation)
                writing.credit += lacking
            }
        }
        writing.credit -= charge
    }

    /// Seals consecutive blocks and writes them in one call.
    private func writeRun(
        _ run: Range<Int64>, _ pool: ScratchPool, _ piece: (Int64) -> UnsafeRawBufferPointer
    ) throws(Errno) -> [Entry] {
        try pool.withBuffer { (scratch) throws(Errno) in
            var filled = 0
            var entries: [Entry] = []
            for block in run {
                let plaintext = piece(block)
                let target = UnsafeMutableRawBufferPointer(rebasing: scratch[filled..<filled + plaintext.count])
                entries.append(protect(plaintext, block: block, into: target))
                filled += plaintext.count
            }
            try file.write(
                UnsafeRawBufferPointer(rebasing: scratch[..<filled]),
                at: BlockLayout.dataPosition(block: run.lowerBound))
            return entries
        }
    }

    private func writeTable(_ blocks: Range<Int64>, _ entries: ArraySlice<Entry?>) throws(Errno) {
        var table = [UInt8](repeating: 0, count: blocks.count * BlockLayout.entryByteCount)
        let result: Result<Void, Errno> = table.withUnsafeMutableBytes { table in
            for (index, entry) in entries.enumerated() {
                entry?.store(into: .init(rebasing: table[(index * BlockLayout.entryByteCount)...]))
            }
            return Result { () throws(Errno) in
                try file.write(
                    UnsafeRawBufferPointer(table), at: BlockLayout.entryPosition(block: blocks.lowerBound))
            }
        }
        try result.get()
    }

    private func free(_ run: Range<Int64>) throws(Errno) {
        try file.punchHole(
            BlockLayout.dataPosition(block: run.lowerBound), run.count * BlockLayout.blockByteCount)
    }

    /// Consecutive numbers as ranges of at most `limit`.
    static func runs(_ blocks: [Int64], limit: Int64) -> [Range<Int64>] {
        var runs: [Range<Int64>] = []
        for block in blocks {
            if let last = runs.last, last.upperBound == block, last.upperBound - last.lowerBound < limit {
                runs[runs.count - 1] = last.lowerBound..<block + 1
            } else {
                runs.append(block..<block + 1)
            }
        }
        return runs
    }
}

func onDisk<R>(_ body: () throws(Errno) -> R) throws(NotKept) -> R {
    do throws(Errno) { return try body() } catch { throw .disk(error) }
}

func inIndex<R>(_ body: () throws(SQLiteError) -> R) throws(NotKept) -> R {
    do throws(SQLiteError) { return try body() } catch { throw .index(error) }
}
