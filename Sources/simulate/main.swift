import Glibc
import Simulation

/// What scripts/simulate is asked for.
struct Arguments {
    var seeds: UInt64 = 1000
    var from: UInt64 = 0
    var steps = 300
    var bugs: [DeliberateBug] = []
    var keepsGoing = false
    var tells = false

    init(_ list: [String]) throws {
        var rest = list[...]
        struct Wrong: Error {}
        func number(_ text: String?) throws -> UInt64 {
            guard let text, let number = UInt64(text) else { throw Wrong() }
            return number
        }
        while let option = rest.popFirst() {
            switch option {
            case "--seeds": seeds = try number(rest.popFirst())
            case "--from": from = try number(rest.popFirst())
            case "--steps": steps = Int(try number(rest.popFirst()))
            case "--seed":
                from = try number(rest.popFirst())
                seeds = 1
            case "--bug":
                guard let name = rest.popFirst(), let bug = DeliberateBug(rawValue: name) else { throw Wrong() }
                bugs.append(bug)
            case "--bugs": bugs = DeliberateBug.allCases
            case "--keep-going": keepsGoing = true
            case "--history": tells = true
            default: throw Wrong()
            }
        }
    }
}

/// A hash that differs from run to run would make the order of a dictionary differ.
if getenv("SWIFT_DETERMINISTIC_HASHING") == nil {
    setenv("SWIFT_DETERMINISTIC_HASHING", "1", 1)
    var list: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
    list.append(nil)
    execv("/proc/self/exe", list)
}
guard let arguments = try? Arguments(Array(CommandLine.arguments.dropFirst())) else {
    print("simulate [--seeds N] [--from S] [--steps K] [--seed X] [--bug NAME | --bugs] [--keep-going] [--history]")
    print("bugs: \(DeliberateBug.allCases.map(\.rawValue).joined(separator: " "))")
    exit(2)
}

/// The first seed that holds without a bug and fails with it.
func firstCatch(_ bug: DeliberateBug) -> (seed: UInt64, violation: Violation)? {
    for seed in arguments.from..<arguments.from + arguments.seeds {
        let scenario = Scenario(seed: seed, count: arguments.steps)
        guard let violation = Run.violation(scenario, bug) else { continue }
        if Run.violation(scenario) == nil { return (seed, violation) }
    }
    return nil
}

if !arguments.bugs.isEmpty {
    var isMissed = false
    for bug in arguments.bugs {
        if let (seed, violation) = firstCatch(bug) {
            print("\(bug.rawValue): seed \(seed), \(violation)")
        } else {
            print("\(bug.rawValue): NOT FOUND in \(arguments.seeds) seeds")
            isMissed = true
        }
    }
    exit(isMissed ? 1 : 0)
}

if arguments.tells {
    for seed in arguments.from..<arguments.from + arguments.seeds {
        print("seed \(seed)")
        for line in Run.history(Scenario(seed: seed, count: arguments.steps)) { print("  \(line)") }
    }
    exit(0)
}

var failures = 0
for seed in arguments.from..<arguments.from + arguments.seeds {
    let scenario = Scenario(seed: seed, count: arguments.steps)
    guard let violation = Run.violation(scenario) else { continue }
    failures += 1
    print("seed \(seed): \(violation)")
    if arguments.keepsGoing { continue }
    let (shortest, why) = Run.shorten(scenario, violation)
    print("shortened to \(shortest.steps.count) steps: \(why)")
    for line in Run.history(shortest) { print("  \(line)") }
    break
}
if failures == 0 { print("\(arguments.seeds) seeds from \(arguments.from): all held") }
exit(failures == 0 ? 0 : 1)
