import Bytes
import Disk
import ObjectStore
import Testing

@testable import Simulation

@Suite("The simulated store")
struct StoreTests {
    private let executor: SimulatedExecutor
    private let bucket = InMemoryObjectStore()
    private let store: SimulatedObjectStore
    private static let attributes = ObjectAttributes(contentType: "text/plain", metadata: ["n": "1"])

    init() throws {
        executor = SimulatedExecutor(seed: 1)
        store = SimulatedObjectStore(bucket, prefix: try #require(KeyPrefix("s/")), on: executor)
    }

    private static func key(_ name: String) -> ObjectKey {
        guard let key = ObjectKey(name) else { preconditionFailure("a key of a test is valid") }
        return key
    }

    private func put(_ name: String, _ condition: Precondition = .absent) throws -> ObjectStoreError? {
        try executor.run { [store] in
            do throws(ObjectStoreError) {
                _ = try await store.put(Self.key(name), ByteSlice([1, 2]), Self.attributes, condition, .upload)
                return nil
            } catch {
                return error
            }
        }
    }

    /// Repeats puts in a weather; returns which errors came, each with whether the object was there then and a minute later.
    private func outcomes(_ change: (inout Weather) -> Void) throws -> Set<String> {
        var weather = Weather.fair
        change(&weather)
        store.weather = weather
        var found: Set<String> = []
        for index in 0..<40 {
            let error = try put("s/\(index)")
            let isThere = bucket.object(Self.key("s/\(index)")) != nil
            executor.advance(by: .seconds(61))
            let isThereLater = bucket.object(Self.key("s/\(index)")) != nil
            found.insert("\(error.map { "\($0.code)" } ?? "done") \(isThere) \(isThereLater)")
            bucket.foreignDelete(Self.key("s/\(index)"))
        }
        return found
    }

    @Test("A refused, lost or unreachable request has no effect; a lost answer has; a late one comes when nobody waits")
    func faults() throws {
        #expect(try outcomes { $0.unavailable = 1 } == ["unavailable false false"])
        #expect(try outcomes { $0.lostRequests = 1 } == ["unreachable false false"])
        #expect(try outcomes { $0.isReachable = false } == ["unreachable false false"])
        #expect(try outcomes { $0.needsSignIn = true } == ["signInNeeded false false"])
        #expect(try outcomes { $0.lostAnswers = 1 } == ["unreachable true true"])
        #expect(try outcomes { $0.lateEffects = 1 } == ["unreachable false true"])
        #expect(try outcomes { $0.refusedKeys = [Self.key("s/7")] } == ["accessDenied false false", "done true true"])
        #expect(store.violations == [])
    }

    @Test("A condition that does not hold is refused, and a slow server is given up in time")
    func conditions() throws {
        bucket.foreignPut(Self.key("s/a"), [9])
        #expect(try put("s/a")?.code == .preconditionFailed)
        #expect(try put("s/a", .matches(ETag("other")))?.code == .preconditionFailed)
        store.weather.slow = 1
        store.weather.latency = 99...100
        store.weather.longestLatency = 101
        let began = executor.now
        #expect(try put("s/b")?.code == .unreachable)
        #expect(executor.now - began == RequestContext.upload.patience)
    }

    @Test("Requests outside the prefix and while idle are noted")
    func violations() throws {
        _ = try put("t/a")
        store.mustBeIdle = true
        _ = try put("s/a")
        #expect(store.violations == ["outside the prefix: put t/a", "while idle: put s/a"])
    }

    @Test("A read that is cut announces and gives only true bytes")
    func reads() throws {
        let bytes = (0..<200).map { UInt8($0) }
        let version = ObjectVersion(key: Self.key("s/a"), eTag: bucket.foreignPut(Self.key("s/a"), bytes))
        store.weather.cutReads = 1
        let buffer = ByteBuffer(capacity: 200)
        let error = try executor.run { [store] in
            do throws(ObjectStoreError) {
                _ = try await store.get(version, range: 0..<200, into: buffer, .demandRead, progress: { _ in })
                return nil as ObjectStoreError?
            } catch {
                return error
            }
        }
        #expect(error?.code == .unreachable)
    }

    @Test("When the process ends its requests end, and what the server has got still happens")
    func disconnected() throws {
        var codes: Set<Bool> = []
        for index in 0..<40 {
            let store = SimulatedObjectStore(bucket, prefix: try #require(KeyPrefix("s/")), on: executor)
            let key = Self.key("s/\(index)")
            let error = try executor.run { [executor] in
                let call = Task(executorPreference: executor) { () async -> ObjectStoreError? in
                    do throws(ObjectStoreError) {
                        _ = try await store.put(key, ByteSlice([1]), Self.attributes, .absent, .upload)
                        return nil
                    } catch {
                        return error
                    }
                }
                try? await executor.sleep(.milliseconds(2), in: 0)
                store.disconnect()
                return await call.value
            }
            #expect(error?.code == .cancelled)
            codes.insert(bucket.object(key) != nil)
            executor.advance(by: .seconds(30))
            #expect(bucket.object(key) != nil)
            #expect(store.pendingCount == 0)
        }
        #expect(codes == [true, false])
    }

    @Test("Answers come in another order than the requests were made in")
    func reordering() throws {
        let order = try executor.run { [store] in
            await withTaskGroup(of: Int.self) { group in
                for index in 0..<30 {
                    group.addTask {
                        let key = Self.key("s/\(index)")
                        _ = try? await store.put(key, ByteSlice([1]), Self.attributes, .absent, .upload)
                        return index
                    }
                }
                var order: [Int] = []
                for await index in group { order.append(index) }
                return order
            }
        }
        #expect(order.sorted() == Array(0..<30))
        #expect(order != Array(0..<30))
    }
}
