/// Decides, for one open file, how far ahead of a reader bytes are fetched.
///
/// A reader that goes forward gets doubling windows; small jumps, as the kernel's own read-ahead makes when it asks from
/// several threads, do not reset it. Anything else is random access and fetches only what it touches.
struct ReadAhead: Sendable {
    /// Files up to this size are fetched whole.
    static let smallFile: Int64 = 1 << 20
    /// What is fetched beyond the first read, since most programs that read a beginning want no more: a picture's size, its
    /// date, a small picture in it.
    static let firstWindow: Int64 = 64 << 10
    static let largestWindow: Int64 = 32 << 20
    /// How far from the expected place a read may be and still count as sequential.
    static let slack: Int64 = 2 << 20

    private var next: Int64 = 0
    private var window: Int64 = 0
    private var hasRead = false

    /// The bytes that should be here or on their way when `offset ..< offset + count` is read of a file of `size` bytes.
    mutating func plan(offset: Int64, count: Int64, size: Int64) -> Range<Int64> {
        let end = min(offset + count, size)
        guard size > Self.smallFile else {
            hasRead = true
            return 0..<size
        }
        let isSequential = hasRead ? (next - Self.slack...next + Self.slack).contains(offset) : offset == 0
        defer {
            hasRead = true
            next = isSequential ? max(next, end) : end
        }
        guard isSequential else {
            window = 0
            return offset..<max(end, offset)
        }
        if window == 0 {
            window = hasRead ? max(count, 128 << 10) : Self.firstWindow
        } else if end > next {
            window = min(window * (window < Self.smallFile ? 4 : 2), Self.largestWindow)
        }
        return offset..<min(end + window, size)
    }
}
