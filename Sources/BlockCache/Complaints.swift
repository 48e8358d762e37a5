import Glibc
import Logging
import Synchronization

/// Log lines that a broken disk would repeat for ever: each kind at most once a minute, with a count of those left out.
final class Complaints: Sendable {
    enum Kind: Hashable, Sendable { case read, write, index, sweep, damage }

    private let logger: Logger
    // Memory only.
    private let said = Mutex<[Kind: (at: Int, suppressed: Int)]>([:])

    init(_ logger: Logger) { self.logger = logger }

    func say(_ kind: Kind, _ message: Logger.Message, _ metadata: Logger.Metadata = [:]) {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        let now = time.tv_sec
        let suppressed: Int? = said.withLock { said in
            if let last = said[kind], now - last.at < 60 {
                said[kind] = (last.at, last.suppressed + 1)
                return nil
            }
            defer { said[kind] = (now, 0) }
            return said[kind]?.suppressed ?? 0
        }
        guard let suppressed else { return }
        var metadata = metadata
        if suppressed > 0 { metadata["since_then"] = "\(suppressed)" }
        logger.warning(message, metadata: metadata)
    }
}
