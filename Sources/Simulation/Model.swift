import SystemPackage

/// A file system as a person would explain it: names, directories, bytes, and what a crash may leave of them.
///
/// It knows nothing of S3, journals or queues. It holds for runs in which nobody else writes; see `Ledger` for the others.
struct Model: Sendable {
    struct File: Sendable {
        var bytes: [UInt8] = []
        /// What a killed process may leave: the contents of the last close or fsync. Nil stands for no file at all. More than
        /// one where a call failed halfway.
        var kept: [[UInt8]?] = [nil]
        /// What a power cut may leave: what the last fsync kept, and what was closed since.
        var synced: [[UInt8]?] = [nil]
        /// What the last close left: what S3 may have.
        var closed: [UInt8]?
        /// Permissions; nil where nobody here has set them.
        var mode: UInt32?

        mutating func settle(isSynced: Bool) {
            if !isSynced { closed = bytes }
            kept = [bytes]
            synced = isSynced ? [bytes] : synced + [bytes]
        }
    }

    var files: [Int: File] = [:]
    /// By path.
    var names: [String: Int] = [:]
    var directories: Set<String> = []
    private var nextFile = 1

    static func parent(_ path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
    }

    func isDirectory(_ path: String) -> Bool { path.isEmpty || directories.contains(path) }
    func exists(_ path: String) -> Bool { names[path] != nil || isDirectory(path) }

    private func checkParent(_ path: String) throws(Errno) {
        var parent = Self.parent(path)
        while !isDirectory(parent) {
            if names[parent] != nil { throw .notDirectory }
            parent = Self.parent(parent)
        }
        if !isDirectory(Self.parent(path)) { throw .noSuchFileOrDirectory }
    }

    func file(_ path: String) throws(Errno) -> Int {
        try checkParent(path)
        if isDirectory(path) { throw .isDirectory }
        guard let file = names[path] else { throw .noSuchFileOrDirectory }
        return file
    }

    mutating func add(_ path: String, _ bytes: [UInt8]) {
        files[nextFile] = File(bytes: bytes, kept: [bytes], synced: [bytes])
        names[path] = nextFile
        nextFile += 1
        var parent = Self.parent(path)
        while !parent.isEmpty {
            directories.insert(parent)
            parent = Self.parent(parent)
        }
    }

    mutating func open(_ path: String, _ mode: Step.OpenMode) throws(Errno) -> Int {
        try checkParent(path)
        if isDirectory(path) { throw .isDirectory }
        if let file = names[path] {
            if mode == .exclusive { throw .fileExists }
            if mode == .truncate { files[file]?.bytes = [] }
            return file
        }
        guard [.create, .truncate, .exclusive].contains(mode) else { throw .noSuchFileOrDirectory }
        defer { nextFile += 1 }
        files[nextFile] = File(mode: 0o644)
        names[path] = nextFile
        return nextFile
    }

    mutating func write(_ file: Int, _ offset: Int, _ bytes: [UInt8]) {
        guard !bytes.isEmpty, var old = files[file]?.bytes else { return }
        if old.count < offset + bytes.count {
            old += [UInt8](repeating: 0, count: offset + bytes.count - old.count)
        }
        old.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        files[file]?.bytes = old
    }

    mutating func truncate(_ file: Int, _ size: Int) {
        guard let old = files[file]?.bytes else { return }
        files[file]?.bytes = old.prefix(size) + [UInt8](repeating: 0, count: max(0, size - old.count))
    }

    mutating func changeMode(_ path: String, _ mode: UInt32) throws(Errno) {
        if isDirectory(path) { return }
        files[try file(path)]?.mode = mode
    }

    mutating func unlink(_ path: String) throws(Errno) {
        _ = try file(path)
        names[path] = nil
    }

    mutating func makeDirectory(_ path: String) throws(Errno) {
        try checkParent(path)
        if exists(path) { throw .fileExists }
        directories.insert(path)
    }

    private func isEmpty(_ path: String) -> Bool {
        !names.keys.contains { $0.hasPrefix(path + "/") } && !directories.contains { $0.hasPrefix(path + "/") }
    }

