/// Writes `mount.conf`: every setting with what it means, its unit and its default.
public enum MountConfText {
    private static let head = """
        # cognitofs: settings of a mount.
        #
        # Looked for in $XDG_CONFIG_HOME/cognitofs/mount.conf (~/.config/cognitofs/mount.conf), then
        # /etc/cognitofs/mount.conf; `--config FILE` names another. Everything here can also be given by `-o NAME=VALUE`
        # (but not the secret). Sizes are bytes, or text such as "10 GiB"; times are seconds, or text such as "10 min".

        """

    /// The file that explains everything and sets nothing.
    public static func example() -> String {
        document(title: head) { setting in "#\(setting.name) = \(setting.defaultText ?? sample(setting))" }
    }

    /// A file that sets what differs from the defaults in `settings`. It holds the client secret if there is one.
    public static func file(_ settings: MountSettings, comment: String) -> String {
        let notes = comment.split(separator: "\n").map { "# \($0)\n" }.joined()
        return document(title: head + (notes.isEmpty ? "" : "#\n" + notes)) { setting in
            let text = setting.text(in: settings)
            // Written even if it is the default: whoever reads the file looks for it.
            guard let text, text != setting.defaultText || setting.name == "prefix" else {
                return "#\(setting.name) = \(setting.defaultText ?? sample(setting))"
            }
            return "\(setting.name) = \(text)"
        }
    }

    /// The settings in effect, one line each, without the secret.
    public static func effective(_ settings: MountSettings) -> String {
        Setting.Section.allCases.map { section in
            let lines = Setting.all.filter { $0.section == section }.map { setting in
                let text = setting.text(in: settings)
                if setting.isSecret, text != setting.defaultText { return "\(setting.name) = \"(not shown)\"\n" }
                guard let text else { return "#\(setting.name) is unset\n" }
                return "\(setting.name) = \(text)\(text == setting.defaultText ? "  # default" : "")\n"
            }
            return "[\(section.rawValue)]\n" + lines.joined()
        }.joined(separator: "\n")
    }

    private static func document(title: String, _ line: (Setting) -> String) -> String {
        title
            + Setting.Section.allCases.map { section in
                "\n# \(section.meaning)\n[\(section.rawValue)]\n"
                    + Setting.all.filter { $0.section == section }
                    .map { "\n" + explanation($0) + line($0) + "\n" }.joined()
            }.joined()
    }

    private static func explanation(_ setting: Setting) -> String {
        let byDefault = setting.defaultText.map { $0 == "\"\"" ? "not set" : $0 } ?? "unset"
        let sentences = "\(setting.meaning) Default: \(byDefault). It is \(setting.expectation)."
        return wrapped(sentences, width: 116).map { "# \($0)\n" }.joined()
    }

    /// For settings that have no value of their own.
    private static func sample(_ setting: Setting) -> String {
        if case .octal = setting.form { "\"077\"" } else { "1000" }
    }

    private static func wrapped(_ text: String, width: Int) -> [String] {
        text.split(separator: " ").reduce(into: [""]) { lines, word in
            let line = lines[lines.count - 1]
            if line.isEmpty {
                lines[lines.count - 1] = String(word)
            } else if line.count + 1 + word.count <= width {
                lines[lines.count - 1] += " \(word)"
            } else {
                lines.append(String(word))
            }
        }
    }
}
