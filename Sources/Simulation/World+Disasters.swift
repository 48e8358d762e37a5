import Disk
import FileSystemCore
import Journal
import Logging
import ObjectStore
import SystemPackage

/// Crashes and recoveries.
extension World {
    /// The process is killed, or the power goes; then the next process mounts.
    func crash(power: Bool) throws {
        let hadTrouble = hasDiskTrouble
        let expected = power || hadTrouble || disk.isDead ? nil : (volume.expectedRows().rows, volume.otherRows().rows)
        slots = [:]
        closed = [:]
        disk = disk.crash(power: power)
        disk.faults = SimulatedDisk.Faults()
        hasDiskTrouble = false
        if power, hadTrouble { isBehind = true }
        isPowerCut = false
        end()
        executor.settle()
        // What was on its way to the server arrives; in runs with other devices also after the next mount.
        executor.advance(by: .seconds(scenario.isShared ? 0.05 : 25))
        if let expected { try checkRows(expected.0, besides: expected.1) }
        process = SimulatedProcess(executor)
        do {
            (store, volume) = try Self.mount(scenario, bug, executor, server, (disk, watch, key), process, weather)
        } catch {
            throw Broken(text: "the volume does not mount: \(error)")
        }
        tellRecovery()
        let view = view()
        if power { ledger.powerCut() }
        try checkLedger(view, power ? "after a power cut" : "after a kill")
        if isExact { try matchModel(view, power, hadTrouble) }
        // What a killed process has not synced may still be lost in a power cut.
        if power { sinceSync = [] }
        sinceSync.append(model)
        sinceChange = [model]
        volume.start()
    }

    private func tellRecovery() {
        guard isTracing else { return }
        tellQueue()
        trace.append("    a new process has")
        trace += volume.kept().map { "      \($0)" }
    }

    /// The process does nothing any more.
    func end() {
        store.disconnect()
        process.end()
    }

    private func matchModel(_ view: Model.View, _ power: Bool, _ hadTrouble: Bool) throws {
        let (stored, followed) = (self.stored(), followed())
        var losses: [String] = []
        let candidates = power ? sinceSync : sinceChange
        for (index, candidate) in candidates.enumerated().reversed() {
            let later = candidates[(index + 1)...]
            guard let found = candidate.loss(view, followed, power: power, stored: stored, later: later) else {
                model = candidate
                model.adopt(view, power: power, stored: stored)
                // S3 may be ahead of what the journal knows; where it is, a version that the view shows is gone.
                if power || hadTrouble || view.files.values.contains(nil) { isExact = false }
                return
            }
            if !losses.contains(found) { losses.append(found) }
        }
        throw Broken(text: "after a \(power ? "power cut" : "kill") \(losses.joined(separator: "; or "))")
    }