    mutating func removeDirectory(_ path: String) throws(Errno) {
        try checkParent(path)
        if names[path] != nil { throw .notDirectory }
        guard isDirectory(path) else { throw .noSuchFileOrDirectory }
        guard isEmpty(path) else { throw .directoryNotEmpty }
        directories.remove(path)
    }

    mutating func rename(_ old: String, _ new: String, exchange: Bool) throws(Errno) {
        try checkParent(old)
        try checkParent(new)
        guard exists(old) else { throw .noSuchFileOrDirectory }
        if new.hasPrefix(old + "/") { throw .invalidArgument }
        if exchange {
            guard exists(new) else { throw .noSuchFileOrDirectory }
            if old.hasPrefix(new + "/") { throw .invalidArgument }
            if old == new { return }
            move(new, "//aside")
            move(old, new)
            return move("//aside", old)
        }
        if old == new { return }
        if isDirectory(old), names[new] != nil { throw .notDirectory }
        if !isDirectory(old), isDirectory(new) { throw .isDirectory }
        if isDirectory(new), !isEmpty(new) { throw .directoryNotEmpty }
        directories.remove(new)
        names[new] = nil
        move(old, new)
    }

    private mutating func move(_ old: String, _ new: String) {
        func moved(_ path: String) -> String {
            path == old ? new : path.hasPrefix(old + "/") ? new + path.dropFirst(old.count) : path
        }
        names = Dictionary(uniqueKeysWithValues: names.map { (moved($0.key), $0.value) })
        directories = Set(directories.map(moved))
    }

    func list(_ path: String) throws(Errno) -> [String] {
        try checkParent(path)
        if names[path] != nil { throw .notDirectory }
        guard isDirectory(path) else { throw .noSuchFileOrDirectory }
        return (Array(names.keys) + directories).filter { !$0.isEmpty && Self.parent($0) == path }
            .map { String($0.dropFirst(path.isEmpty ? 0 : path.count + 1)) }.sorted()
    }

    // MARK: Against the view

    /// What a view shows: the bytes of each file (nil: nowhere to be found), and the directories.
    struct View: Sendable {
        var files: [String: [UInt8]?] = [:]
        var sizes: [String: Int64] = [:]
        /// Permissions of the files, here or on S3.
        var modes: [String: UInt32] = [:]
        var directories: Set<String> = []
    }

    /// What is wrong with a view of the running process; nil when nothing is.
    func difference(sizes: [String: Int64], directories: Set<String>) -> String? {
        if directories != self.directories {
            return "directories are \(directories.sorted()), not \(self.directories.sorted())"
        }
        if Set(sizes.keys) != Set(names.keys) { return "files are \(sizes.keys.sorted()), not \(names.keys.sorted())" }
        for (path, file) in names {
            let size = files[file]?.bytes.count ?? 0
            if sizes[path] != Int64(size) { return "\(path) has \(sizes[path] ?? -1) bytes, not \(size)" }
        }
        return nil
    }

    /// True for a view that shows just this.
    func isShown(by view: View) -> Bool {
        view.directories == directories && Set(view.files.keys) == Set(names.keys)
            && names.allSatisfy { path, file in
                // What stands on a version that is being replaced can't be read before the answer.
                (view.files[path].map { $0 == nil || $0 == files[file]?.bytes } ?? false)
                    && view.sizes[path] == files[file].map { Int64($0.bytes.count) }
                    && (files[file]?.mode == nil || view.modes[path] == files[file]?.mode)
            }
    }

