import Glibc
import Logging
import Synchronization

/// Writes log lines for people: to standard error when somebody watches, to syslog (and so the journal) otherwise.
struct SystemLog: LogHandler {
    enum Destination: Sendable { case standardError, syslog }

    let destination: Destination
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level = .notice

    /// syslog keeps the pointer to the name for ever, so it is never freed.
    private static let opened: Void = openlog(strdup("cognitofs"), LOG_PID, Int32(LOG_DAEMON))

    init(_ destination: Destination) {
        self.destination = destination
        if destination == .syslog { Self.opened }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let facts = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
        let text = ([event.message.description] + facts.map { "\($0.key)=\(Self.quoted($0.value.description))" })
            .joined(separator: " ")
        switch destination {
        case .standardError:
            let line = Array("cognitofs: \(event.level): \(text)\n".utf8)
            _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
        case .syslog:
            text.withCString { message in
                withVaList([OpaquePointer(message)]) { vsyslog(Self.priority(event.level), "%s", $0) }
            }
        }
    }

    /// Values with spaces or control characters are quoted: a file's name must not be able to forge a line.
    private static func quoted(_ value: String) -> String {
        let isPlain = value.utf8.allSatisfy { $0 > 0x20 && $0 != UInt8(ascii: "\"") && $0 != 0x7f }
        return isPlain && !value.isEmpty ? value : value.debugDescription
    }

    private static func priority(_ level: Logger.Level) -> Int32 {
        switch level {
        case .trace, .debug: LOG_DEBUG
        case .info: LOG_INFO
        case .notice: LOG_NOTICE
        case .warning: LOG_WARNING
        case .error: LOG_ERR
        case .critical: LOG_CRIT
        }
    }
}