    /// What files have that stand on a version which a write of ours has replaced without an answer: a reader asks S3, and
    /// gets the bytes that have not changed from what is there. Of use where nobody else writes.
    private func followed() -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        for shown in volume.shown() where !shown.isDirectory && contents(shown) == nil {
            found[shown.path] = shown.contents { bucket.object($0.key)?.bytes }
        }
        return found
    }

    /// The rows on the disk are those that the state asks for.
    private func checkRows(_ expected: [[UInt8]: [UInt8]], besides others: [[UInt8]: [UInt8]]) throws {
        var found: [[UInt8]: [UInt8]] = [:]
        do {
            _ = try SpaceJournal(
                directory: "/journal", key: key, logger: Logger(label: "") { _ in SwiftLogNoOpLogHandler() }, disk: disk
            ) { name, value in found[Array(name)] = value.map { Array($0) } }
        } catch {
            throw Broken(text: "the journal does not open: \(error)")
        }
        for (name, value) in expected.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            guard let row = found[name] else { throw Broken(text: "the journal lacks the row \(Self.text(name))") }
            if let difference = Volume.difference(name, row, value) {
                throw Broken(text: "in the journal, \(difference)")
            }
        }
        for (name, row) in found where expected[name] == nil {
            guard let other = others[name] else {
                throw Broken(text: "the journal has a row \(Self.text(name)) that the state does not ask for")
            }
            if let difference = Volume.difference(name, row, other) {
                throw Broken(text: "in the journal, which need not speak of it, \(difference)")
            }
        }
    }

    private static func text(_ name: [UInt8]) -> String {
        let isNumber = [UInt8(ascii: "n"), UInt8(ascii: "i")].contains(name.first)
        let rest =
            isNumber
            ? "\(name.dropFirst().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })"
            : String(decoding: name.dropFirst(), as: UTF8.self)
        return String(decoding: name.prefix(1), as: UTF8.self) + " " + rest
    }

    // MARK: Calm

    /// Everything is healed and all files are closed; then S3 must come to hold what the view shows, and nobody may ask
    /// for anything any more.
    func calm() throws {
        if disk.isDead { try crash(power: isPowerCut) }
        disk.halt(after: nil)
        isPowerCut = false
        disk.faults = SimulatedDisk.Faults()
        weather = Self.weather(.fair, scenario.isShared)
        weather.slow = 0
        store.weather = weather
        for slot in slots.keys.sorted() { try take(.close(slot: slot)) }
        hasDiskTrouble = false
        // What other devices and lost requests have under way arrives.
        executor.advance(by: .seconds(100))
        try empty()
        // What was synced and not closed before a crash, or could not be closed, is for nobody else until somebody
        // closes it.
        for shown in volume.shown() where !shown.isDirectory && shown.isUnpublished {
            try take(.open(slot: 0, path: shown.path, .write))
            try take(.close(slot: 0))
        }
        try empty()
        executor.advance(by: .seconds(10))
        let client = client
        if case .failure(let error) = try perform({ () async throws(Errno) in try await client.walk() }) {
            throw Broken(text: "in fair weather the tree cannot be listed: \(error)")
        }
        try empty()
        store.mustBeIdle = true
        executor.advance(by: .seconds(300))
        store.mustBeIdle = false
        if let violation = store.violations.first { throw Broken(text: violation) }
        if let violation = server.takeViolations().first { throw Broken(text: violation) }
        try checkConverged()
        isBehind = false
    }

    private func empty() throws {
        for _ in 0..<20 {
            volume.hurry(retryFailed: true)
            executor.advance(by: .seconds(30))
            let changes = volume.report().changes
            if changes.isEmpty { return }
            // What was built on bytes that another device has replaced since cannot be stored, or that this one has replaced
            // and forgot: a person gives it up.
            for change in changes where change.isSourceChanged && (scenario.isShared || isBehind) {
                try take(.unlink(path: change.path))
            }
        }
        throw Broken(text: "the queue does not empty: \(volume.queue())")
    }

    private func checkConverged() throws {
        let (view, stored) = (view(), stored())
        var shown = view.files.mapValues { $0 }
        var directories = view.directories
        for (path, bytes) in stored {
            var parent = Model.parent(path)
            if path.hasSuffix("/") {
                directories.remove(parent)
            } else if !stored.keys.contains(where: { $0.hasPrefix(path + "/") }) {
                guard let there = shown.removeValue(forKey: path) else {
                    throw Broken(text: "S3 has \(path), the view has not")
                }
                if there != bytes {
                    throw Broken(text: "S3 has \(path) as \(Contents.name(bytes)), the view as \(Contents.name(there))")
                }
            }
            while !parent.isEmpty {
                guard view.directories.contains(parent) else {
                    throw Broken(text: "S3 has \(parent)/, the view has not")
                }
                directories.remove(parent)
                parent = Model.parent(parent)
            }
        }
        if let path = shown.keys.min() ?? directories.min() { throw Broken(text: "the view has \(path), S3 has not") }
        try checkLedger(view, "when all is calm")
        if isExact {
            for (path, file) in model.names where view.files[path] != .some(model.files[file]?.bytes) {
                let bytes = model.files[file]?.bytes
                throw Broken(text: "\(path) is \(Contents.name(view.files[path] ?? nil)), not \(Contents.name(bytes))")
            }
            for (path, file) in model.names {
                guard let mode = model.files[file]?.mode else { continue }
                let there = storedMode(try key(path))
                if there != mode { throw Broken(text: "S3 has \(path) with the mode \(there), not \(mode)") }
            }
            if view.directories != model.directories {
                throw Broken(text: "directories are \(view.directories.sorted()), not \(model.directories.sorted())")
            }
            if view.files.count != model.names.count {
                throw Broken(
                    text:
                        "the view has other files than it should: \(view.files.keys.sorted()) instead of \(model.names.keys.sorted())"
                )
            }
        }
        // An object beside a directory of its name, which a late request may have left, is seen only once that is gone.
        let isHidden = stored.keys.contains { path in stored.keys.contains { $0.hasPrefix(path + "/") } }
        if !scenario.isShared, !isExact, !isHidden {
            model.adopt(view, power: true, stored: stored)
            isExact = true
            let client = client
            if case .failure(let error) = try perform({ () async throws(Errno) in try await client.syncDirectory("") })
            {
                throw Broken(text: "on a healthy disk the journal cannot be synced: \(error)")
            }
            restartModel()
        }
    }
}
