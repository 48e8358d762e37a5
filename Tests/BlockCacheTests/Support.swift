import Disk
import Glibc
import Logging
import ObjectStore
import Sealing
import Synchronization
import SystemPackage
import TestSupport

@testable import BlockCache

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
    // Far apart, so that no object has the bytes of another's next word.
    var random = Seeded(UInt64(truncatingIfNeeded: seed) &* 0xD1B5_4A32_D192_ED03)
    return random.bytes(count)
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

/// What the block files, g-RANDOM/FOLDER/FILE, take on the disk. Called thousands of times, so with C strings alone. All
/// names come first: who looks while others evict must not count a file and then the one that took its room.
func diskUsage(_ directory: FilePath) throws -> Int64 {
    var files: [String] = []
    try forEachName(directory.string) { generation in
        // What goes meanwhile counts nothing.
        try? forEachName(generation) { folder in try? forEachName(folder) { files.append($0) } }
    }
    return files.reduce(0) { sum, file in
        var status = stat()
        return lstat(file, &status) == 0 ? sum + Int64(status.st_blocks) * 512 : sum
    }
}

private func forEachName(_ directory: String, _ body: (_ path: String) throws -> Void) throws {
    guard let stream = opendir(directory) else { throw Errno(rawValue: errno) }
    defer { closedir(stream) }
    while let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        // The link `current` leads to a generation that is counted by its own name.
        if name != "." && name != ".." && name != "current" { try body("\(directory)/\(name)") }
    }
}

func flip(_ path: FilePath, at offset: Int64) throws {
    let file = try OpenFile(path, O_RDWR)
    var byte: [UInt8] = [0]
    let count = try byte.withUnsafeMutableBytes { try file.read(at: offset, into: $0) }
    precondition(count == 1)
    byte[0] ^= 0x20
    try byte.withUnsafeBytes { try file.write($0, at: offset) }
}
