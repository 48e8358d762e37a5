import Disk
import FileSystemCore
import ObjectStore
import SystemPackage

/// What each step does, and what it changes in the model.
extension World {
    func take(_ step: Step) throws {
        let client = client
        switch step {
        case .open(let slot, let path, let mode): try open(slot, path, mode)
        case .write(let slot, let share, let token, let count):
            try write(slot, share, Contents.make(token, count: count))
        case .truncate(let slot, let share): try truncate(slot, share)
        case .fsync(let slot): try fsync(slot)
        case .close(let slot): try close(slot)
        case .readOpen(let slot): try readOpen(slot)
        case .save(let path, let token, let count, let isSynced):
            try save(path, Contents.make(token, count: count), isSynced)
        case .replace(let path, let token, let count):
            let temporary = path + ".tmp"
            if try save(temporary, Contents.make(token, count: count), false) { try rename(temporary, path, false) }
        case .read(let path): try read(path)
        case .rename(let old, let new, let exchange): try rename(old, new, exchange)
        case .unlink(let path):
            try change(Call { () async throws(Errno) in try await client.unlink(path) }) { model throws(Errno) in
                try model.unlink(path)
            }
        case .makeDirectory(let path):
            try change(Call { () async throws(Errno) in try await client.makeDirectory(path) }) { model throws(Errno) in
                try model.makeDirectory(path)
            }
        case .removeDirectory(let path):
            try change(Call { () async throws(Errno) in try await client.removeDirectory(path) }) {
                model throws(Errno) in
                try model.removeDirectory(path)
            }
        case .changeMode(let path, let mode):
            try change(Call { () async throws(Errno) in try await client.changeMode(path, mode) }) {
                model throws(Errno) in
                try model.changeMode(path, mode)
            }
        case .list(let path): try list(path)
        case .syncDirectory(let path):
            if case .success = try perform({ () async throws(Errno) in try await client.syncDirectory(path) }),
                !disk.isDead
            {
                sinceSync = [model]
            }
        case .foreignPut(let path, let token, let count): foreignPut(path, Contents.make(token, count: count))
        case .foreignDelete(let path): foreignDelete(path)
        case .weather(let sky, let path): try change(sky, path)
        case .disk(let trouble): change(trouble)
        case .pass(let milliseconds): executor.advance(by: .milliseconds(milliseconds))
        case .kill(let after): try disaster(after, power: false)
        case .powerCut(let after): try disaster(after, power: true)
        case .calm: try calm()
        }
    }

    // MARK: The world

    private func disaster(_ after: Int, power: Bool) throws {
        if after == 0 { return try crash(power: power) }
        isPowerCut = power
        disk.halt(after: after)
    }

    private func change(_ sky: Step.Sky, _ path: String) throws {
        weather = Self.weather(sky, scenario.isShared)
        // What is refused waits with all that comes after it, which only `Ledger` bears.
        if sky == .refused, scenario.isShared { weather.refusedKeys = [try key(path)] }
        store.weather = weather
    }

    private func change(_ trouble: Step.DiskTrouble) {
        var faults = SimulatedDisk.Faults()
        switch trouble {
        case .none: break
        case .full: faults.capacity = disk.usedByteCount + 2000
        case .failingWrites: faults.failingWrites = 0.2
        case .failingSyncs: faults.failingSyncs = 0.5
        }
        if trouble != .none { hasDiskTrouble = true }
        disk.faults = faults
    }

    // MARK: Outcomes

    private static let diskErrors: Set<Errno> = [.noSpace, .ioError]
    private static let networkErrors: Set<Errno> = [
        .networkUnreachable, .resourceBusy, .staleNFSFileHandle, .permissionDenied, Errno(rawValue: 127),
    ]

    enum Fit { case done, refused, unsure }

