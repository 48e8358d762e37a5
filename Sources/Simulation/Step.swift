import Disk

/// One thing that happens in a run: what a program does, what goes wrong, or that time passes. A step means something
/// whatever came before it, so that a history can be shortened by leaving steps out.
public enum Step: Sendable, Hashable {
    public enum OpenMode: String, Sendable, Hashable, CaseIterable {
        case read, write, append, create, truncate, exclusive
    }
    public enum Sky: String, Sendable, Hashable, CaseIterable {
        case fair, stormy, unreachable, unavailable, signIn, refused
    }
    public enum DiskTrouble: String, Sendable, Hashable, CaseIterable { case none, full, failingWrites, failingSyncs }

    // A program's file, by its slot.
    case open(slot: Int, path: String, OpenMode)
    case write(slot: Int, share: Int, token: Int, count: Int)
    case truncate(slot: Int, share: Int)
    case fsync(slot: Int)
    case close(slot: Int)
    case readOpen(slot: Int)
    // A whole save, and other things by name.
    case save(path: String, token: Int, count: Int, isSynced: Bool)
    case replace(path: String, token: Int, count: Int)
    case read(path: String)
    case rename(String, String, exchange: Bool)
    case unlink(path: String)
    case makeDirectory(path: String)
    case removeDirectory(path: String)
    case changeMode(path: String, mode: UInt32)
    case list(path: String)
    case syncDirectory(path: String)
    // Other devices.
    case foreignPut(path: String, token: Int, count: Int)
    case foreignDelete(path: String)
    // The world.
    case weather(Sky, path: String)
    case disk(DiskTrouble)
    case pass(milliseconds: Int)
    /// The process ends after so many more changes on the disk.
    case kill(after: Int)
    case powerCut(after: Int)
    /// Everything is healed and comes to rest, and is checked.
    case calm
}

/// What a seed makes happen.
public struct Scenario: Sendable {
    public var seed: UInt64
    /// Other devices write too, so that only what must be kept can be foretold, not the whole tree.
    public var isShared: Bool
    /// The journal is sealed, not only checked.
    public var isSealed: Bool
    /// Staged logs are rewritten when they have a few hundred bytes, not only when they are long.
    public var compacts: Bool
    public var steps: [Step]

    private static let names = ["a", "b.txt", "d", "e", "d/a", "d/b.txt", "d/s", "d/s/a", "e/a", "e/s", "e/s/b.txt"]
    private static let files = ["a", "b.txt", "d/a", "d/b.txt", "d/s/a", "e/a", "e/s/b.txt"]
    private static let directories = ["d", "e", "d/s", "e/s"]

    /// A history told by hand.
    public init(seed: UInt64, isShared: Bool, _ steps: [Step]) {
        (self.seed, self.isShared, self.steps) = (seed, isShared, steps)
        (isSealed, compacts) = Self.staging(seed)
    }

    public init(seed: UInt64, count: Int) {
        var random = SeededRandom(seed &* 0x9E37_79B9 &+ 7)
        self.seed = seed
        isShared = random.happens(0.4)
        (isSealed, compacts) = Self.staging(seed)
        // Some runs have few disasters, so that long histories are seen too.
        let disasters = random.happens(0.3) ? 0.2 : 1.0
        steps = []
        for token in 1...max(count, 1) { steps.append(Self.step(token, isShared, disasters, &random)) }
    }

    /// Drawn by itself: the steps are the same either way.
    private static func staging(_ seed: UInt64) -> (isSealed: Bool, compacts: Bool) {
        var random = SeededRandom(seed ^ 0x5EA1ED)
        return (random.happens(0.25), random.happens(0.25))
    }

    private static func step(
        _ token: Int, _ isShared: Bool, _ disasters: Double, _ random: inout SeededRandom
    ) -> Step {
        func pick<T>(_ list: [T]) -> T { list[Int.random(in: 0..<list.count, using: &random)] }
        let slot = Int.random(in: 0..<4, using: &random)
        let file = random.happens(0.9) ? pick(files) : pick(names)
        let count = random.happens(0.1) ? 0 : random.happens(0.05) ? 70_000 : Int.random(in: 1...300, using: &random)
        if isShared, random.happens(0.06) {
            return random.happens(0.8)
                ? .foreignPut(path: file, token: token, count: count) : .foreignDelete(path: file)
        }
        if random.happens(0.06 * disasters) {
            let after = random.happens(0.4) ? 0 : Int.random(in: 1...12, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<4: return .kill(after: after)
            case 4..<6: return .powerCut(after: after)
            case 6..<8:
                return .weather(pick(Step.Sky.allCases), path: file)
            default: return .disk(pick(Step.DiskTrouble.allCases))
            }
        }
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<10: return .open(slot: slot, path: file, pick(Step.OpenMode.allCases))
        case 10..<18:
            return .write(slot: slot, share: Int.random(in: 0...120, using: &random), token: token, count: count)
        case 18..<20: return .truncate(slot: slot, share: Int.random(in: 0...150, using: &random))
        case 20..<23: return .fsync(slot: slot)
        case 23..<30: return .close(slot: slot)
        case 30..<33: return .readOpen(slot: slot)
        case 33..<46: return .save(path: file, token: token, count: count, isSynced: random.happens(0.2))
        case 46..<51: return .replace(path: file, token: token, count: count)
        case 51..<55: return .read(path: file)
        case 55..<66: return .rename(pick(names), pick(names), exchange: random.happens(0.15))
        case 66..<71: return .unlink(path: file)
        case 71..<76: return .makeDirectory(path: pick(directories))
        case 76..<79: return .removeDirectory(path: pick(directories))
        case 79..<82: return .changeMode(path: pick(names), mode: pick([0o600, 0o644, 0o755]))
        case 82..<85: return .list(path: pick(directories + [""]))
        case 85..<87: return .syncDirectory(path: pick(directories + [""]))
        case 87..<99: return .pass(milliseconds: pick([10, 200, 1000, 3000, 10_000, 60_000]))
        default: return .calm
        }
    }
}
