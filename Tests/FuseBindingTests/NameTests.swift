import FileSystemCore
import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import FuseBinding

@Suite("Names and attributes through the kernel", .serialized, .timeLimit(.minutes(3)))
struct NameTests {
    @Test("renames refuse what their flags forbid and unknown flags")
    func renames() async throws {
        try await LiveMount.use { mount async throws in
            try await blocking { () throws in
                try System.write(mount("a"), [1])
                try System.write(mount("b"), [2])
                #expect(throws: Errno.fileExists) { try System.rename(mount("a"), mount("b"), flags: 1) }
                #expect(throws: Errno.noSuchFileOrDirectory) { try System.rename(mount("a"), mount("c"), flags: 2) }
                #expect(throws: Errno.invalidArgument) { try System.rename(mount("a"), mount("c"), flags: 4) }
                try System.rename(mount("a"), mount("b"), flags: 2)
                #expect(try System.read(mount("a")) == [2])
                #expect(try System.read(mount("b")) == [1])
                try System.rename(mount("a"), mount("b"), flags: 0)
                #expect(try System.list(mount.path) == ["b"])
                #expect(try System.read(mount("b")) == [2])
            }
        }
    }

    @Test("names are bytes: two normal forms are two files, and what is not UTF-8 arrives as it is")
    func nameBytes() async throws {
        try await LiveMount.use { mount async throws in
            try await blocking { () throws in
                for name in ["\u{e9}", "e\u{301}"] { try System.write(mount(name), []) }
                let path = mount.path.utf8CString.dropLast() + [CChar(UInt8(ascii: "/")), -1, 0]
                try System.check(mkdir(Array(path), 0o755))
                #expect(try System.list(mount.path).count == 3)
            }
            let names = mount.fileSystem.state.withLock { $0.nodes[.root]?.children.map(\.name.bytes) }
            #expect(names == [Array("\u{e9}".utf8), Array("e\u{301}".utf8), [0xff]])
        }
    }

    @Test("a directory of ten thousand is listed whole, each name once, by ls and by ls -l")
    func listing() async throws {
        let names = (0..<10_000).map { "name \($0)" }
        let fileSystem = MemoryFileSystem()
        fileSystem.change { state in
            for name in names { state.insert(.root, FileName(Array(name.utf8)), mode: S_IFREG | 0o644) }
        }
        try await LiveMount.use(fileSystem) { mount in
            try await blocking { () throws in
                let first = try System.list(mount.path) == names
                #expect(first)
                for name in names.prefix(300) { _ = try System.stat(mount(name)) }
                let second = try System.list(mount.path) == names
                #expect(second)
            }
            // What a listing carried needs no lookup.
            #expect(mount.fileSystem.calls("readdirplus") > 0)
        }
    }

    @Test("a directory stream goes on where it was told to, also after names went")
    func seeking() async throws {
        let fileSystem = MemoryFileSystem()
        fileSystem.change { state in
            for number in 0..<1000 {
                state.insert(.root, FileName(Array("name \(number)".utf8)), mode: S_IFREG | 0o644)
            }
        }
        try await LiveMount.use(fileSystem) { mount in
            try await blocking { () throws in
                let stream = try #require(opendir(mount.path))
                defer { closedir(stream) }
                for _ in 0..<502 { _ = try System.next(stream) }
                let place = telldir(stream)
                #expect(try System.next(stream) == "name 500")
                for number in 490..<510 { try System.check(unlink(mount("name \(number)"))) }
                seekdir(stream, place)
                var rest: [String] = []
                while let name = try System.next(stream) { rest.append(name) }
                let isWhole = rest == (510..<1000).map { "name \($0)" }
                #expect(isWhole)
                rewinddir(stream)
                var count = 0
                while try System.next(stream) != nil { count += 1 }
                #expect(count == 982)
            }
        }
    }

    @Test("a name that no file can have fails the listing instead of hiding files")
    func impossibleName() async throws {
        let fileSystem = MemoryFileSystem()
        fileSystem.change { state in
            let directory = state.insert(.root, FileName(Array("d".utf8)), mode: S_IFDIR | 0o755)
            state.insert(directory, FileName(Array("a/b".utf8)), mode: S_IFREG | 0o644)
        }
        try await LiveMount.use(fileSystem) { mount in
            try await blocking { () throws in
                #expect(throws: Errno.ioError) { try System.list(mount("d")) }
                #expect(try System.list(mount.path) == ["d"])
            }
        }
    }

