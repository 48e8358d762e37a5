import Glibc

/// The three standard streams. What can't be written is dropped: nobody reads it.
enum Console {
    static func output(_ text: String) { write(text, to: STDOUT_FILENO) }

    static func line(_ text: String) { output(text + "\n") }

    /// A sentence for the person, not for a program that reads the output.
    static func note(_ text: String) { write("cognitofs: \(printable(text))\n", to: STDERR_FILENO) }

    static func error(_ text: String) { write(text, to: STDERR_FILENO) }

    /// `text` without the control characters with which a name from a server could steer a terminal.
    static func printable(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.map { isControl($0) ? "\u{FFFD}" : $0 }))
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        (scalar.value < 0x20 && scalar != "\n" && scalar != "\t") || (0x7F...0x9F).contains(scalar.value)
    }

    private static func write(_ text: String, to descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
