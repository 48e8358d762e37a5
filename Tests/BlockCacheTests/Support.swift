import Disk
import Glibc
import Logging
import ObjectStore
import Sealing
import Synchronization
import SystemPackage

@testable import BlockCache

/// A directory of a test's own, removed with what is in it when dropped.
final class TemporaryDirectory: Sendable {
    let path: FilePath

    init() throws(Errno) {
        path = FilePath("/tmp/cache-\(String(UInt64.random(in: 0 ... .max), radix: 16))")
        try Directory.create(path)
    }

    deinit { try? Directory.removeTree(path) }
}

/// Keeps log lines for a test to look at.
final class LogLines: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func add(_ line: String) { lines.withLock { $0.append(line) } }

    var logger: Logger { Logger(label: "test") { _ in Recorder(lines: self) } }

    private struct Recorder: LogHandler {
        let lines: LogLines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
        func log(event: LogEvent) { lines.add("\(event.message) \(event.metadata ?? [:])") }
    }
}

let mebibyte = 1 << 20

func version(_ name: String, _ tag: String = "1") -> ObjectVersion {
    guard let key = ObjectKey("private/u/images/" + name) else { preconditionFailure("a bad name in a test") }
    return ObjectVersion(key: key, eTag: ETag(tag))
}

/// Bytes that differ by object and place.
func photograph(_ seed: Int, _ count: Int) -> [UInt8] {
    var state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 | 1
    var bytes = [UInt8](repeating: 0, count: count)
    bytes.withUnsafeMutableBytes { buffer in
        var at = 0
        while at < count {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            withUnsafeBytes(of: state) { word in
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[at..<min(at + 8, count)])
                part.copyMemory(from: UnsafeRawBufferPointer(rebasing: word[..<part.count]))
            }
            at += 8
        }
    }
    return bytes
}

func openCache(
    _ directory: FilePath, key: SealingKey?, limit: Int = 64 << 20, space: String = "s", _ lines: LogLines = LogLines()
) throws -> BlockCache {
    try BlockCache(directory: directory, key: key, limit: Int64(limit), space: space, logger: lines.logger)
}

extension BlockCache {
    func write(_ version: ObjectVersion, _ bytes: [UInt8], size: Int? = nil, at offset: Int = 0) {
        bytes.withUnsafeBytes { write(version, size: Int64(size ?? bytes.count), offset: Int64(offset), $0) }
    }

    /// What is there from `offset` on, at most `count` bytes.
    func bytes(_ version: ObjectVersion, _ count: Int, at offset: Int = 0) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: count)
        let got = bytes.withUnsafeMutableBytes { read(version, offset: Int64(offset), into: $0) }
        return Array(bytes[..<got])
    }
}

/// The block files below `directory`, by path.
func blockFiles(_ directory: FilePath) throws -> [FilePath] {
    var found: [FilePath] = []
    for generation in try Directory.names(directory) where generation.hasPrefix("g-") {
        let path = directory.appending(generation)
        for folder in try Directory.names(path) where folder.count == 2 {
            for name in try Directory.names(path.appending(folder)) {
                found.append(path.appending(folder).appending(name))
            }
        }
    }
    return found
}

/// What the block files take on the disk.
func diskUsage(_ directory: FilePath) throws -> Int64 {
    try blockFiles(directory).reduce(0) { try $0 + (OpenFile.status(of: $1)?.allocated ?? 0) }
}

func flip(_ path: FilePath, at offset: Int64) throws {
    let file = try OpenFile(path, O_RDWR)
    var byte: [UInt8] = [0]
    let count = try byte.withUnsafeMutableBytes { try file.read(at: offset, into: $0) }
    precondition(count == 1)
    byte[0] ^= 0x20
    try byte.withUnsafeBytes { try file.write($0, at: offset) }
}