    /// What is wrong with what a crash has left. `followed`: what a reader gets of files that stand on a version which is
    /// replaced. `stored`: what S3 holds, which the journal may be behind; after a power cut up to one of the `later` states.
    func loss(
        _ view: View, _ followed: [String: [UInt8]], power: Bool, stored: [String: [UInt8]],
        later: some Sequence<Model>
    ) -> String? {
        func isStored(_ bytes: [UInt8]?) -> Bool { bytes.map(stored.values.contains) ?? false }
        var undecided: Set<String> = []
        for (path, file) in names {
            guard let file = files[file] else { continue }
            let allowed = power ? file.synced : file.kept
            let mayMiss = allowed.contains(nil)
            if mayMiss { undecided.insert(path) }
            guard let there = view.files[path] else {
                if mayMiss || (power && allowed.contains(where: isStored)) { continue }
                return "\(path) is gone; it was \(Contents.name(allowed.last ?? nil))"
            }
            // A power cut may take a change of permissions; where the file is not there yet, another may be.
            if !power, !mayMiss, let mode = file.mode, view.modes[path] != mode {
                return "\(path) has the mode \(view.modes[path] ?? 0), not \(mode)"
            }
            if mayMiss || allowed.contains(there) { continue }
            // The journal may still speak of a version that S3 has replaced by what was closed since: a reader gets that.
            if there == nil, allowed.contains(where: isStored) { continue }
            if there == nil, let bytes = followed[path], allowed.contains(bytes) { continue }
            // Or by what was closed, on which stands what was synced since: S3 is asked before that can be read.
            if there == nil, isStored(file.closed) { continue }
            // Or S3 has what came after, which no sync had covered.
            if power, there == nil, later.contains(where: { $0.names[path] != names[path] }) { continue }
            return "\(path) is \(Contents.name(there)), not \(allowed.map { Contents.name($0) })"
        }
        let missing = directories.subtracting(view.directories).filter { path in
            // What S3 has is found again by a listing.
            !power || !stored.keys.contains { $0.hasPrefix(path + "/") }
        }
        if !missing.isEmpty { return "directories \(missing.sorted()) are gone" }
        let extra = view.directories.subtracting(directories)
        if !extra.isEmpty { return "directories \(extra.sorted()) are back" }
        for path in view.files.keys where names[path] == nil && !undecided.contains(path) {
            // What was to be deleted once new contents were stored, which are lost, stays where S3 has it.
            if power, !undecided.isEmpty, let there = view.files[path], there == stored[path] { continue }
            return "\(path) is back as \(Contents.name(view.files[path] ?? nil))"
        }
        return nil
    }

    /// Goes on from what a crash has left. What is nowhere in the view any more is on S3, where `loss` has found it.
    mutating func adopt(_ view: View, power: Bool, stored: [String: [UInt8]]) {
        let before = self
        names = [:]
        files = [:]
        directories = view.directories
        for (path, bytes) in view.files.sorted(by: { $0.key < $1.key }) {
            let kept = before.names[path].flatMap { before.files[$0] }.map { power ? $0.synced : $0.kept } ?? []
            add(
                path,
                bytes ?? kept.compactMap { $0 }.last(where: stored.values.contains) ?? kept.last.flatMap { $0 } ?? [])
            guard !power, let old = before.names[path].flatMap({ before.files[$0] }), let file = names[path] else {
                continue
            }
            if !old.kept.contains(nil) { files[file]?.mode = old.mode }
            files[file]?.synced = old.synced + [bytes]
        }
        directories = view.directories
    }
}

/// What must be found somewhere in the end, whoever wrote it: both sides of every conflict. It holds for all runs.
struct Ledger: Sendable {
    /// Contents that must not be lost, and whether a power cut may still take them.
    private var live: [Contents: Bool] = [:]

    /// Somebody has stored these, or closed a file with them.
    mutating func add(_ contents: [UInt8], isSynced: Bool) {
        if !contents.isEmpty { live[Contents(contents)] = isSynced || live[Contents(contents)] ?? false }
    }

    mutating func sync(_ contents: [UInt8]) {
        if live[Contents(contents)] != nil { live[Contents(contents)] = true }
    }

    /// Somebody who saw them has replaced or removed them.
    mutating func release(_ contents: [UInt8]?) { if let contents { live[Contents(contents)] = nil } }

    /// What is lost, when so much is there.
    func lost(_ found: Set<Contents>) -> [Contents] { live.keys.filter { !found.contains($0) } }

    /// What no sync has covered is not promised after a power cut.
    mutating func powerCut() { live = live.filter(\.value) }
}
