import Glibc

extension VolumeClock {
    /// The machine's own.
    public static let system = VolumeClock(
        monotonic: {
            let now = read(CLOCK_BOOTTIME)
            return .seconds(now.seconds) + .nanoseconds(Int64(now.nanoseconds))
        },
        wall: { read(CLOCK_REALTIME) },
        random: { .random(in: 0...1) })

    private static func read(_ clock: clockid_t) -> Timestamp {
        var time = timespec()
        clock_gettime(clock, &time)
        return Timestamp(seconds: Int64(time.tv_sec), nanoseconds: Int32(time.tv_nsec))
    }
}
