import ObjectStore

/// The files kept open, the pins, and the uses that the index does not know yet. Memory only; behind the cache's lock.
struct OpenFiles: Sendable {
    /// Descriptors kept for files that nobody reads just now.
    static let fileLimit = 64
    /// Uses not yet in the index. Beyond, the index orders those by older times.
    static let useLimit = 4096

    private struct Entry: Sendable {
        var file: BlockFile
        var usedAt: Int64
        var isNoted = false
    }

    private var entries: [ObjectVersion: Entry] = [:]
    private var pins: [ObjectVersion: (name: VersionName, count: Int)] = [:]
    private var pinnedNames: [VersionName: Int] = [:]
    private var uses: [VersionName: Int64] = [:]

    mutating func use(_ version: ObjectVersion, _ now: Int64) -> BlockFile? {
        guard let position = entries.index(forKey: version) else { return nil }
        entries.values[position].usedAt = now
        entries.values[position].isNoted = false
        return entries.values[position].file
    }

    /// Keeps a file open, unless another thread was faster, whose file is returned then. `dropped` gets what must be let
    /// go outside of the lock: closing a file calls the index.
    mutating func add(
        _ file: BlockFile, _ version: ObjectVersion, _ now: Int64, dropped: inout [BlockFile]
    ) -> BlockFile {
        if let known = use(version, now) { return known }
        if entries.count >= Self.fileLimit, let victim = leastUsed() { remove(victim, &dropped) }
        if pins[version] != nil { file.setPinned(true) }
        entries[version] = Entry(file: file, usedAt: now)
        return file
    }

    private func leastUsed() -> ObjectVersion? {
        let loose = entries.filter { pins[$0.key] == nil }
        return (loose.isEmpty ? entries : loose).min { $0.value.usedAt < $1.value.usedAt }?.key
    }

    private mutating func remove(_ version: ObjectVersion, _ dropped: inout [BlockFile]) {
        guard let entry = entries.removeValue(forKey: version) else { return }
        if !entry.isNoted, uses.count < Self.useLimit { uses[entry.file.name] = entry.usedAt }
        dropped.append(entry.file)
    }

    /// Lets a file go that was evicted, if it is still this one.
    mutating func forget(_ file: BlockFile, _ version: ObjectVersion) {
        if entries[version]?.file === file { entries[version] = nil }
    }

    mutating func forget(_ name: VersionName) -> [BlockFile] {
        let gone = entries.filter { $0.value.file.name == name }
        for version in gone.keys { entries[version] = nil }
        return gone.values.map(\.file)
    }

    mutating func removeAll() -> [BlockFile] {
        defer { entries = [:] }
        return entries.values.map(\.file)
    }

    var all: [BlockFile] { entries.values.map(\.file) }

    /// Uses since the last call.
    mutating func takeUses() -> [VersionName: Int64] {
        for (version, entry) in entries where !entry.isNoted {
            uses[entry.file.name] = entry.usedAt
            entries[version]?.isNoted = true
        }
        defer { uses = [:] }
        return uses
    }

    mutating func pin(_ version: ObjectVersion, _ name: @autoclosure () -> VersionName) {
        if let known = pins[version] {
            pins[version] = (known.name, known.count + 1)
            return
        }
        let name = name()
        pins[version] = (name, 1)
        pinnedNames[name, default: 0] += 1
        entries[version]?.file.setPinned(true)
    }

    mutating func unpin(_ version: ObjectVersion) {
        guard let known = pins[version] else {
            assertionFailure("unpinned more often than pinned")
            return
        }
        if known.count > 1 {
            pins[version] = (known.name, known.count - 1)
            return
        }
        pins[version] = nil
        pinnedNames[known.name] = nil
        entries[version]?.file.setPinned(false)
    }

    func isPinned(_ name: VersionName) -> Bool { pinnedNames[name] != nil }
}
