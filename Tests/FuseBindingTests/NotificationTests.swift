import FileSystemCore
import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import FuseBinding

@Suite("What waits to be told to the kernel")
struct NotificationBacklogTests {
    private func name(_ number: Int) -> FileName { FileName(Array("\(number)".utf8)) }

    @Test("at the bound, names become one invalidation of their directory, and inodes are dropped")
    func bound() {
        var backlog = NotificationBacklog(limit: 2)
        for number in 0..<5 { backlog.add(.entry(parent: .root, name: name(number))) }
        backlog.add(.deletion(parent: .root, child: InodeNumber(9), name: name(9)))
        for number in 5..<9 { backlog.add(.inode(InodeNumber(UInt64(number)), data: false)) }
        #expect(backlog.droppedCount == 3)
        #expect(
            backlog.takeAll() == [
                .entry(parent: .root, name: name(0)), .entry(parent: .root, name: name(1)),
                .inode(.root, data: true), .inode(InodeNumber(5), data: false),
            ])
        #expect(backlog.isEmpty)
        #expect(backlog.droppedCount == 0)
    }

    @Test("an inode that waits is told once, with its data if anybody asked for that, and order is kept")
    func merging() {
        var backlog = NotificationBacklog(limit: 10)
        backlog.add(.inode(InodeNumber(5), data: false))
        backlog.add(.entry(parent: .root, name: name(1)))
        backlog.add(.inode(InodeNumber(5), data: true))
        backlog.add(.inode(InodeNumber(5), data: false))
        #expect(backlog.takeAll() == [.inode(InodeNumber(5), data: true), .entry(parent: .root, name: name(1))])
        backlog.add(.inode(InodeNumber(5), data: false))
        #expect(backlog.takeAll() == [.inode(InodeNumber(5), data: false)])
    }
}

@Suite("Telling the kernel", .serialized, .timeLimit(.minutes(3)))
struct NotificationTests {
    private let fileName = FileName(Array("a".utf8))

    /// Timeouts are an hour here, so only a notification shows a change.
    private func withFile(_ body: (LiveMount, InodeNumber, any KernelNotifier) async throws -> Void) async throws {
        let fileSystem = MemoryFileSystem(timeout: 3600)
        let inode = fileSystem.change { $0.insert(.root, fileName, mode: S_IFREG | 0o644, bytes: [1, 2, 3]) }
        try await LiveMount.use(fileSystem) { mount in
            let notifier = try #require(fileSystem.notifier.withLock { $0 })
            try await body(mount, inode, notifier)
        }
    }

    @Test("a changed file shows its new size and bytes after its inode is invalidated, and not before")
    func changedInode() async throws {
        try await withFile { mount, inode, notifier async throws in
            try await blocking { () throws in
                #expect(try System.read(mount("a")) == [1, 2, 3])
                #expect(try System.stat(mount("a")).st_size == 3)
            }
            mount.fileSystem.change { state in
                state.nodes[inode]?.bytes = [4, 5]
                state.nodes[inode]?.attributes.size = 2
            }
            #expect(try await blocking { () throws in try System.stat(mount("a")).st_size } == 3)
            notifier.invalidateInode(inode, data: true)
            try await blocking { () throws in
                try polling { try System.stat(mount("a")).st_size == 2 }
                #expect(try System.read(mount("a")) == [4, 5])
            }
        }
    }

    @Test("a name that came, went or changed its file shows after its entry is invalidated")
    func changedNames() async throws {
        try await withFile { mount, inode, notifier async throws in
            try await blocking { () throws in
                #expect(throws: Errno.noSuchFileOrDirectory) { try System.stat(mount("new")) }
                #expect(try System.stat(mount("a")).st_ino == inode.value)
                #expect(try System.list(mount.path) == ["a"])
            }
            let new = FileName(Array("new".utf8))
            let other = try mount.fileSystem.change { state in
                state.insert(.root, new, mode: S_IFREG | 0o644)
                try state.remove(.root, fileName)
                return state.insert(.root, fileName, mode: S_IFREG | 0o600)
            }
            notifier.invalidateEntry(.root, new)
            notifier.invalidateEntry(.root, fileName)
            notifier.invalidateInode(.root, data: true)
            try await blocking { () throws in
                try polling { (try? System.stat(mount("new"))) != nil }
                try polling { try System.stat(mount("a")).st_ino == other.value }
                #expect(try System.list(mount.path) == ["new", "a"])
            }
        }
    }

    @Test("a deleted name is gone at once after it is told")
    func deletion() async throws {
        try await withFile { mount, inode, notifier async throws in
            try await blocking { () throws in #expect(try System.stat(mount("a")).st_size == 3) }
            try mount.fileSystem.change { try $0.remove(.root, fileName) }
            notifier.entryDeleted(.root, inode, fileName)
            try await blocking { try polling { (try? System.stat(mount("a"))) == nil } }
        }
    }

    @Test("who stands in a directory whose name is invalidated stays there")
    func expiring() async throws {
        let fileSystem = MemoryFileSystem(timeout: 3600)
        let directory = FileName(Array("d".utf8))
        fileSystem.change { state in
            let inode = state.insert(.root, directory, mode: S_IFDIR | 0o755)
            state.insert(inode, fileName, mode: S_IFREG | 0o644)
        }
        try await LiveMount.use(fileSystem) { mount in
            let notifier = try #require(fileSystem.notifier.withLock { $0 })
            let script = "cd \(mount("d")) && touch in && until [ -e ../go ]; do sleep 0.05; done; ls a && /bin/pwd"
            let outcome = Once<Result<Int32, any Error>>()
            _ = PlainThread.start("test-shell") { outcome.set(Result { try run(["sh", "-c", script]) }) }
            try await eventually { fileSystem.calls("create") == 1 }
            let before = fileSystem.calls("lookup")
            notifier.invalidateEntry(.root, directory)
            try await eventually {
                _ = try System.stat(mount("d"))
                return fileSystem.calls("lookup") > before
            }
            try await blocking { try System.write(mount("go"), []) }
            #expect(try await outcome.value().get() == 0)
        }
    }

    @Test("a flood of notifications about what the kernel does not know does no harm")
    func flood() async throws {
        try await withFile { mount, inode, notifier async throws in
            for number in 0..<100_000 {
                notifier.invalidateInode(InodeNumber(UInt64(1000 + number)), data: true)
                notifier.invalidateEntry(InodeNumber(5000), FileName(Array("\(number)".utf8)))
            }
            try await blocking { () throws in #expect(try System.read(mount("a")) == [1, 2, 3]) }
        }
    }
}

/// Waits on a plain thread until `condition` holds, 20 s at the most.
private func polling(_ condition: () throws -> Bool) throws {
    for _ in 0..<2000 {
        if try condition() { return }
        usleep(10_000)
    }
    throw TimedOut()
}
