import Testing

@testable import Simulation

/// How a run that fails is told.
@Suite("Failing runs")
struct ShorteningTests {
    /// The first seed that finds a bug on purpose.
    private func failing(_ bug: DeliberateBug) throws -> (scenario: Scenario, violation: Violation) {
        for seed in 0..<200 as Range<UInt64> {
            let scenario = Scenario(seed: seed, count: 100)
            if let violation = Run.violation(scenario, bug) { return (scenario, violation) }
        }
        throw Missed()
    }

    private struct Missed: Error {}

    @Test("A history is shortened to one that fails in the same way")
    func shortened() throws {
        let (scenario, violation) = try failing(.putUnconditionally)
        let (short, why) = Run.shorten(scenario, violation, .putUnconditionally)
        #expect(short.steps.count < scenario.steps.count / 2)
        #expect(why.kind == violation.kind)
    }

    @Test("A history tells each step, and what was asked of S3")
    func told() throws {
        let (scenario, violation) = try failing(.putUnconditionally)
        let (short, _) = Run.shorten(scenario, violation, .putUnconditionally)
        let told = Run.history(short, .putUnconditionally)
        for step in short.steps { #expect(told.contains { $0.hasSuffix(" \(step)") }) }
        #expect(told.contains { $0.hasPrefix("    S3: put ") })
    }
}
