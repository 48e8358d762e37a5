import Bytes
import Synchronization

extension InMemoryObjectStore {
    public func list(
        _ request: ListRequest, _ context: RequestContext
    ) async throws(ObjectStoreError) -> ListPage {
        try begin(StoreCall(.list, String(decoding: request.prefix, as: UTF8.self)))
        let limit = min(max(request.maxKeys, 1), 1000)
        return try state.withLock { state throws(ObjectStoreError) in
            var page = ListPage(objects: [], commonPrefixes: [], continuation: nil)
            var index = try Self.start(request, state)
            while index < state.keys.count, state.keys[index].bytes.starts(with: request.prefix) {
                if page.objects.count + page.commonPrefixes.count == limit {
                    page.continuation = Hex.encode(state.keys[index].bytes)
                    break
                }
                let key = state.keys[index]
                if request.delimited, let common = Self.commonPrefix(key.bytes, below: request.prefix) {
                    page.commonPrefixes.append(common)
                    while index < state.keys.count, state.keys[index].bytes.starts(with: common) { index += 1 }
                } else {
                    if let object = state.objects[key] { page.objects.append(Self.summary(key, object)) }
                    index += 1
                }
            }
            return page
        }
    }

    /// The continuation token is the next key, in hexadecimal, so that nobody mistakes it for one. That key may be gone.
    private static func start(_ request: ListRequest, _ state: State) throws(ObjectStoreError) -> Int {
        if let token = request.continuation {
            guard let next = Hex.decode(token).flatMap({ ObjectKey($0) }) else {
                throw ObjectStoreError(.invalidAnswer, "The continuation token \(token) was not made here.")
            }
            return state.position(next)
        }
        let first = ObjectKey(request.prefix).map { state.position($0) } ?? 0
        guard let after = request.startAfter else { return first }
        let position = state.position(after)
        let isThere = position < state.keys.count && state.keys[position] == after
        return max(first, isThere ? position + 1 : position)
    }

    /// Up to and with the first `/` after the prefix.
    private static func commonPrefix(_ key: [UInt8], below prefix: [UInt8]) -> [UInt8]? {
        guard let slash = key[prefix.count...].firstIndex(of: UInt8(ascii: "/")) else { return nil }
        return Array(key[...slash])
    }
}
