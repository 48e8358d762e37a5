/// Runs scenarios, and shortens those that fail.
public enum Run {
    /// What is wrong in a run; nil when nothing is.
    public static func violation(_ scenario: Scenario, _ bug: DeliberateBug? = nil) -> Violation? {
        do {
            return try World(scenario, bug: bug).run()
        } catch {
            return Violation(step: 0, text: "it does not begin: \(error)")
        }
    }

    /// Leaves out steps for as long as something is still wrong: halves, then quarters, down to single ones.
    public static func shorten(
        _ scenario: Scenario, _ violation: Violation, _ bug: DeliberateBug? = nil
    ) -> (Scenario, Violation) {
        var (best, why) = (scenario, violation)
        best.steps = Array(scenario.steps.prefix(violation.step + 1))
        func fails(_ trial: Scenario) -> Violation? {
            Self.violation(trial, bug).flatMap { $0.kind == violation.kind ? $0 : nil }
        }
        if let found = fails(best) { why = found } else { best = scenario }
        var length = max(best.steps.count / 2, 1)
        while true {
            var isShorter = false
            var start = 0
            while start < best.steps.count {
                var trial = best
                trial.steps.removeSubrange(start..<min(start + length, best.steps.count))
                if let found = fails(trial) {
                    (best, why, isShorter) = (trial, found, true)
                } else {
                    start += length
                }
            }
            if length == 1, !isShorter { return (best, why) }
            length = max(length / 2, 1)
        }
    }

    /// The steps with the times at which they came.
    public static func history(_ scenario: Scenario, _ bug: DeliberateBug? = nil) -> [String] {
        guard let world = try? World(scenario, bug: bug) else { return [] }
        world.isTracing = true
        _ = world.run()
        return world.trace
    }
}
