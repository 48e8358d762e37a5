import Glibc
import Journal
import Sealing
import Synchronization
import SystemPackage

/// Looks at what a run writes into a journal that is sealed: under no key may one nonce seal two contents, in no process and
/// no life of a file, and nothing may be written that can be read without the key.
final class SealWatch: Sendable {
    /// A log's salt stands for its key.
    private struct Use: Hashable {
        let salt: Contents
        let nonce: [UInt8]
    }
    private struct State {
        /// The tag is of the contents alone, under one key and nonce.
        var tags: [Use: [UInt8]] = [:]
        var violation: String?
    }
    /// Held for a moment only.
    private let state = Mutex(State())

    /// The first thing that was wrong.
    var violation: String? { state.withLock { $0.violation } }

    fileprivate func note(_ text: String) {
        state.withLock { state in if state.violation == nil { state.violation = text } }
    }

    fileprivate func use(_ salt: Contents, _ seal: UnsafeRawBufferPointer, in name: String) {
        let nonce = Array(seal[..<Seal.nonceByteCount])
        let tag = Array(seal[Seal.nonceByteCount..<Seal.byteCount])
        let before = state.withLock { $0.tags.updateValue(tag, forKey: Use(salt: salt, nonce: nonce)) }
        if let before, before != tag { note("a nonce has sealed two contents in \(name)") }
    }
}

/// One open of a file that is watched.
final class WatchedFile: Sendable {
    private struct State {
        var salt: Contents?
        /// Where the record ends whose beginning was written last: a copy is made piece by piece.
        var recordEnd: Int64 = 0
    }
    private let watch: SealWatch
    private let name: String
    private let isRows: Bool
    /// What was put aside is copied with its damage.
    private let isLog: Bool
    private let state = Mutex(State())

    init(_ watch: SealWatch, _ path: FilePath, isRows: Bool, isStaged: Bool) {
        self.watch = watch
        self.isRows = isRows
        name = path.string
        isLog = (isRows || isStaged) && !name.contains("/unreadable-")
    }

    /// Whoever appends to a log has read its head, or written it.
    func read(_ bytes: UnsafeRawBufferPointer, at offset: Int64) {
        guard offset == 0, bytes.count >= Log.headByteCount else { return }
        state.withLock { $0.salt = Contents(Array(bytes[Log.saltPlace])) }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) {
        if let text = Self.plainText(bytes, isRows) { watch.note("\(name) gets '\(text)' as it is") }
        if isLog, !bytes.isEmpty { writeRecords(bytes, at: offset) }
    }

    private func writeRecords(_ bytes: UnsafeRawBufferPointer, at offset: Int64) {
        var used = 0
        if offset == 0 {
            guard bytes.count >= Log.headByteCount else { return watch.note("\(name) gets half a head") }
            guard bytes[Log.sealedPlace] == 1 else { return watch.note("\(name) is begun without a key") }
            read(bytes, at: 0)
            used = Log.headByteCount
        }
        let (salt, recordEnd) = state.withLock { ($0.salt, $0.recordEnd) }
        guard let salt else { return watch.note("\(name) is written before its head") }
        if offset == 0 { watch.use(salt, .init(rebasing: bytes[Log.sealOffset...]), in: name) }
        if offset > 0, recordEnd > offset { used = min(Int(recordEnd - offset), bytes.count) }
        while used < bytes.count {
            guard let record = Record(loading: .init(rebasing: bytes[used...])) else {
                return watch.note("\(name) gets what is no record")
            }
            watch.use(salt, .init(rebasing: bytes[(used + Record.sealOffset)...]), in: name)
            used += record.byteCount
        }
        let end = used > bytes.count ? offset + Int64(used) : 0
        state.withLock { $0.recordEnd = end }
    }

    /// What a run's files hold, `<7><7><7>`, or are called.
    private static func plainText(_ bytes: UnsafeRawBufferPointer, _ isRows: Bool) -> String? {
        func holds(_ text: [UInt8], at start: Int) -> Bool { bytes[start...].prefix(text.count).elementsEqual(text) }
        var next = 0
        while let start = index(of: "<", in: bytes, from: next) {
            next = start + 1
            let digits = bytes[next...].prefix(9).prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
            if digits.isEmpty { continue }
            let text = "<\(String(decoding: digits, as: UTF8.self))>"
            if holds(Array((text + text + text).utf8), at: start) { return text }
        }
        if isRows {
            next = 0
            while let start = index(of: "/", in: bytes, from: next) {
                if holds(Array("/b.txt".utf8), at: start) { return "/b.txt" }
                next = start + 1
            }
        }
        return nil
    }

    private static func index(of byte: Unicode.Scalar, in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard start < bytes.count, let base = bytes.baseAddress,
            let found = memchr(base + start, Int32(byte.value), bytes.count - start)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }
}
