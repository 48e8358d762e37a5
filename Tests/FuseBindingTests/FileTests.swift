import FileSystemCore
import Glibc
import Synchronization
import SystemPackage
import Testing

@testable import FuseBinding

/// Numbers that differ at every offset that matters, so that a shifted byte shows.
func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ ($0 >> 8)) } }

@Suite("Files through the kernel", .serialized, .timeLimit(.minutes(3)))
struct FileTests {
    @Test("a file that is missing, made twice or opened as a directory gives the kernel's errno")
    func errors() async throws {
        try await LiveMount.use { mount async throws in
            try await blocking { () throws in
                #expect(throws: Errno.noSuchFileOrDirectory) { try System.read(mount("none")) }
                try System.write(mount("a"), [1])
                #expect(throws: Errno.fileExists) { try System.open(mount("a"), O_CREAT | O_EXCL | O_WRONLY) }
                #expect(throws: Errno.notDirectory) { try System.open(mount("a/b"), O_RDONLY) }
                #expect(throws: Errno.isDirectory) { try System.open(mount.path, O_WRONLY) }
                #expect(throws: Errno.notPermitted) { try System.check(link(mount("a"), mount("b"))) }
                #expect(throws: Errno.notPermitted) { try System.check(mkfifo(mount("pipe"), 0o600)) }
                #expect(throws: Errno.fileNameTooLong) {
                    try System.read(mount(String(repeating: "n", count: 256)))
                }
            }
        }
    }

    @Test(
        "what is written is read, at any offset, in one request of a mebibyte at the most", arguments: ["a", "later"])
    func writeAndRead(name: String) async throws {
        try await LiveMount.use { mount async throws in
            let bytes = pattern(5_000_003)
            try await blocking { () throws in
                try System.write(mount(name), bytes)
                #expect(try System.read(mount(name)) == bytes)
                try System.with(mount(name), O_RDWR) { descriptor throws in
                    #expect(try System.pread(descriptor, 10, at: 4_999_999) == Array(bytes.suffix(4)))
                    #expect(try System.pread(descriptor, 10, at: 6_000_000).isEmpty)
                    #expect(pwrite(descriptor, [7, 7, 7] as [UInt8], 3, 1_048_575) == 3)
                    let around = try System.pread(descriptor, 5, at: 1_048_574)
                    #expect(around == [bytes[1_048_574], 7, 7, 7, bytes[1_048_578]])
                }
                #expect(try System.stat(mount(name)).st_size == 5_000_003)
            }
            let sizes = mount.fileSystem.state.withLock { ($0.writeSizes.max(), $0.readSizes.max() ?? 0) }
            #expect(sizes.0 == 1 << 20)
            #expect(sizes.1 <= 1 << 20)
        }
    }

    @Test("offsets beyond four gibibytes reach the file system whole")
    func largeOffsets() async throws {
        try await LiveMount.use { mount async throws in
            try await blocking { () throws in
                try System.write(mount("a"), [1])
                try System.with(mount("a"), O_RDWR) { descriptor throws in
                    #expect(throws: Errno.noSuchAddressOrDevice) {
                        try System.check(lseek(descriptor, 5_000_000_001, 3))
                    }
                    #expect(try System.pread(descriptor, 1, at: 5_000_000_000).isEmpty)
                }
            }
        }
    }

    @Test("O_TRUNC, O_APPEND and ftruncate do what they say")
    func flags() async throws {
        try await LiveMount.use { mount async throws in
            try await blocking { () throws in
                try System.write(mount("a"), pattern(9000))
                try System.write(mount("a"), [1, 2, 3])
                #expect(try System.read(mount("a")) == [1, 2, 3])
                try System.write(mount("a"), [4], O_WRONLY | O_APPEND)
                #expect(try System.read(mount("a")) == [1, 2, 3, 4])
                try System.with(mount("a"), O_RDWR) { try System.check(ftruncate($0, 2)) }
                #expect(try System.read(mount("a")) == [1, 2])
                try System.check(truncate(mount("a"), 4))
                #expect(try System.read(mount("a")) == [1, 2, 0, 0])
            }
        }
    }

    @Test("a shared mapping reads and writes the file")
    func mapping() async throws {
        try await LiveMount.use { mount async throws in
            let bytes = pattern(100_000)
            try await blocking { () throws in
                try System.write(mount("a"), bytes)
                try System.with(mount("a"), O_RDWR) { descriptor throws in
                    let map = mmap(nil, bytes.count, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
                    let room = try #require(map == MAP_FAILED ? nil : map)
                    #expect(UnsafeRawBufferPointer(start: room, count: bytes.count).elementsEqual(bytes))
                    room.storeBytes(of: 200, toByteOffset: 70_000, as: UInt8.self)
                    try System.check(msync(room, bytes.count, MS_SYNC))
                    munmap(room, bytes.count)
                }
            }
            let stored = mount.fileSystem.state.withLock { state in
                state.nodes.values.first { $0.name == [UInt8(ascii: "a")] }?.bytes
            }
            #expect(stored?[70_000] == 200)
            #expect(stored?.count == 100_000)
        }
    }

    @Test("fsync, fdatasync, close, fallocate, copy_file_range and SEEK_HOLE arrive as such")
    func otherCalls() async throws {
        try await LiveMount.use { mount async throws in
            try await blocking { () throws in
                try System.write(mount("a"), pattern(10_000))
                try System.with(mount("a"), O_RDWR) { descriptor throws in
                    try System.check(fsync(descriptor))
                    try System.check(fdatasync(descriptor))
                    #expect(lseek(descriptor, 5, 4) == 10_000)
                    #expect(lseek(descriptor, 5, 3) == 5)
                    try System.fallocate(descriptor, mode: 0, 0, 12_000)
                    try System.fallocate(descriptor, mode: 3, 0, 4096)
                    _ = lseek(descriptor, 0, SEEK_SET)
                    try System.with(mount("b"), O_CREAT | O_RDWR) { other throws in
                        #expect(try System.copyFileRange(descriptor, other, 1 << 40) == 12_000)
                    }
                }
                #expect(
                    try System.read(mount("b")) == Array(repeating: 0, count: 4096) + pattern(10_000)[4096...]
                        + Array(repeating: 0, count: 2000))
                try System.with(mount.path, O_RDONLY) { try System.check(fsync($0)) }
            }
            for call in ["fsync", "fdatasync", "fallocate", "copyFileRange", "lseek", "fsyncdir"] {
                #expect(mount.fileSystem.calls(call) > 0, "\(call)")
            }
            #expect(mount.fileSystem.calls("flush") == 4)
            // The kernel releases after close has returned.
            try await eventually { mount.fileSystem.state.withLock { $0.handles.isEmpty } }
        }
    }

    @Test("a write of another clears the set-id bits")
    func setID() async throws {
        // Root may keep them, so this needs somebody else: the file system says who wrote by the mode it was asked for.
        try await LiveMount.use(MemoryFileSystem(), FuseOptions(source: "memory", allowOther: true)) { mount in
            mount.fileSystem.change { state in
                state.nodes[.root]?.attributes.mode = S_IFDIR | 0o777
                state.insert(.root, FileName(Array("a".utf8)), mode: S_IFREG | 0o6777, bytes: [1])
            }
            try await blocking { () throws in
                #expect(
                    try run(["setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", "echo x >> \(mount("a"))"]) == 0)
                #expect(try System.stat(mount("a")).st_mode & 0o7777 == 0o777)
            }
        }
    }
}

/// Runs a program and waits for it: its exit status.
func run(_ arguments: [String]) throws -> Int32 {
    var child = pid_t()
    let program = arguments.first.map { $0.hasPrefix("/") ? $0 : "/usr/bin/\($0)" } ?? ""
    let status = Fusermount.withArguments(arguments) { posix_spawn(&child, program, nil, nil, $0, environ) }
    guard status == 0 else { throw Errno(rawValue: status) }
    var result: Int32 = 0
    while waitpid(child, &result, 0) < 0 {
        guard errno == EINTR else { throw Errno(rawValue: errno) }
    }
    return (result & 0x7f) == 0 ? (result >> 8) & 0xff : -(result & 0x7f)
}
