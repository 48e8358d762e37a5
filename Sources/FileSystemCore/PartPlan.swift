import ObjectStore

/// How a file is cut into parts: at the same places whatever its size, so that parts can be sent while it grows.
///
/// The first 1,000 parts are 8 MiB, the others 64 MiB: a file may be 570 GiB, and a part always fits in memory
/// (S3 allows 10,000 parts of 5 MiB to 5 GiB).
enum PartPlan {
    static let smallPart: Int64 = 8 << 20
    static let bigPart: Int64 = 64 << 20
    static let smallCount = 1000
    /// Files up to this size are sent with one PUT.
    static let singlePut: Int64 = 16 << 20
    private static let smallTotal = smallPart * Int64(smallCount)
    static let largestObject = smallTotal + bigPart * Int64(PartNumber.maximum - smallCount)

    /// The bytes of part `index` (from 0) if the file were endless.
    static func range(_ index: Int) -> Range<Int64> {
        if index < smallCount {
            let start = Int64(index) * smallPart
            return start..<start + smallPart
        }
        let start = smallTotal + Int64(index - smallCount) * bigPart
        return start..<start + bigPart
    }

    /// The part that holds the byte at `offset`.
    static func index(_ offset: Int64) -> Int {
        offset < smallTotal ? Int(offset / smallPart) : smallCount + Int((offset - smallTotal) / bigPart)
    }

    /// How many parts a file of `size` bytes has.
    static func count(_ size: Int64) -> Int { size == 0 ? 0 : index(size - 1) + 1 }
}
