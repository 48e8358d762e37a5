import Bytes
import HTTPTransport
import ObjectStore
import Synchronization
import Testing

@testable import S3

/// What a reader was told, and whether bytes that it was told of changed later.
private final class Listener: Sendable {
    private let state = Mutex((told: [Int](), seen: [UInt8]()))
    let buffer: ByteBuffer

    init(capacity: Int) { buffer = ByteBuffer(capacity: capacity) }

    func hear(_ count: Int) {
        let bytes = buffer.withBytes(0..<count) { Array($0) }
        state.withLock { state in
            state.told.append(count)
            #expect(bytes.starts(with: state.seen), "announced bytes were rewritten")
            state.seen = bytes
        }
    }

    var told: [Int] { state.withLock { $0.told } }
}

@Suite("Reading")
struct ReadTests {
    private let bytes = Array("0123456789".utf8)

    /// A server that answers ranges of `bytes` rightly, but cuts the first `cuts` answers after three bytes.
    private func server(cuts: Int = 0, damaged: Int = 0, checksum: Bool = true) -> ScriptedTransport {
        ScriptedTransport { [bytes] request, number in
            let range = request.headers.first { $0.name == "Range" }?.value.dropFirst(6).split(separator: "-")
            let ends = range?.compactMap { Int($0) } ?? [0, bytes.count - 1]
            let part = bytes[ends[0]...min(ends[1], bytes.count - 1)]
            var headers: [(name: String, value: String)] = [
                ("ETag", "\"e\""), ("Content-Length", "\(part.count)"),
            ]
            if range != nil {
                headers.append(("Content-Range", "bytes \(part.startIndex)-\(part.endIndex - 1)/\(bytes.count)"))
            } else if checksum {
                headers.append(("x-amz-checksum-crc64nvme", CRC64NVME(ByteSlice(bytes)).base64))
            }
            let body = number < damaged ? Array("damaged!!!".utf8) : Array(part)
            return .answer(range == nil ? 200 : 206, headers, body, cutAfter: number < cuts ? 3 : nil)
        }
    }

    private func read(
        _ transport: ScriptedTransport, _ range: Range<Int64>, size: Int64? = nil, _ listener: Listener? = nil,
        time: StoppedTime = StoppedTime()
    ) async throws -> String {
        let listener = listener ?? Listener(capacity: range.count)
        var context = RequestContext.demandRead
        context.objectSize = size
        let version = ObjectVersion(key: try key("a"), eTag: ETag("e"))
        let count = try await scriptedStore(transport, time: time).get(
            version, range: range, into: listener.buffer, context
        ) {
            listener.hear($0)
        }
        return listener.buffer.withBytes(0..<count) { String(decoding: $0, as: UTF8.self) }
    }

    @Test("A read that breaks goes on where it stopped, bound to the same version")
    func resumes() async throws {
        let transport = server(cuts: 2)
        let listener = Listener(capacity: 9)
        #expect(try await read(transport, 1..<10, listener) == "123456789")
        #expect(listener.told == [3, 6, 9])
        let asked = transport.requests.map { request in request.headers.first { $0.name == "Range" }?.value }
        #expect(asked == ["bytes=1-9", "bytes=4-9", "bytes=7-9"])
        #expect(transport.requests.allSatisfy { $0.headers.contains { $0 == ("If-Match", "\"e\"") } })
    }

    @Test("A read that keeps moving never runs out of patience; one that stands still does")
    func progressRenewsPatience() async throws {
        let time = StoppedTime()
        let text = [UInt8](repeating: 0x61, count: 40)
        let transport = ScriptedTransport { request, _ in
            time.pass(.seconds(20))
            let range = request.headers.first { $0.name == "Range" }?.value.dropFirst(6)
            let first = range.flatMap { Int($0.prefix { $0 != "-" }) } ?? 0
            return .answer(
                206, [("ETag", "\"e\""), ("Content-Range", "bytes \(first)-39/40")], Array(text[first...]), cutAfter: 1)
        }
        #expect(try await read(transport, 0..<40, time: time).utf8.count == 40)
        let still = ScriptedTransport { _, _ in
            time.pass(.seconds(20))
            return .answer(206, [("ETag", "\"e\""), ("Content-Range", "bytes 0-39/40")], text, cutAfter: 0)
        }
        #expect(await code { _ = try await read(still, 0..<40, time: time) } == .unreachable)
        #expect(still.requests.count <= 3)
    }

