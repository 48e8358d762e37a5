/// Repeatable randomness: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators").
public struct Seeded: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(_ seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// Tests make hundreds of megabytes with this, without an optimizer: a plain loop over words, nothing generic in it.
    public mutating func bytes(_ count: Int) -> [UInt8] {
        let wordCount = (count + 7) / 8
        return [UInt8](unsafeUninitializedCapacity: wordCount * 8) { buffer, initializedCount in
            initializedCount = count
            guard let start = UnsafeMutableRawPointer(buffer.baseAddress) else { return }
            let words = start.bindMemory(to: UInt64.self, capacity: wordCount)
            var at = 0
            while at < wordCount {
                words[at] = next()
                at += 1
            }
            _ = start.bindMemory(to: UInt8.self, capacity: wordCount * 8)
        }
    }
}
