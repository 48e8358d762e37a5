import Glibc
import ObjectStore

/// Time and chance, passed in so that a test can hold both.
public struct S3Surroundings: Sendable {
    /// The machine's idea of the time, in whole seconds since 1970; may be wrong.
    public var wallClock: @Sendable () -> Int64
    /// Grows steadily from any beginning, suspend included.
    public var elapsed: @Sendable () -> Duration
    /// Throws when the task is cancelled.
    public var sleep: @Sendable (Duration) async throws -> Void
    /// Evenly spread over 0..<1.
    public var random: @Sendable () -> Double

    public init(
        wallClock: @escaping @Sendable () -> Int64, elapsed: @escaping @Sendable () -> Duration,
        sleep: @escaping @Sendable (Duration) async throws -> Void, random: @escaping @Sendable () -> Double
    ) {
        self.wallClock = wallClock
        self.elapsed = elapsed
        self.sleep = sleep
        self.random = random
    }

    /// The real ones.
    public static let system = S3Surroundings(
        wallClock: { Int64(time(nil)) },
        elapsed: {
            var now = timespec()
            clock_gettime(CLOCK_BOOTTIME, &now)
            return .seconds(now.tv_sec) + .nanoseconds(now.tv_nsec)
        },
        sleep: { try await Task.sleep(for: $0) },
        random: { Double.random(in: 0..<1) })
}

/// Choices of how a bucket is written to and read.
public struct S3Options: Sendable {
    public enum Checksum: Sendable, Hashable {
        /// The default: quick everywhere, and each part of an upload is confirmed by it at the end.
        case crc32c
        /// What S3 itself stores when nothing is asked for; always over the whole object.
        case crc64nvme
    }

    /// What each write carries and the server must confirm.
    public var checksum: Checksum
    /// The largest object that one CopyObject may copy: 5 GiB on S3. Larger ones are copied in parts.
    public var largestCopy: Int64

    public init(checksum: Checksum = .crc32c, largestCopy: Int64 = 5 << 30) {
        self.checksum = checksum
        self.largestCopy = largestCopy
    }
}
