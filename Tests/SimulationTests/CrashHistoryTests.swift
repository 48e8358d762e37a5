import Simulation
import Testing

/// Histories with crashes that once showed a bug, each as short as it could be made, with the seed that it was found by.
@Suite("Histories with crashes in the simulator")
struct CrashHistoryTests {
    private func expectHeld(_ seed: UInt64, _ steps: [Step]) {
        for seed in [seed, 1, 2] {
            for isShared in [false, true] {
                let violation = Run.violation(Scenario(seed: seed, isShared: isShared, steps))
                #expect(violation == nil, "seed \(seed): \(violation.map { "\($0)" } ?? "")")
            }
        }
    }

    @Test("A changed file that was renamed and whose copy failed leaves nothing at its old name")
    func failedCopy() {
        expectHeld(
            1_009_348,
            [
                .open(slot: 2, path: "a", .truncate), .open(slot: 1, path: "b.txt", .exclusive), .calm,
                .save(path: "b.txt", token: 63, count: 166, isSynced: false),
                .open(slot: 1, path: "d/b.txt", .create), .rename("b.txt", "a", exchange: false),
                .replace(path: "b.txt", token: 77, count: 0), .rename("a", "d/b.txt", exchange: false),
                .open(slot: 3, path: "d/b.txt", .create), .open(slot: 3, path: "d/s/a", .create),
                .save(path: "d/s/a", token: 85, count: 38, isSynced: false), .pass(milliseconds: 3000),
                .save(path: "d/b.txt", token: 97, count: 238, isSynced: false), .unlink(path: "b.txt"), .calm,
            ])
    }

    @Test("A staged log that is written anew after a failed sync does not publish what was written since the close")
    func renewedLog() {
        expectHeld(
            13923,
            [
                .disk(.failingSyncs), .weather(.stormy, path: "e"), .rename("e/s", "d/s", exchange: true),
                .pass(milliseconds: 10_000), .open(slot: 0, path: "e/s/b.txt", .truncate), .pass(milliseconds: 3000),
                .list(path: "e"), .save(path: "b.txt", token: 47, count: 281, isSynced: true), .kill(after: 8),
                .save(path: "b.txt", token: 69, count: 229, isSynced: true),
            ])
    }

    @Test("A directory that was removed stays so where the full disk has kept the journal from being rewritten")
    func failedRewrite() {
        expectHeld(
            17410,
            [
                .makeDirectory(path: "d/s"), .calm, .kill(after: 0), .disk(.full),
                .save(path: "d/b.txt", token: 79, count: 216, isSynced: false), .pass(milliseconds: 60_000),
                .removeDirectory(path: "d/s"),
            ])
    }

    @Test("A directory that was moved there and back is found again after two kills")
    func movedBack() {
        expectHeld(
            33985,
            [
                .kill(after: 6), .rename("d/s", "b.txt", exchange: false), .rename("b.txt", "d/s", exchange: false),
                .makeDirectory(path: "e"), .save(path: "d/a", token: 45, count: 258, isSynced: false),
                .changeMode(path: "e/a", mode: 384), .kill(after: 0),
            ])
    }

    @Test("What was on its way to S3 when it was replaced does not come back after a kill")
    func replacedWhileSent() {
        expectHeld(
            38573,
            [
                .makeDirectory(path: "e"), .open(slot: 1, path: "a", .exclusive),
                .save(path: "e/a", token: 167, count: 145, isSynced: false), .pass(milliseconds: 1000),
                .rename("a", "e/a", exchange: false), .kill(after: 0), .makeDirectory(path: "e/s"),
            ])
    }

    @Test("A directory stays whose only file has changed names with one that nobody has closed")
    func exchangedWithUnclosed() {
        expectHeld(
            37309,
            [
                .makeDirectory(path: "e/s"), .open(slot: 3, path: "e/s/b.txt", .truncate),
                .rename("e/s/b.txt", "d/s/a", exchange: true), .pass(milliseconds: 10_000), .kill(after: 0),
                .save(path: "d/s/a", token: 71, count: 238, isSynced: true),
            ])
    }

    @Test("Staged bytes outlive a start that finds them removed, until the disk has the journal that says so")
    func leftovers() {
        expectHeld(
            4565,
            [
                .makeDirectory(path: "e"), .open(slot: 1, path: "e/a", .create),
                .rename("d/a", "b.txt", exchange: false),
                .open(slot: 2, path: "e/a", .truncate), .calm, .makeDirectory(path: "d/s"),
                .save(path: "e/a", token: 135, count: 149, isSynced: true),
                .save(path: "e/a", token: 137, count: 54, isSynced: false), .kill(after: 1), .unlink(path: "e/a"),
                .open(slot: 0, path: "b.txt", .truncate), .powerCut(after: 0),
            ])
    }

