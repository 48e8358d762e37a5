import Bytes
import Disk
import Glibc
import Journal
import Logging
import ObjectStore
import Synchronization
import SystemPackage
import TestSupport

@testable import BlockCache
@testable import FileSystemCore

extension Answer {
    /// True for an answer that needed nobody else.
    var isReady: Bool { if case .ready = self { true } else { false } }
}

/// The errno that an operation ends with; nil when it succeeds.
func failure<Value>(_ body: () async throws(Errno) -> Value) async -> Errno? {
    do throws(Errno) {
        _ = try await body()
        return nil
    } catch {
        return error
    }
}

/// Nobody but the caller has the file open.
struct NoOtherWriter: WriterCensus {
    func hasWriter(_ inode: InodeNumber, among processes: Set<Int32>) -> Bool { false }
}

/// Remembers what the kernel was told.
final class Notices: KernelNotifier {
    private let log = Mutex<[String]>([])
    var all: [String] { log.withLock { $0 } }
    private func add(_ text: String) { log.withLock { $0.append(text) } }

    func invalidateEntry(_ parent: InodeNumber, _ name: FileName) {
        add("entry \(String(decoding: name.bytes, as: UTF8.self))")
    }
    func entryDeleted(_ parent: InodeNumber, _ child: InodeNumber, _ name: FileName) {
        add("deleted \(String(decoding: name.bytes, as: UTF8.self))")
    }
    func invalidateInode(_ inode: InodeNumber, data: Bool) { add("inode \(data)") }
}

/// Time that passes, and moves besides when a test says so; or, once it is stopped, only then.
final class TestClock: Sendable {
    private let state = Mutex((added: Duration.zero, stoppedAt: Duration?.none))
    var clock: VolumeClock {
        VolumeClock(
            monotonic: { self.state.withLock { $0.added + ($0.stoppedAt ?? VolumeClock.system.monotonic()) } },
            wall: { VolumeClock.system.wall() }, random: { 0 })
    }
    func advance(by duration: Duration) { state.withLock { $0.added += duration } }
    /// For tests of what depends on how soon things follow each other, on however slow a machine.
    func stop() { state.withLock { $0.stoppedAt = VolumeClock.system.monotonic() } }
}

/// A volume on a store in memory, with faults on call and staged files on a real disk.
final class Space: Sendable {
    static let caller = Caller(uid: 1000, gid: 1000, pid: 1, umask: 0o022)

    let memory: InMemoryObjectStore
    let faulty: FaultyObjectStore
    let volume: Volume
    let notices = Notices()
    let time = TestClock()
    private let freshness: Duration
    private let directory: TemporaryDirectory

    /// `after`: the same space after the process of that one was killed; its journal is as it stands on the disk.
    init(
        cached: Bool = false, freshness: Duration = .seconds(1000), _ durability: Durability = .remote,
        quietTime: Duration = .zero, after killed: Space? = nil
    ) throws {
        self.freshness = freshness
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        memory = killed?.memory ?? InMemoryObjectStore()
        faulty = FaultyObjectStore(memory)
        directory = try TemporaryDirectory()
        if let killed {
            // It goes on in this process, and must not be heard of any more.
            killed.faulty.setScript { _, _ in .unreachable }
            try Self.copy(killed.directory.path.appending("journal"), to: directory.path.appending("journal"))
        }
        guard let prefix = KeyPrefix("s/") else { throw Errno.invalidArgument }
        var options = VolumeOptions(prefix: prefix, uid: 1000, gid: 1000)
        options.freshness = freshness
        options.durability = durability
        options.quietTime = quietTime
        options.hostName = "desk"
        let cache =
            cached
            ? try BlockCache(
                directory: directory.path.appending("cache"), key: nil, limit: 64 << 20, space: "s", logger: quiet)
            : nil
        volume = try Volume(
            options: options, store: faulty, cache: cache,
            journal: directory.path.appending("journal"), key: nil,
            clock: time.clock, writers: NoOtherWriter(), logger: quiet)
        volume.attach(notices)
    }

    var journalPath: FilePath { directory.path.appending("journal") }

    /// The journal as it stands on the disk, in a directory of its own.
    func copiedJournal() throws -> TemporaryDirectory {
        let copy = try TemporaryDirectory()
        try Self.copy(journalPath, to: copy.path.appending("journal"))
        return copy
    }

