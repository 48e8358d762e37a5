/// A run of memory with one owner object, filled once and then read by many.
///
/// Big transfers (blocks, parts, ranges of an object) live in one of these from the socket to the kernel, so that no
/// copy is made between the layers. Memory is page-aligned and freed when the last reference goes.
///
/// Unchecked: the writer fills a range before it tells anybody (under its own lock or by handing the buffer over) that
/// the range is valid; nobody writes to a range that has been published.
public final class ByteBuffer: @unchecked Sendable {
    /// The bytes that can be stored.
    public let capacity: Int
    private let base: UnsafeMutableRawPointer
    /// Where the memory goes back to; nil: it is this buffer's own.
    private let loan: (memory: PooledMemory, pool: BufferPool)?

    public init(capacity: Int) {
        self.capacity = capacity
        self.base = .allocate(byteCount: max(capacity, 1), alignment: 4096)
        self.loan = nil
    }

    init(capacity: Int, _ memory: PooledMemory, of pool: BufferPool) {
        precondition(memory.byteCount >= capacity, "less memory than capacity")
        self.capacity = capacity
        self.base = memory.base
        self.loan = (memory, pool)
    }

    public convenience init(_ bytes: some Collection<UInt8>) {
        self.init(capacity: bytes.count)
        UnsafeMutableRawBufferPointer(start: base, count: bytes.count).copyBytes(from: bytes)
    }

    deinit {
        if let loan { loan.pool.takeBack(loan.memory) } else { base.deallocate() }
    }

    /// All of the memory, for the one writer. The pointer is valid while the buffer is referenced.
    public var writable: UnsafeMutableRawBufferPointer { .init(start: base, count: capacity) }

    /// Reads `range` of the bytes; the pointer must not leave `body`.
    public func withBytes<R, E: Error>(
        _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        precondition(range.lowerBound >= 0 && range.upperBound <= capacity, "range outside the buffer")
        return try body(.init(start: UnsafeRawPointer(base) + range.lowerBound, count: range.count))
    }
}

/// A part of a buffer that is complete and will not change.
public struct ByteSlice: Sendable {
    public let buffer: ByteBuffer
    public let range: Range<Int>

    public init(_ buffer: ByteBuffer, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity, "range outside the buffer")
        self.buffer = buffer
        self.range = range
    }

    public init(_ bytes: some Collection<UInt8>) {
        let buffer = ByteBuffer(bytes)
        self.init(buffer, 0..<buffer.capacity)
    }

    public static let empty = ByteSlice(ByteBuffer(capacity: 0), 0..<0)

    public var count: Int { range.count }

    public func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try buffer.withBytes(range, body)
    }

    public func array() -> [UInt8] { withBytes { Array($0) } }
}
