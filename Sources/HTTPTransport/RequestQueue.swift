/// Decides which request starts next. No I/O, no clock: the owner starts and ends what this says.
///
/// Each host has so many connections. The smaller priority goes first, first come first served within one. Background
/// work (uploads, reading ahead) leaves the last connections free, so that what a person waits for starts at once.
struct RequestQueue {
    typealias ID = UInt64

    /// Priorities from here on are background: the two lowest of the store's four.
    static let firstBackgroundPriority = 2
    /// The connections of a host that background work never takes.
    static let reservedConnections = 2

    private struct Waiting {
        var priority: Int
        var id: ID

        /// Ids grow, so among equals the older goes first.
        func goes(before other: Waiting) -> Bool { (priority, id) < (other.priority, other.id) }
    }

    /// Invariants: `running <= limit`; `waiting` is ordered so that the next to start is last.
    private struct Host {
        var running = 0
        var waiting: [Waiting] = []
    }

    private let limit: Int
    /// Only hosts with something running or waiting.
    private var hosts: [Origin: Host] = [:]

    init(connectionsPerHost limit: Int) {
        precondition(limit > 0, "a host needs a connection")
        self.limit = limit
    }

    /// Ids must grow from call to call.
    mutating func add(_ id: ID, to origin: Origin, priority: Int) {
        let new = Waiting(priority: priority, id: id)
        let place = position(of: new, in: hosts[origin, default: Host()].waiting)
        hosts[origin, default: Host()].waiting.insert(new, at: place)
    }

    /// Takes out a request that has not been started.
    mutating func withdraw(_ id: ID, from origin: Origin) {
        hosts[origin]?.waiting.removeAll { $0.id == id }
        forgetIfIdle(origin)
    }

    /// A started request is over and its connection free.
    mutating func end(at origin: Origin) {
        guard let running = hosts[origin]?.running, running > 0 else {
            preconditionFailure("ended more than was started")
        }
        hosts[origin]?.running = running - 1
        forgetIfIdle(origin)
    }

    /// The request to start now at `origin`, which counts as running from here on; nil when all must wait.
    mutating func startNext(at origin: Origin) -> ID? {
        guard var host = hosts[origin], let next = host.waiting.last, mayStart(next, at: host) else { return nil }
        host.waiting.removeLast()
        host.running += 1
        assert(host.running <= limit, "more running than connections")
        hosts[origin] = host
        return next.id
    }

    private func mayStart(_ next: Waiting, at host: Host) -> Bool {
        let isBackground = next.priority >= Self.firstBackgroundPriority
        return host.running < (isBackground ? max(1, limit - Self.reservedConnections) : limit)
    }

    private mutating func forgetIfIdle(_ origin: Origin) {
        if let host = hosts[origin], host.running == 0, host.waiting.isEmpty { hosts[origin] = nil }
    }

    private func position(of new: Waiting, in waiting: [Waiting]) -> Int {
        var low = 0
        var high = waiting.count
        while low < high {
            let middle = (low + high) / 2
            if new.goes(before: waiting[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
