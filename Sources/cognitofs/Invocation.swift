/// How the program was called: by a person, or by mount(8).
enum Invocation: Equatable {
    /// The arguments behind the program's name.
    case command([String])
    /// By mount(8), in either of its ways, said as arguments of the `mount` command.
    case mountHelper([String])
    /// By mount(8), with something that doesn't make sense.
    case wrong(String)

    /// `mount.cognitofs SOURCE DIR [-sfnv] [-N NAMESPACE] [-t TYPE] [-o OPTIONS]` is how mount(8) calls its helper for
    /// `mount -t cognitofs`; `cognitofs SOURCE DIR [-o OPTIONS]` is how mount.fuse calls a program for
    /// `mount -t fuse.cognitofs`.
    init(_ arguments: [String]) {
        let name = arguments.first?.split(separator: "/").last ?? ""
        let rest = Array(arguments.dropFirst())
        if name.hasPrefix("mount.") {
            self = Self.helper(rest)
        } else if let first = rest.first, !first.hasPrefix("-"), !Cognitofs.subcommandNames.contains(first),
            rest.count >= 2, !rest[1].hasPrefix("-")
        {
            self = Self.helper(rest)
        } else {
            self = .command(rest)
        }
    }

    private static func helper(_ arguments: [String]) -> Invocation {
        var places: [String] = []
        var options: [String] = []
        var result = ["mount"]
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("-"), argument.count > 1 else {
                places.append(argument)
                continue
            }
            for (index, letter) in argument.dropFirst().enumerated() {
                switch letter {
                // mtab and talkativeness: there is nothing to write, and failures are always told.
                case "n", "v": continue
                case "f": result.append("--check")
                case "s": result.append("--sloppy")
                case "r": options.append("ro")
                case "w": options.append("rw")
                case "o", "t", "N":
                    let joined = String(argument.dropFirst(index + 2))
                    guard let value = joined.isEmpty ? rest.popFirst() : joined else {
                        return .wrong("-\(letter) needs a value.")
                    }
                    if letter == "o" { options.append(value) }
                default: return .wrong("There is no option -\(letter) of mount.cognitofs.")
                }
                if "otN".contains(letter) { break }
            }
        }
        guard places.count == 2 else { return .wrong("Usage: mount.cognitofs SOURCE DIR [-o OPTIONS]") }
        result += options.flatMap { ["-o", $0] } + ["--"] + places
        return .mountHelper(result)
    }
}
