import FoundationEssentials
import Glibc

/// Why a frame could not be sent or received.
enum ControlChannelError: Error, Sendable, Equatable {
    /// The peer closed between two frames.
    case ended
    /// The peer closed in the middle of a frame.
    case cutShort
    case timedOut
    /// Larger than a frame may be.
    case tooLarge
    /// Not the JSON that was expected.
    case malformed
    /// Another error of the socket, as errno.
    case failed(Int32)
}

/// One end of a connected control socket; closed when dropped. Frames go in and out whole, each within a time.
struct ControlChannel: ~Copyable {
    /// The most bytes of JSON in one frame.
    static let largestFrame = 1 << 20

    let descriptor: Int32

    /// Takes over a connected stream socket.
    init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    func send(_ message: some Encodable, within timeout: Duration) throws(ControlChannelError) {
        guard let json = try? JSONEncoder().encode(message) else { throw .malformed }
        guard json.count <= Self.largestFrame else { throw .tooLarge }
        let length = UInt32(json.count)
        let head = (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) }
        try write(head + json, deadline: .now + timeout)
    }

    /// The next frame. `idle` is the longest wait for its first byte, `timeout` the longest for the rest of it.
    func receive<Message: Decodable>(
        _ type: Message.Type, idle: Duration, within timeout: Duration
    ) throws(ControlChannelError) -> Message {
        guard try wait(for: POLLIN, deadline: .now + idle) else { throw .timedOut }
        let deadline = ContinuousClock.Instant.now + timeout
        let head = try read(4, deadline, first: true)
        let length = head.reduce(0) { $0 << 8 | Int($1) }
        guard length <= Self.largestFrame else { throw .tooLarge }
        let json = try read(length, deadline, first: false)
        guard let message = try? JSONDecoder().decode(type, from: Data(json)) else { throw .malformed }
        return message
    }

    private func read(
        _ count: Int, _ deadline: ContinuousClock.Instant, first: Bool
    ) throws(ControlChannelError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            guard try wait(for: POLLIN, deadline: deadline) else { throw .timedOut }
            let got = bytes.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress! + filled, count - filled, 0) }
            if got < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            guard got >= 0 else { throw errno == ECONNRESET ? .cutShort : .failed(errno) }
            guard got > 0 else { throw first && filled == 0 ? .ended : .cutShort }
            filled += got
        }
        return bytes
    }

    private func write(_ bytes: [UInt8], deadline: ContinuousClock.Instant) throws(ControlChannelError) {
        var sent = 0
        while sent < bytes.count {
            guard try wait(for: POLLOUT, deadline: deadline) else { throw .timedOut }
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    descriptor, $0.baseAddress! + sent, bytes.count - sent,
                    Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            }
            if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            guard count >= 0 else { throw errno == EPIPE || errno == ECONNRESET ? .ended : .failed(errno) }
            sent += count
        }
    }

    /// False when the time is up.
    private func wait(for events: Int32, deadline: ContinuousClock.Instant) throws(ControlChannelError) -> Bool {
        while true {
            let left = ContinuousClock.Instant.now.duration(to: deadline)
            var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            let milliseconds = max(0, min(left / .milliseconds(1), 3_600_000))
            let ready = poll(&entry, 1, Int32(milliseconds.rounded(.up)))
            if ready > 0 { return true }
            guard ready == 0 || errno == EINTR else { throw .failed(errno) }
            if ready == 0 && left <= .zero { return false }
        }
    }
}
