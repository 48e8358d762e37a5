import Synchronization
import Testing

@testable import Bytes

@Suite struct BufferPoolTests {
    private let mebibyte = 1 << 20

    @Test("Nothing is lent over the bound, but the first gets what it asks for")
    func bound() {
        let pool = BufferPool(limit: 4 * mebibyte)
        let huge = pool.buffer(capacity: 9 * mebibyte, within: pool.limit)
        #expect(huge?.capacity == 9 * mebibyte && pool.lentByteCount == 9 * mebibyte)
        #expect(pool.buffer(capacity: 1, within: pool.limit) == nil)
        let inAnyCase = pool.buffer(capacity: 1)
        withExtendedLifetime((huge, inAnyCase)) { #expect(pool.lentByteCount > 9 * mebibyte) }
    }

    @Test("A buffer counts until the last slice of it goes")
    func slices() {
        let pool = BufferPool(limit: mebibyte)
        var slice: ByteSlice? = pool.buffer(capacity: mebibyte, within: mebibyte).map { ByteSlice($0, 0..<1) }
        #expect(slice != nil && pool.lentByteCount == mebibyte)
        #expect(pool.buffer(capacity: mebibyte, within: mebibyte) == nil)
        slice = nil
        #expect(pool.lentByteCount == 0)
    }

    @Test("Memory that came back is lent again")
    func reuse() {
        let pool = BufferPool(limit: 4 * mebibyte)
        let first = pool.buffer(capacity: mebibyte).writable.baseAddress
        let second = pool.buffer(capacity: mebibyte - 1).writable.baseAddress
        #expect(first == second)
    }

    @Test("Whoever waits gets room when it comes back, and goes before those who keep away from the limit")
    func waiting() async {
        let pool = BufferPool(limit: 4 * mebibyte)
        let held = Mutex<[ByteBuffer]>([pool.buffer(capacity: 2 * mebibyte), pool.buffer(capacity: mebibyte)])
        let gotRoom = await pool.waitForRoom(2 * mebibyte) {
            #expect(pool.wantedByteCount == 2 * mebibyte)
            #expect(pool.buffer(capacity: 1, within: pool.limit - 1) == nil)
            // Not room enough, and then it is.
            let returned = held.withLock { $0.removeLast() }
            withExtendedLifetime(returned) {}
            let last = held.withLock { $0.removeLast() }
            withExtendedLifetime(last) {}
        }
        #expect(gotRoom && pool.wantedByteCount == 0 && pool.lentByteCount == 0)
        #expect(pool.buffer(capacity: 1, within: pool.limit - 1) != nil)
    }

    @Test("A cancelled wait ends, and the next in the row is served")
    func cancelled() async {
        let pool = BufferPool(limit: 4 * mebibyte)
        let held = pool.buffer(capacity: 3 * mebibyte)
        let count = mebibyte
        let large = Task { await pool.waitForRoom(4 * count) {} }
        while pool.wantedByteCount == 0 { await Task.yield() }
        let small = Task { await pool.waitForRoom(count) {} }
        large.cancel()
        #expect(await large.value == false)
        #expect(await small.value == true)
        withExtendedLifetime(held) { #expect(pool.wantedByteCount == 0) }
    }
}