    private static func copy(_ source: FilePath, to target: FilePath) throws(Errno) {
        try Directory.create(target)
        for name in try Directory.names(source) {
            let (from, to) = (source.appending(name), target.appending(name))
            if (try? Directory.names(from)) != nil {
                try copy(from, to: to)
                continue
            }
            let file = try OpenFile(from, O_RDONLY)
            let buffer = ByteBuffer(capacity: Int(try file.status().size))
            _ = try file.read(at: 0, into: buffer.writable)
            try OpenFile(to, O_RDWR | O_CREAT).write(UnsafeRawBufferPointer(buffer.writable), at: 0)
        }
    }

    // MARK: S3's side

    static func key(_ path: String) -> ObjectKey {
        guard let key = ObjectKey("s/" + path) else { preconditionFailure("a key of a test is valid") }
        return key
    }

    func stored(_ path: String) -> InMemoryObjectStore.StoredObject? { memory.object(Self.key(path)) }
    func text(_ path: String) -> String? { stored(path).map { String(decoding: $0.bytes, as: UTF8.self) } }
    var keys: [String] { memory.keys.map { String($0.description.dropFirst(2)) } }

    @discardableResult
    func foreign(_ path: String, _ text: String, type: String = "text/plain", metadata: [String: String] = [:]) -> ETag
    {
        memory.foreignPut(
            Self.key(path), Array(text.utf8), ObjectAttributes(contentType: type, metadata: metadata))
    }

    /// Lets what is known become old.
    func expire() { time.advance(by: freshness + .seconds(1)) }

    /// Brings everything due to S3; returns what cannot be brought there.
    @discardableResult
    func settle() async -> [Volume.Report.Change] {
        for _ in 0..<20_000 {
            volume.hurry()
            let open = volume.report().changes.filter { $0.failure == nil }
            if open.isEmpty || open.allSatisfy({ volume.isHeld($0.path) }) { break }
            try? await Task.sleep(for: .milliseconds(1))
        }
        return volume.report().changes
    }

