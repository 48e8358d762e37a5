import Disk
import SystemPackage

/// What is left to do for a read after the lock is let go: bytes in memory and zeros are in the destination already,
/// these runs of the log are to be opened.
struct ReadPlan: Sendable {
    private let log: Log
    private let range: Range<Int64>
    private let runs: [(part: Range<Int64>, run: Run)]
    private let meetsBase: Bool

    init(
        _ contents: borrowing Contents, _ range: Range<Int64>, into destination: UnsafeMutableRawBufferPointer
    ) {
        precondition(range.lowerBound >= 0 && destination.count >= range.count, "no room for the range")
        log = contents.log
        self.range = range
        let tail = contents.tail
        var runs: [(Range<Int64>, Run)] = []
        var meetsBase = false
        contents.forEachPart(of: range) { part, source in
            let target = UnsafeMutableRawBufferPointer(
                rebasing: destination[Int(part.lowerBound - range.lowerBound)..<Int(part.upperBound - range.lowerBound)]
            )
            switch source {
            case .tail:
                let start = Int(part.lowerBound - tail.start)
                tail.bytes.withUnsafeBytes { target.copyMemory(from: .init(rebasing: $0[start..<start + part.count])) }
            case .log(let run): runs.append((part, run))
            case .zeros: target.initializeMemory(as: UInt8.self, repeating: 0)
            case .base: meetsBase = true
            }
        }
        self.runs = runs
        self.meetsBase = meetsBase
    }

    /// Opens what is left into the same destination.
    func run(into destination: UnsafeMutableRawBufferPointer, _ pool: ScratchPool) throws(Errno) {
        if meetsBase { throw .invalidArgument }
        for (part, run) in runs {
            let target = UnsafeMutableRawBufferPointer(
                rebasing: destination[Int(part.lowerBound - range.lowerBound)...])
            try log.read(part, of: run, into: target, pool)
        }
    }
}