    /// Whether an outcome is what the model expects.
    private func fit<Value, Expected>(
        _ outcome: Result<Value, Errno>, _ expected: Result<Expected, Errno>, _ what: String
    ) throws -> Fit {
        if isTracing {
            let answer = if case .failure(let error) = outcome { "\(error)" } else { "done" }
            trace.append("    \(what): \(answer)\(disk.isDead ? ", but the process is dead" : "")")
        }
        if disk.isDead { return .unsure }
        switch (outcome, expected) {
        case (.success, .success): return .done
        case (.failure(let error), _) where Self.diskErrors.contains(error) && hasDiskTrouble: return .unsure
        case (.failure(let error), _) where Self.networkErrors.contains(error): return .refused
        case (.failure, .failure): return .refused
        case (.success, .failure(let error)):
            if isExact { throw Broken(text: "\(what) did not fail with \(error)") }
            return .done
        case (.failure(let error), .success):
            if isExact || Self.diskErrors.contains(error) { throw Broken(text: "\(what) failed: \(error)") }
            return .refused
        }
    }

    /// What a program does.
    private struct Call {
        let body: @Sendable () async throws(Errno) -> Void
        init(_ body: @escaping @Sendable () async throws(Errno) -> Void) { self.body = body }
    }

    /// A change of names.
    private func change(
        _ call: Call, _ expected: (inout Model) throws(Errno) -> Void
    ) throws {
        seen.take()
        let outcome = try perform(call.body)
        var after = model
        let wanted: Result<Void, Errno>
        do throws(Errno) { wanted = .success(try expected(&after)) } catch { wanted = .failure(error) }
        let fit = try fit(outcome, wanted, "the call")
        if fit != .refused {
            for (inode, contents) in seen.take() {
                ledger.release(contents)
                ledger.release(closed[inode])
            }
        }
        try settle(fit, after)
    }

    /// Takes the model on.
    private func settle(_ fit: Fit, _ after: Model) throws {
        switch fit {
        case .refused: return
        case .done:
            model = after
            sinceChange = [after]
            sinceSync.append(after)
        case .unsure:
            sinceChange.append(after)
            sinceSync.append(after)
            guard isExact, !disk.isDead else { return }
            // Done in the view or not.
            if after.isShown(by: view()), hasOpenFiles(of: after) { model = after }
        }
    }

    /// True where the files that are open have the names that a model gives them: two that are alike may have changed names.
    private func hasOpenFiles(of model: Model) -> Bool {
        let paths = Dictionary(volume.shown().map { ($0.inode, $0.path) }, uniquingKeysWith: { $1 })
        return slots.values.allSatisfy { slot in
            paths[slot.open.inode] == model.names.first { $0.value == slot.file }?.key
        }
    }

    // MARK: Files

    private func open(_ number: Int, _ path: String, _ mode: Step.OpenMode) throws {
        if slots[number] != nil { try close(number) }
        if disk.isDead { return }
        let client = client
        seen.take()
        let outcome = try perform { () async throws(Errno) in try await client.open(path, mode) }
        var after = model
        let wanted: Result<Int, Errno>
        do throws(Errno) { wanted = .success(try after.open(path, mode)) } catch { wanted = .failure(error) }
        let fit = try fit(outcome, wanted, "open(\(path), \(mode))")
        if fit == .unsure { return try settle(fit, after) }
        guard fit == .done, case .success(let open) = outcome else { return }
        model = after
        let seen = seen.take().last?.contents
        var slot = Slot(open: open, file: 0, mayWrite: mode != .read, isAppending: mode == .append)
        if mode == .truncate { forgetReads(open.inode) }
        if case .success(let file) = wanted { slot.file = file }
        if !slots.values.contains(where: { $0.open.inode == open.inode }) {
            // Its own write may have replaced what it stands on.
            let stored = volume.shown(open.inode)?.location.flatMap { bucket.object($0.key)?.bytes }
            closed[open.inode] = seen ?? contents(open.inode) ?? closed[open.inode] ?? stored
        }
        slots[number] = slot
        sinceChange = sinceChange.isEmpty ? [after] : Array(sinceChange.dropLast()) + [after]
        sinceSync.append(after)
    }