    @Test("A directory made under the name of one whose marker is still to be deleted gets its own, also after a look")
    func markerOfAnother() {
        expectHeld(
            26602,
            [
                .unlink(path: "d/s/a"), .pass(milliseconds: 10_000), .weather(.signIn, path: "d"),
                .makeDirectory(path: "e"), .rename("d/s", "e/s", exchange: false), .makeDirectory(path: "d/s"),
                .pass(milliseconds: 60_000), .weather(.fair, path: "b.txt"), .read(path: "d/s/a"),
            ])
    }

    @Test("A copy that ends after a later put does not lead back to where the bytes were")
    func copyAfterPut() {
        expectHeld(
            44056,
            [
                .save(path: "d/b.txt", token: 48, count: 255, isSynced: false), .makeDirectory(path: "e"),
                .replace(path: "a", token: 72, count: 140), .makeDirectory(path: "e/s"),
                .open(slot: 2, path: "e/s/b.txt", .create), .calm, .rename("e/s/b.txt", "d/b.txt", exchange: true),
                .unlink(path: "d/b.txt"), .save(path: "e/s/b.txt", token: 136, count: 107, isSynced: false),
                .rename("d", "e/s/b.txt", exchange: true), .pass(milliseconds: 60_000), .kill(after: 0),
            ])
    }

    @Test("Files that take each other's names around a conflict do not wait for each other")
    func circle() {
        expectHeld(
            16153,
            [
                .makeDirectory(path: "d"), .save(path: "a", token: 123, count: 70000, isSynced: false),
                .pass(milliseconds: 10_000), .replace(path: "d/a", token: 148, count: 137),
                .pass(milliseconds: 10_000), .save(path: "d/b.txt", token: 166, count: 0, isSynced: false),
                .save(path: "d/b.txt", token: 177, count: 264, isSynced: false), .disk(.full),
                .save(path: "d/a", token: 181, count: 135, isSynced: false), .rename("d/a", "e/s", exchange: false),
                .pass(milliseconds: 10_000), .powerCut(after: 1), .rename("a", "d/s", exchange: false),
                .save(path: "a", token: 237, count: 104, isSynced: false), .rename("a", "d/a", exchange: false),
                .rename("e/s", "a", exchange: false), .calm,
            ])
    }

    @Test("Two puts of one file do not leave its newest bytes where they are deleted next")
    func twoPuts() {
        expectHeld(
            6438,
            [
                .changeMode(path: "e", mode: 384), .read(path: "d/b.txt"), .unlink(path: "d/a"), .kill(after: 9),
                .pass(milliseconds: 60000), .replace(path: "d/b.txt", token: 7, count: 11),
                .save(path: "d/s/a", token: 8, count: 49, isSynced: true),
                .save(path: "d/s", token: 9, count: 107, isSynced: true), .unlink(path: "a"), .pass(milliseconds: 200),
                .save(path: "d/a", token: 13, count: 91, isSynced: false), .kill(after: 2),
                .open(slot: 0, path: "a", .exclusive), .makeDirectory(path: "d/s"),
                .open(slot: 1, path: "d/a", .create), .readOpen(slot: 0), .makeDirectory(path: "e/s"),
                .open(slot: 2, path: "e/a", .write), .changeMode(path: "d/s", mode: 493), .makeDirectory(path: "d/s"),
                .removeDirectory(path: "d"), .rename("d/s", "d/a", exchange: false), .disk(.failingSyncs),
                .save(path: "d/a", token: 29, count: 189, isSynced: false), .rename("d/a", "e/a", exchange: false),
                .rename("d/s", "e/s", exchange: false), .save(path: "d/s/a", token: 53, count: 121, isSynced: true),
                .makeDirectory(path: "d"), .kill(after: 4), .syncDirectory(path: ""),
                .save(path: "e/a", token: 94, count: 64, isSynced: false), .pass(milliseconds: 1000), .kill(after: 0),
            ])
    }

    @Test("A file replaced under its new name while it is copied there leaves nothing at its old one")
    func replacedWhileCopied() {
        expectHeld(
            20_202_921,
            [
                .makeDirectory(path: "e/s"), .calm, .save(path: "a", token: 31, count: 110, isSynced: false),
                .kill(after: 7), .unlink(path: "b.txt"), .changeMode(path: "e/a", mode: 493),
                .save(path: "e/s/b.txt", token: 43, count: 30, isSynced: false), .weather(.fair, path: "a"),
                .unlink(path: "d/s/a"), .rename("a", "e/a", exchange: false),
                .save(path: "e/a", token: 49, count: 0, isSynced: false), .kill(after: 0),
                .replace(path: "e/a", token: 56, count: 166), .open(slot: 3, path: "d/s/a", .exclusive),
                .save(path: "a", token: 58, count: 27, isSynced: false), .kill(after: 11),
                .pass(milliseconds: 10_000),
            ])
    }
}
