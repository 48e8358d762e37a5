import Disk
import Glibc
import Logging
import Sealing
import Synchronization
import SystemPackage
import TestSupport

@testable import Journal

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

func makeStore(
    _ directory: TemporaryDirectory, key: SealingKey?,
    smallestCompaction: Int64 = StagedFile.Store.usualCompaction
) throws -> StagedFile.Store {
    try StagedFile.Store(
        directory: directory.path, key: key, logger: quiet, smallestCompaction: smallestCompaction)
}

func bytes(_ path: FilePath) throws -> [UInt8] {
    let file = try OpenFile(path, O_RDONLY)
    var bytes = [UInt8](repeating: 0, count: Int(try file.status().size))
    _ = try bytes.withUnsafeMutableBytes { try file.read(at: 0, into: $0) }
    return bytes
}

func replace(_ path: FilePath, _ bytes: [UInt8]) throws {
    let file = try OpenFile(path, O_RDWR)
    try file.truncate(to: 0)
    try bytes.withUnsafeBytes { try file.write($0, at: 0) }
}

extension StagedFile.Store {
    /// As after a restart.
    func recover(_ path: FilePath) throws(Errno) -> StagedFile { try recover(path.lastComponent?.string ?? "").file }
}

/// What staged files and snapshots have in common.
protocol Readable {
    var size: Int64 { get }
    func extents(_ range: Range<Int64>) -> [StagedFile.Extent]
    func read(_ range: Range<Int64>, into destination: UnsafeMutableRawBufferPointer) throws(Errno)
}
extension StagedFile: Readable {}
extension StagedFile.Snapshot: Readable {}

extension Readable {
    func bytes(_ range: Range<Int64>) throws(Errno) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: range.count)
        let result: Result<Void, Errno> = bytes.withUnsafeMutableBytes { buffer in
            Result { () throws(Errno) in try read(range, into: buffer) }
        }
        try result.get()
        return bytes
    }

    /// The file's bytes in `range`, with the base's from `base`; checks that the extents have no gap.
    func contents(_ range: Range<Int64>, base: [UInt8]) throws -> [UInt8] {
        var result: [UInt8] = []
        let cut = range.clamped(to: 0..<size)
        var next = cut.lowerBound
        for extent in extents(range) {
            let part: Range<Int64>
            switch extent {
            case .staged(let range):
                part = range
                result += try bytes(range)
            case .zeros(let range):
                part = range
                result += [UInt8](repeating: 0, count: range.count)
            case .base(let range):
                part = range
                result += base[Int(range.lowerBound)..<Int(range.upperBound)]
            }
            guard part.lowerBound == next, !part.isEmpty else { throw Errno.invalidArgument }
            next = part.upperBound
        }
        guard next == cut.upperBound || cut.isEmpty else { throw Errno.invalidArgument }
        return result
    }

    func all(base: [UInt8] = []) throws -> [UInt8] { try contents(0..<size, base: base) }
}

extension StagedFile {
    func write(_ bytes: [UInt8], at offset: Int64) throws(Errno) {
        let result: Result<Void, Errno> = bytes.withUnsafeBytes { buffer in
            Result { () throws(Errno) in try write(buffer, at: offset) }
        }
        try result.get()
    }

    /// Rewrites the log now, whatever its length.
    func compactNow() throws(Errno) {
        let result: Result<Void, Errno> = writer.withLock { writer in
            Result { () throws(Errno) in
                try compact(&writer)
            }
        }
        try result.get()
    }
}
