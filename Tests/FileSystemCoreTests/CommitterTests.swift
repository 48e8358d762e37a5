import ObjectStore
import TestSupport
import Testing

@testable import FileSystemCore

@Suite struct CommitterTests {
    private var place: Place {
        get throws { Place(prefix: try #require(KeyPrefix("s/")), name: EntryName(Array("x".utf8))) }
    }

    private func runs(_ actions: [Committer.Action]) -> [UInt64] {
        actions.compactMap { if case .run(let intent) = $0 { intent.id.value } else { nil } }
    }

    private func stalled(_ actions: [Committer.Action]) -> [UInt64] {
        actions.flatMap { if case .stalled(let ids, _) = $0 { ids.map(\.value) } else { [UInt64]() } }
    }

    private let refused = ObjectStoreError(.accessDenied, "no")
    private let busy = ObjectStoreError(.unavailable, "later")

    @Test("A delete waits for the copy that it requires, also when no key is shared")
    func requirement() throws {
        var committer = Committer()
        let copy = committer.add(.put, key: Space.key("b"), inode: nil, place: try place, now: .zero)
        let delete = committer.add(
            .delete, key: Space.key("a"), inode: nil, place: try place, requires: copy.id, now: .zero)
        #expect(runs(copy.actions) == [1] && runs(delete.actions) == [])
        let failed = committer.finished(copy.id, .failed(busy), now: .zero, jitter: 1)
        #expect(runs(failed) == [] && stalled(failed) == [1, 2])
        let result1 = runs(committer.tick(now: .seconds(1)))
        #expect(result1 == [1])
        let result2 = runs(committer.finished(copy.id, .done, now: .seconds(1), jitter: 0))
        #expect(result2 == [2])
    }

    @Test("What is refused for good stays at the head of its keys, and everybody behind it is told")
    func refusal() throws {
        var committer = Committer()
        let first = committer.add(.put, key: Space.key("a"), inode: nil, place: try place, now: .zero)
        let second = committer.add(
            .copy, key: Space.key("b"), source: Space.key("a"), inode: nil, place: try place, now: .zero)
        let third = committer.add(.put, key: Space.key("b"), inode: nil, place: try place, now: .zero)
        let failed = committer.finished(first.id, .failed(refused), now: .zero, jitter: 0)
        #expect(stalled(failed) == [1, 2, 3])
        let result3 = runs(committer.hurry(now: .seconds(100)))
        #expect(result3 == [])
        // Somebody waits for the last: the first is tried again.
        let result4 = runs(committer.expedite(third.id, now: .seconds(100)))
        #expect(result4 == [1])
        #expect(committer.contains(second.id))
    }

    @Test(
        "What is asked for again while it is under way is tried once more when it is refused", arguments: [true, false])
    func againWhileRunning(_ all: Bool) throws {
        var committer = Committer()
        let put = committer.add(.put, key: Space.key("a"), inode: nil, place: try place, now: .zero)
        if all {
            let hurried = committer.hurry(now: .zero, retryFailed: true)
            #expect(runs(hurried) == [])
        } else {
            committer.tryAgain(put.id)
        }
        let first = runs(committer.finished(put.id, .failed(refused), now: .zero, jitter: 0))
        #expect(first == [1])
        let second = committer.finished(put.id, .failed(refused), now: .zero, jitter: 0)
        #expect(runs(second) == [] && stalled(second) == [1])
    }

    @Test("Giving up a copy gives up the delete of its source")
    func givingUp() throws {
        var committer = Committer()
        let copy = committer.add(
            .copy, key: Space.key("b"), source: Space.key("a"), inode: nil, place: try place, now: .zero)
        _ = committer.add(.delete, key: Space.key("a"), inode: nil, place: try place, requires: copy.id, now: .zero)
        _ = committer.finished(copy.id, .failed(refused), now: .zero, jitter: 0)
        let result5 = committer.dropWithDependents(copy.id).map(\.id.value)
        #expect(result5 == [1, 2])
        #expect(committer.isEmpty)
    }

    @Test("At most so many run at once, and one wake-up is asked for at a time")
    func width() throws {
        var committer = Committer(width: 2)
        var wakes = 0
        for name in 0..<5 {
            let added = committer.add(
                .metadata, key: Space.key("\(name)"), inode: nil, place: try place, now: .zero, delay: .seconds(1))
            wakes += added.actions.count { if case .wake = $0 { true } else { false } }
        }
        #expect(wakes == 1)
        let result7 = runs(committer.tick(now: .seconds(1)))
        #expect(result7 == [1, 2])
        let result8 = runs(committer.finished(IntentID(value: 1), .done, now: .seconds(1), jitter: 0))
        #expect(result8 == [3])
    }

    @Test("A held delete waits for its release, or for the next change of its key")
    func held() throws {
        var committer = Committer()
        let first = committer.add(.delete, key: Space.key("a"), inode: nil, place: try place, now: .zero, isHeld: true)
        let result9 = runs(first.actions)
        #expect(result9 == [])
        let result10 = runs(committer.hurry(now: .zero))
        #expect(result10 == [])
        let result11 = runs(committer.release(first.id, now: .zero))
        #expect(result11 == [1])
        let second = committer.add(.delete, key: Space.key("b"), inode: nil, place: try place, now: .zero, isHeld: true)
        #expect(runs(second.actions) == [])
        let result12 = runs(committer.add(.put, key: Space.key("b"), inode: nil, place: try place, now: .zero).actions)
        #expect(result12 == [2])
    }

    @Test("Random changes: none runs before one that it depends on, and each is settled once", arguments: 0..<200)
    func random(_ seed: Int) throws {
        var random = Seeded(UInt64(seed))
        var committer = Committer(width: 4)
        var (order, requires): ([(id: IntentID, keys: Set<ObjectKey>)], [IntentID: IntentID]) = ([], [:])
        var (running, settled): (Set<IntentID>, [IntentID: Int]) = ([], [:])
        var now = Duration.zero
        func take(_ actions: [Committer.Action]) {
            for action in actions {
                switch action {
                case .run(let intent):
                    let before = order.prefix { $0.id != intent.id }.filter { settled[$0.id] == nil }
                    #expect(before.allSatisfy { $0.keys.isDisjoint(with: intent.keys) }, "seed \(seed)")
                    #expect(requires[intent.id].map { settled[$0] != nil } ?? true, "seed \(seed)")
                    #expect(running.insert(intent.id).inserted && running.count <= 4, "seed \(seed)")
                case .settled(let id, nil): settled[id, default: 0] += 1
                case .settled, .stalled, .wake: break
                }
            }
        }
        for step in 0..<120 {
            now += .milliseconds(Int.random(in: 0..<900, using: &random))
            let names = (0..<2).map { _ in Space.key("\(Int.random(in: 0..<5, using: &random))") }
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                guard step < 80 else { continue }
                let last = order.last.map(\.id)
                let wanted = last.flatMap { committer.contains($0) ? $0 : nil }
                let delay = Duration.milliseconds(Int.random(in: 0..<3, using: &random) * 300)
                let id = IntentID(value: UInt64(order.count + 1))
                order.append((id, Set(names)))
                requires[id] = wanted
                let added = committer.add(
                    .copy, key: names[0], source: names[1], inode: nil, place: try place, requires: wanted, now: now,
                    delay: delay)
                #expect(added.id == id)
                take(added.actions)
            case 2, 3, 4:
                guard let id = running.sorted().randomElement(using: &random) else { continue }
                running.remove(id)
                let results: [Committer.Result] = [.done, .done, .again, .failed(busy), .failed(refused)]
                let result = results.randomElement(using: &random) ?? .done
                take(committer.finished(id, result, now: now, jitter: 0.5))
            default: take(committer.tick(now: now))
            }
        }
        for _ in 0..<1000 where !committer.isEmpty {
            now += .seconds(60)
            take(committer.hurry(now: now, retryFailed: true))
            for id in running.sorted() {
                running.remove(id)
                take(committer.finished(id, .done, now: now, jitter: 0))
            }
        }
        #expect(committer.isEmpty, "seed \(seed)")
        #expect(settled.count == order.count && settled.values.allSatisfy { $0 == 1 }, "seed \(seed)")
    }
}