    private func write(_ number: Int, _ share: Int, _ bytes: [UInt8]) throws {
        guard let slot = slots[number], slot.mayWrite, let shown = volume.shown(slot.open.inode) else { return }
        let offset = slot.isAppending ? Int(shown.size) : Int(shown.size) * share / 100
        let client = client
        let outcome = try perform { () async throws(Errno) in try await client.write(slot.open, Int64(offset), bytes) }
        try wrote(slot, outcome) { $0.write(slot.file, offset, bytes) }
    }

    private func truncate(_ number: Int, _ share: Int) throws {
        guard let slot = slots[number], slot.mayWrite, let shown = volume.shown(slot.open.inode) else { return }
        let size = Int(shown.size) * share / 100
        let client = client
        let outcome = try perform { () async throws(Errno) in try await client.truncate(slot.open, to: Int64(size)) }
        try wrote(slot, outcome) { $0.truncate(slot.file, size) }
    }

    private func wrote(_ slot: Slot, _ outcome: Result<Void, Errno>, _ expected: (inout Model) -> Void) throws {
        forgetReads(slot.open.inode)
        switch try fit(outcome, Result<Void, Errno>.success(()), "a write") {
        case .done: expected(&model)
        case .refused: return
        case .unsure:
            if disk.isDead { break }
            let client = client
            // What S3 does not have any more may still be in memory.
            let read = try perform { () async throws(Errno) in try await client.read(slot.open) }
            model.files[slot.file]?.bytes = contents(slot.open.inode) ?? (try? read.get()) ?? []
        }
        sinceSync[sinceSync.count - 1] = model
        sinceChange[sinceChange.count - 1] = model
    }

    private func forgetReads(_ inode: InodeNumber) {
        for number in slots.keys where slots[number]?.open.inode == inode { slots[number]?.read = nil }
    }

    private func fsync(_ number: Int) throws {
        guard let slot = slots[number] else { return }
        let client = client
        let outcome = try perform { () async throws(Errno) in try await client.fsync(slot.open) }
        var after = model
        after.files[slot.file]?.settle(isSynced: true)
        // A crash may leave these contents in the place of those that were closed before.
        ledger.release(closed[slot.open.inode])
        switch try fit(outcome, Result<Void, Errno>.success(()), "fsync") {
        case .done:
            model = after
            restartModel()
            if let contents = contents(slot.open.inode) { ledger.sync(contents) }
        case .refused: return
        case .unsure: halfSettled(slot, after)
        }
    }

    /// A close or fsync that has not said yes: a crash may leave the old or the new.
    private func halfSettled(_ slot: Slot, _ after: Model) {
        guard let file = after.files[slot.file] else { return }
        model.files[slot.file]?.kept.append(file.bytes)
        model.files[slot.file]?.synced.append(file.bytes)
        sinceChange.append(model)
        sinceSync.append(model)
    }

    func close(_ number: Int) throws {
        guard let slot = slots.removeValue(forKey: number) else { return }
        let client = client
        let shown = volume.shown(slot.open.inode)
        var bytes = shown.flatMap { contents($0) }
        // What stands on a version that another device has replaced cannot be stored.
        let isWhole = bytes != nil
        if bytes == nil { bytes = try? perform { () async throws(Errno) in try await client.read(slot.open) }.get() }
        let isNamed = volume.shown().contains { $0.inode == slot.open.inode }
        // What is unchanged may be in a copy on the server by now, whose answer is still on its way.
        if isNamed, let closed = bytes ?? shown?.contents(bytesAnywhere) { server.allow(closed) }
        let outcome = try perform { () async throws(Errno) in try await client.close(slot.open) }
        var after = model
        if slot.mayWrite { after.files[slot.file]?.settle(isSynced: false) }
        switch try fit(outcome, Result<Void, Errno>.success(()), "close") {
        case .done:
            model = after
            // One that had nothing to keep says nothing of what failed before it.
            let isKept = slot.mayWrite && shown?.isDirty == true
            sinceChange = isKept ? [after] : Array(sinceChange.dropLast()) + [after]
            sinceSync.append(after)
            if slot.mayWrite, isNamed, shown?.isDirty == true, let bytes { closedInLedger(slot, bytes, isWhole) }
        case .refused: return
        case .unsure:
            halfSettled(slot, after)
            if slot.mayWrite { ledger.release(closed[slot.open.inode]) }
            closed[slot.open.inode] = bytes
        }
    }