    @Test("A server that answers 200 with a Content-Range is taken at its word")
    func rangeWith200() async throws {
        let transport = ScriptedTransport { _, _ in
            .answer(200, [("ETag", "\"e\""), ("Content-Range", "bytes 2-4/10")], Array("234".utf8))
        }
        #expect(try await read(transport, 2..<5) == "234")
    }

    @Test(
        "Bytes other than those asked for are refused before one is stored",
        arguments: [
            (200, [("Content-Length", "10")]), (206, [("Content-Range", "bytes 0-2/10")]),
            (206, [("Content-Range", "bytes 2-9/10")]), (206, [("Content-Range", "bytes x")]), (206, []),
            (206, [("Content-Range", "bytes 4-2/10")]), (206, [("Content-Range", "bytes 2-4/3")]),
        ])
    func wrongRange(_ status: Int, _ headers: [(String, String)]) async throws {
        let transport = ScriptedTransport { _, _ in
            .answer(status, headers.map { (name: $0.0, value: $0.1) }, Array("0123456789".utf8))
        }
        let listener = Listener(capacity: 3)
        #expect(await code { _ = try await read(transport, 2..<5, listener) } == .invalidAnswer)
        #expect(listener.told == [])
    }

    @Test("A server that passes over If-Match is caught by the ETag of its answer")
    func otherVersion() async throws {
        let transport = ScriptedTransport { _, _ in
            .answer(206, [("ETag", "\"other\""), ("Content-Range", "bytes 0-2/10")], Array("012".utf8))
        }
        let listener = Listener(capacity: 3)
        #expect(await code { _ = try await read(transport, 0..<3, listener) } == .preconditionFailed)
        #expect(listener.told == [])
    }

    @Test("A whole object that arrives damaged is read again, and nobody hears of the damaged bytes")
    func damagedOnce() async throws {
        let listener = Listener(capacity: 10)
        #expect(try await read(server(damaged: 2), 0..<10, size: 10, listener) == "0123456789")
        #expect(listener.told == [10])
    }

    @Test("A whole object that stays damaged is an error, and nobody hears of it")
    func damagedAlways() async throws {
        let listener = Listener(capacity: 10)
        #expect(await code { _ = try await read(server(damaged: 99), 0..<10, size: 10, listener) } == .corrupted)
        #expect(listener.told == [])
    }

    @Test("A whole object that was cut and resumed is still checked")
    func cutAndChecked() async throws {
        let listener = Listener(capacity: 10)
        #expect(try await read(server(cuts: 1), 0..<10, size: 10, listener) == "0123456789")
        #expect(listener.told == [10])
    }

    @Test("A checksum of checksums says nothing about the bytes")
    func composite() async throws {
        let transport = ScriptedTransport { [bytes] _, _ in
            .answer(
                200,
                [("ETag", "\"e\""), ("Content-Length", "10"), ("x-amz-checksum-crc32c", "AAAAAA==-2")], bytes)
        }
        #expect(try await read(transport, 0..<10, size: 10) == "0123456789")
    }

    @Test("An object that is archived says so")
    func archived() async throws {
        let transport = ScriptedTransport { _, _ in .error(403, "InvalidObjectState") }
        #expect(await code { _ = try await read(transport, 0..<3) } == .archived)
    }

    @Test("CRC-32 has its published check value, over any length")
    func crc32() {
        let check = Array("123456789".utf8)
        #expect(check.withUnsafeBytes { CRC32.checksum($0) } == 0xCBF4_3926)
        let long = (0..<100).map { UInt8($0) }
        for count in [0, 1, 7, 8, 9, 16, 100] {
            let bitwise = long.prefix(count).reduce(UInt32.max) { crc, byte in
                (0..<8).reduce(crc ^ UInt32(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1
                }
            }
            #expect(Array(long.prefix(count)).withUnsafeBytes { CRC32.checksum($0) } == ~bitwise)
        }
    }
}
