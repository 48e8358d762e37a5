import Synchronization

/// Buffers of one size that are used for the time of one call. Up to `idleLimit` are kept between calls, because the
/// kernel takes longer to hand out fresh pages than it takes to seal into them.
public final class ScratchPool: Sendable {
    private let byteCount: Int
    private let idleLimit: Int
    // Guards the list only; a buffer outside the list belongs to one call.
    private let idle = Mutex<[Scratch]>([])

    public init(byteCount: Int, idleLimit: Int) {
        self.byteCount = byteCount
        self.idleLimit = idleLimit
    }

    /// Lends a buffer to `body`, from which its pointer must not leave. Its contents are anything.
    public func withBuffer<R, E: Error>(_ body: (UnsafeMutableRawBufferPointer) throws(E) -> R) throws(E) -> R {
        let scratch = idle.withLock { $0.popLast() } ?? Scratch(byteCount)
        defer { idle.withLock { if $0.count < idleLimit { $0.append(scratch) } } }
        return try body(scratch.memory)
    }
}

/// Unchecked: in the list or in the hands of one call, never both.
private final class Scratch: @unchecked Sendable {
    let memory: UnsafeMutableRawBufferPointer
    init(_ byteCount: Int) { memory = .allocate(byteCount: byteCount, alignment: 4096) }
    deinit { memory.deallocate() }
}