    @Test("links, directories and their removal", arguments: ["", "later "])
    func kinds(prefix: String) async throws {
        try await LiveMount.use { mount async throws in
            try await blocking { () throws in
                try System.check(symlink("to somewhere else", mount(prefix + "link")))
                var target = [UInt8](repeating: 0, count: 100)
                let count = target.withUnsafeMutableBytes {
                    readlink(mount(prefix + "link"), $0.baseAddress!.assumingMemoryBound(to: CChar.self), 100)
                }
                #expect(String(decoding: target.prefix(max(count, 0)), as: UTF8.self) == "to somewhere else")
                try System.check(mkdir(mount(prefix + "d"), 0o750))
                try System.write(mount(prefix + "d/f"), [])
                #expect(throws: Errno.directoryNotEmpty) { try System.check(rmdir(mount(prefix + "d"))) }
                try System.check(unlink(mount(prefix + "d/f")))
                try System.check(rmdir(mount(prefix + "d")))
                #expect(try System.list(mount.path) == [prefix + "link"])
            }
        }
    }

    @Test("mode, owner, times and size are set and shown")
    func attributes() async throws {
        try await LiveMount.use { mount async throws in
            try await blocking { () throws in
                try System.write(mount("a"), [1, 2])
                try System.check(chmod(mount("a"), 0o4711))
                var times = [timespec(tv_sec: -5, tv_nsec: 7), timespec(tv_sec: 4_000_000_000, tv_nsec: 999_999_999)]
                try System.check(utimensat(AT_FDCWD, mount("a"), &times, 0))
                let status = try System.stat(mount("a"))
                #expect(status.st_mode == S_IFREG | 0o4711)
                #expect(status.st_mtim.tv_sec == 4_000_000_000)
                #expect(status.st_mtim.tv_nsec == 999_999_999)
                #expect(status.st_atim.tv_sec == -5)
                #expect(status.st_uid == geteuid())
                #expect(status.st_blocks == 1)
                try System.check(utimensat(AT_FDCWD, mount("a"), nil, 0))
                #expect(try System.stat(mount("a")).st_mtim.tv_sec < 4_000_000_000)
                var space = statvfs()
                try System.check(statvfs(mount.path, &space))
                #expect(space.f_blocks * space.f_frsize == 1 << 50)
                #expect(space.f_files == 77)
            }
        }
    }

    @Test("extended attributes keep the protocol of sizes and flags")
    func xattrs() async throws {
        try await LiveMount.use { mount async throws in
            try await blocking { () throws in
                let file = mount("a")
                try System.write(file, [])
                #expect(throws: Errno.noData) { try System.getxattr(file, "user.a", room: 10) }
                #expect(throws: Errno.noData) { try System.setxattr(file, "user.a", [1], flags: 2) }
                #expect(throws: Errno.invalidArgument) { try System.setxattr(file, "user.a", [1], flags: 4) }
                try System.setxattr(file, "user.a", [1, 2, 3], flags: 1)
                #expect(throws: Errno.fileExists) { try System.setxattr(file, "user.a", [1], flags: 1) }
                #expect(throws: Errno.outOfRange) { try System.getxattr(file, "user.a", room: 2) }
                #expect(try System.getxattr(file, "user.a", room: 0).0 == 3)
                #expect(try System.getxattr(file, "user.a", room: 3).1 == [1, 2, 3])
                try System.setxattr(file, "user.b", [])
                #expect(try System.getxattr(file, "user.b", room: 5).1 == [])
                #expect(try System.listxattr(file, room: 0).0 == 14)
                #expect(throws: Errno.outOfRange) { try System.listxattr(file, room: 13) }
                #expect(try System.listxattr(file, room: 14).1 == Array("user.a\0user.b\0".utf8))
                try System.removexattr(file, "user.a")
                #expect(throws: Errno.noData) { try System.removexattr(file, "user.a") }
            }
        }
    }

    @Test("every lookup that was counted is forgotten when the kernel lets go")
    func forgetting() async throws {
        try await LiveMount.use { mount async throws in
            try await blocking { () throws in
                for number in 0..<200 { try System.write(mount("\(number)"), []) }
                _ = try System.list(mount.path)
                for number in 0..<200 { try System.check(unlink(mount("\(number)"))) }
            }
            try await eventually {
                mount.fileSystem.state.withLock { $0.nodes.values.allSatisfy { $0.lookupCount == 0 } }
            }
            #expect(mount.fileSystem.calls("forget") > 0)
        }
    }

    @Test("a name that is missing is asked for once while its negative entry lasts")
    func negativeEntries() async throws {
        try await LiveMount.use { mount async throws in
            try await blocking { () throws in
                for _ in 0..<10 {
                    #expect(throws: Errno.noSuchFileOrDirectory) { try System.stat(mount("none")) }
                }
            }
            #expect(mount.fileSystem.calls("lookup") == 1)
        }
    }
}