    /// Waits until the cache holds all of a file's stored version, and nothing of it is staged any more.
    func untilCached(_ path: String) async throws {
        let inode = try await inode(path)
        while true {
            let file = try volume.look { state throws(Errno) in try state.tree.node(inode).file }
            if let file, file.staged == nil, let identity = file.identity,
                volume.cache?.availableCount(identity, offset: 0, limit: Int(file.size)) == Int(file.size)
            {
                return
            }
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    // MARK: The kernel's side

    func split(_ path: String) async throws(Errno) -> (parent: InodeNumber, name: FileName) {
        var parent = InodeNumber.root
        let names = path.split(separator: "/").map { FileName(Array($0.utf8)) }
        for name in names.dropLast() { parent = try await lookup(parent, name).inode }
        return (parent, names.last ?? FileName([]))
    }

    func lookup(_ parent: InodeNumber, _ name: FileName) async throws(Errno) -> FileAttributes {
        guard let found = try await volume.lookup(parent, name).value().attributes else { throw .noSuchFileOrDirectory }
        return found
    }

    func stat(_ path: String) async throws(Errno) -> FileAttributes {
        let (parent, name) = try await split(path)
        return try await lookup(parent, name)
    }

    func inode(_ path: String) async throws(Errno) -> InodeNumber {
        path.isEmpty ? .root : try await stat(path).inode
    }

    func open(_ path: String, _ flags: Int32 = O_RDONLY) async throws(Errno) -> File {
        let inode = try await inode(path)
        return File(self, inode, try await volume.open(inode, flags: flags, Self.caller).value().handle)
    }

    func create(_ path: String, mode: UInt32 = 0o644) async throws(Errno) -> File {
        let (parent, name) = try await split(path)
        let made = try await volume.create(parent, name, mode: mode, flags: O_WRONLY | O_CREAT, Self.caller).value()
        guard let inode = made.entry.attributes?.inode else { throw .ioError }
        return File(self, inode, made.opened.handle)
    }

    func write(_ path: String, _ text: String) async throws(Errno) {
        let file: File
        if await failure({ () async throws(Errno) in try await self.stat(path) }) == nil {
            file = try await open(path, O_WRONLY | O_TRUNC)
        } else {
            file = try await create(path)
        }
        try await file.write(text)
        let flushed = await failure { () async throws(Errno) in try await file.flush() }
        await file.release()
        if let flushed { throw flushed }
    }

    func read(_ path: String) async throws(Errno) -> String {
        let file = try await open(path)
        let result: Result<String, Errno>
        do throws(Errno) { result = .success(try await file.readAll()) } catch { result = .failure(error) }
        await file.release()
        return try result.get()
    }

    func list(_ path: String) async throws(Errno) -> [String] {
        let inode = try await inode(path)
        let handle = try await volume.opendir(inode).value().handle
        var names: [String] = []
        try volume.readdir(inode, handle, offset: 0, plus: false) { entry, _ in
            names.append(String(decoding: entry.name.bytes, as: UTF8.self))
            return true
        }
        volume.releasedir(inode, handle)
        return names.filter { $0 != "." && $0 != ".." }.sorted()
    }

    func rename(_ old: String, _ new: String, _ mode: RenameMode = .replace) async throws(Errno) {
        // The kernel has looked both names up.
        _ = try await stat(old)
        let (from, to) = (try await split(old), try await split(new))
        _ = await failure { () async throws(Errno) in try await self.lookup(to.parent, to.name) }
        try await volume.rename(from.parent, from.name, to: to.parent, to.name, mode).value()
    }

    func unlink(_ path: String) async throws(Errno) {
        let (parent, name) = try await split(path)
        _ = try await lookup(parent, name)
        try await volume.unlink(parent, name).value()
    }

    func mkdir(_ path: String) async throws(Errno) {
        let (parent, name) = try await split(path)
        _ = try await volume.mkdir(parent, name, mode: 0o755, Self.caller).value()
    }

    func rmdir(_ path: String) async throws(Errno) {
        let (parent, name) = try await split(path)
        _ = try await lookup(parent, name)
        try await volume.rmdir(parent, name).value()
    }

    func set(_ path: String, _ changes: AttributeChanges) async throws(Errno) {
        _ = try await volume.setattr(try await inode(path), changes, nil, Self.caller).value()
    }

    /// Files that are changed and not queued: what would be lost.
    var forgotten: [String] {
        volume.update { state in
            let queued = Set(state.overlay.committer.intents.compactMap(\.intent.inode))
            return state.tree.nodes.values.compactMap { node in
                guard let file = node.file, node.isLinked, file.isDirty,
                    file.openCount == 0
                else { return nil }
                return queued.contains(node.inode) ? nil : node.name.description
            }
        }
    }

    /// A refused answer in S3's words.
    static func error(_ code: ObjectStoreError.Code) -> ObjectStoreError {
        ObjectStoreError(code, "refused by the test")
    }

    func fail(_ code: ObjectStoreError.Code, _ matches: @escaping @Sendable (StoreCall) -> Bool) {
        faulty.setScript { call, _ in matches(call) ? .failBefore(Self.error(code)) : nil }
    }

    func heal() { faulty.setScript { _, _ in nil } }
}

extension Volume {
    /// A deletion that waits for the last close.
    func isHeld(_ path: String) -> Bool {
        update { state in
            state.overlay.committer.intents.contains { $0.isHeld && state.relativePath($0.intent.key) == path }
        }
    }
}

/// An open file.
struct File {
    let space: Space
    let inode: InodeNumber
    let handle: FileHandle

    init(_ space: Space, _ inode: InodeNumber, _ handle: FileHandle) {
        self.space = space
        self.inode = inode
        self.handle = handle
    }

    func write(_ text: String, at offset: Int64 = 0) async throws(Errno) {
        try await write(Array(text.utf8), at: offset)
    }

    func write(_ bytes: [UInt8], at offset: Int64) async throws(Errno) {
        let answer = bytes.withUnsafeBytes {
            space.volume.write(inode, handle, offset: offset, $0, mayKillSetID: false)
        }
        _ = try await answer.value()
    }

    func truncate(_ size: Int64) async throws(Errno) {
        _ = try await space.volume.setattr(inode, AttributeChanges(size: size), handle, Space.caller).value()
    }

    func read(_ offset: Int64, _ count: Int) async throws(Errno) -> [UInt8] {
        try await space.volume.read(inode, handle, offset: offset, count: count).value().flatMap { $0.array() }
    }

    func readAll() async throws(Errno) -> String { String(decoding: try await read(0, 1 << 20), as: UTF8.self) }

    func flush() async throws(Errno) { try await space.volume.flush(inode, handle, Space.caller).value() }
    func release() async {
        _ = await failure { () async throws(Errno) in try await space.volume.release(inode, handle).value() }
    }
    func close() async throws(Errno) {
        try await flush()
        await release()
    }
}