    private func closedInLedger(_ slot: Slot, _ bytes: [UInt8], _ isWhole: Bool) {
        guard closed[slot.open.inode] != bytes else { return }
        ledger.release(closed[slot.open.inode])
        closed[slot.open.inode] = bytes
        if isWhole { ledger.add(bytes, isSynced: false) }
    }

    private func readOpen(_ number: Int) throws {
        guard let slot = slots[number] else { return }
        let client = client
        let expected = contents(slot.open.inode)
        let outcome = try perform { () async throws(Errno) in try await client.read(slot.open) }
        guard case .done = try fit(outcome, Result<Void, Errno>.success(()), "a read"),
            case .success(let bytes) = outcome
        else { return }
        if isExact, bytes != model.files[slot.file]?.bytes {
            throw Broken(text: "read \(Contents.name(bytes)), not \(Contents.name(model.files[slot.file]?.bytes))")
        }
        if let expected, contents(slot.open.inode) == expected, bytes != expected {
            throw Broken(text: "read \(Contents.name(bytes)) of a version that is \(Contents.name(expected))")
        }
        if let first = slot.read, first != bytes {
            throw Broken(text: "an open file that was \(Contents.name(first)) reads as \(Contents.name(bytes))")
        }
        slots[number]?.read = bytes
    }

    /// False when it did not get to its end.
    @discardableResult
    private func save(_ path: String, _ bytes: [UInt8], _ isSynced: Bool) throws -> Bool {
        let number = -1
        try open(number, path, .truncate)
        guard slots[number] != nil else { return false }
        try write(number, 0, bytes)
        if isSynced, !disk.isDead { try fsync(number) }
        let isWhole = !disk.isDead && slots[number].flatMap { contents($0.open.inode) } == bytes
        if disk.isDead { return false }
        try close(number)
        return isWhole && !disk.isDead
    }

    private func read(_ path: String) throws {
        let client = client
        let outcome = try perform { () async throws(Errno) in try await client.read(path) }
        let wanted: Result<Int, Errno>
        do throws(Errno) { wanted = .success(try model.file(path)) } catch { wanted = .failure(error) }
        guard case .done = try fit(outcome, wanted, "read(\(path))"), case .success(let bytes) = outcome else { return }
        if isExact, case .success(let file) = wanted, bytes != model.files[file]?.bytes {
            throw Broken(
                text: "\(path) reads as \(Contents.name(bytes)), not \(Contents.name(model.files[file]?.bytes))")
        }
    }

    private func rename(_ old: String, _ new: String, _ exchange: Bool) throws {
        if disk.isDead { return }
        let client = client
        try change(Call { () async throws(Errno) in try await client.rename(old, new, exchange: exchange) }) {
            model throws(Errno) in try model.rename(old, new, exchange: exchange)
        }
    }

    private func list(_ path: String) throws {
        let client = client
        let outcome = try perform { () async throws(Errno) in try await client.list(path) }
        let wanted: Result<[String], Errno>
        do throws(Errno) { wanted = .success(try model.list(path)) } catch { wanted = .failure(error) }
        guard case .done = try fit(outcome, wanted, "list(\(path))"), case .success(let names) = outcome else { return }
        if isExact, case .success(let expected) = wanted, names != expected {
            throw Broken(text: "\(path) lists \(names), not \(expected)")
        }
    }
}
