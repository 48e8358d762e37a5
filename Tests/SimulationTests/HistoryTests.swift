import Simulation
import Testing

/// Histories that once showed a bug, each as short as it could be made.
@Suite("Histories in the simulator")
struct HistoryTests {
    /// Which objects are there at first, and the order of what happens at once, follow from the seed.
    private func expectHeld(_ steps: [Step], isShared: Bool = false) {
        for seed in 0..<20 as Range<UInt64> {
            let violation = Run.violation(Scenario(seed: seed, isShared: isShared, steps))
            #expect(violation == nil, "seed \(seed): \(violation.map { "\($0)" } ?? "")")
        }
    }

    @Test("An empty file that was synced and not closed is there after a kill")
    func syncedEmpty() {
        expectHeld([.open(slot: 3, path: "e", .truncate), .fsync(slot: 3), .kill(after: 0)])
    }

    @Test("A reader's close publishes nothing of what a writer has not closed")
    func readerCloses() {
        expectHeld([
            .open(slot: 0, path: "b.txt", .create), .write(slot: 0, share: 93, token: 53, count: 199),
            .read(path: "b.txt"), .pass(milliseconds: 60_000),
        ])
    }

    @Test("A directory stays when the only file in it was never closed")
    func unclosedChild() {
        expectHeld([
            .makeDirectory(path: "d"), .open(slot: 1, path: "d/b.txt", .create), .pass(milliseconds: 3000),
            .kill(after: 0), .calm,
        ])
    }

    @Test("A directory made under the name of one that was renamed gets a marker of its own")
    func nameTakenAgain() {
        expectHeld([
            .unlink(path: "d/s/a"), .pass(milliseconds: 60_000), .rename("d", "e", exchange: false),
            .makeDirectory(path: "d"), .makeDirectory(path: "d/s"), .kill(after: 1), .read(path: "e/a"), .calm,
        ])
    }

    @Test("Two directories that change names do not lose a file that had just come into one of them")
    func exchangedDirectories() {
        expectHeld([
            .save(path: "d/a", token: 20, count: 269, isSynced: true), .rename("d/a", "e/s", exchange: false),
            .replace(path: "d/b.txt", token: 196, count: 288), .rename("d/s", "d/b.txt", exchange: true),
            .save(path: "d/a", token: 226, count: 20, isSynced: true), .pass(milliseconds: 60_000),
            .rename("d/a", "e/s", exchange: false), .rename("d", "e", exchange: true), .pass(milliseconds: 60_000),
            .save(path: "e/s/b.txt", token: 255, count: 150, isSynced: false),
        ])
    }

    @Test("A journal that cannot be rewritten while the disk fails goes on when it does not")
    func failingRewrite() {
        expectHeld([
            .disk(.failingSyncs), .save(path: "a", token: 1, count: 100, isSynced: true),
            .save(path: "b.txt", token: 2, count: 100, isSynced: true), .disk(.failingWrites),
            .save(path: "d/a", token: 3, count: 100, isSynced: true), .makeDirectory(path: "e"),
            .save(path: "a", token: 4, count: 100, isSynced: true), .disk(.none),
            .save(path: "a", token: 5, count: 100, isSynced: true), .powerCut(after: 0),
        ])
    }

    @Test("A file that took a directory's name survives a kill while the directory moves")
    func nameOfDirectory() {
        expectHeld([
            .replace(path: "e/a", token: 106, count: 243), .rename("e/a", "d", exchange: true), .kill(after: 10),
            .pass(milliseconds: 60_000),
        ])
    }

    @Test("What was synced and never closed is not published by somebody who reads it after a crash")
    func readAfterCrash() {
        expectHeld([
            .makeDirectory(path: "d"), .open(slot: 0, path: "d/b.txt", .create),
            .write(slot: 0, share: 61, token: 142, count: 175), .fsync(slot: 0), .kill(after: 0),
            .read(path: "d/b.txt"), .pass(milliseconds: 60_000),
        ])
    }

    @Test("What is written after a close is not sent with what was closed, though that is on S3 already")
    func writtenBehindPut() {
        let steps: [Step] = [
            .replace(path: "d/s/a", token: 197, count: 176), .open(slot: 3, path: "d/s/a", .truncate),
            .pass(milliseconds: 1000), .save(path: "d/s/a", token: 223, count: 143, isSynced: false),
            .write(slot: 3, share: 108, token: 225, count: 10), .rename("d/s/a", "d/b.txt", exchange: false),
            .pass(milliseconds: 60_000),
        ]
        expectHeld(steps)
        var foreign = steps
        foreign.insert(.foreignPut(path: "d/s/a", token: 215, count: 150), at: 3)
        expectHeld(foreign, isShared: true)
    }

    @Test("Contents that were synced outlive a close without a sync, over a kill and a power cut")
    func syncedThenClosed() {
        for after in 0..<6 {
            expectHeld([
                .weather(.signIn, path: "a"), .save(path: "b.txt", token: 18, count: 105, isSynced: true),
                .kill(after: after), .save(path: "b.txt", token: 25, count: 121, isSynced: false),
                .powerCut(after: 0),
            ])
        }
    }

    @Test("A half changed file that changes names keeps the bytes that it stands on")
    func exchangedBase() {
        expectHeld([
            .save(path: "b.txt", token: 69, count: 0, isSynced: false), .pass(milliseconds: 1000),
            .open(slot: 0, path: "d/a", .create), .truncate(slot: 0, share: 110), .close(slot: 0),
            .rename("b.txt", "d/a", exchange: true), .kill(after: 0), .makeDirectory(path: "d/s"), .kill(after: 0),
        ])
    }

    @Test("A file that is back at its name is not deleted there after a kill")
    func backAtItsName() {
        expectHeld(
            [
                .makeDirectory(path: "e"), .save(path: "e/a", token: 234, count: 28, isSynced: false),
                .foreignPut(path: "a", token: 236, count: 179), .pass(milliseconds: 3000),
                .rename("a", "e/a", exchange: true), .rename("a", "e/a", exchange: false), .kill(after: 0),
            ], isShared: true)
    }

    @Test("A deletion that waited for a conflict spares what has been stored at its name since")
    func lateDeletion() {
        expectHeld(
            [
                .makeDirectory(path: "e"), .makeDirectory(path: "e/s"),
                .save(path: "e/s/b.txt", token: 151, count: 209, isSynced: false),
                .rename("e/s/b.txt", "a", exchange: false), .foreignPut(path: "a", token: 166, count: 205),
                .save(path: "e/s/b.txt", token: 172, count: 100, isSynced: false),
                .rename("e/s/b.txt", "a", exchange: true),
            ], isShared: true)
    }

    @Test("A directory stays when the last file on S3 leaves it, though a new one is open in it")
    func lastStoredChild() {
        expectHeld([
            .removeDirectory(path: "d/s"), .unlink(path: "d/s/a"), .removeDirectory(path: "d/s"),
            .open(slot: 1, path: "d/b.txt", .create), .unlink(path: "d/a"), .kill(after: 0),
            .save(path: "d/b.txt", token: 155, count: 117, isSynced: false),
        ])
    }
}
