import ObjectStore

/// What goes wrong between a process and the store, and how often (0 never, 1 always); it may change at any time, and
/// requests under way keep what they were given.
public struct Weather: Sendable {
    /// How long a request takes there and back, seconds.
    public var latency = 0.005...0.2
    /// How often one takes up to `longestLatency` instead, so that later ones overtake it.
    public var slow = 0.02
    public var longestLatency = 20.0
    /// The server answers 5xx or asks to slow down, and does nothing.
    public var unavailable = 0.0
    /// The connection is lost before the server has got the request.
    public var lostRequests = 0.0
    /// The server has done it, and the answer is lost.
    public var lostAnswers = 0.0
    /// The caller is told that the connection was lost, and the server does it up to a minute later.
    public var lateEffects = 0.0
    /// A read gives a part of the bytes and fails.
    public var cutReads = 0.0
    public var isReachable = true
    /// The session is over: every request is refused before it is sent.
    public var needsSignIn = false
    /// The policy refuses to write these.
    public var refusedKeys: Set<ObjectKey> = []

    public init() {}

    public static let fair = Weather()

    /// A network as on a train.
    public static let stormy: Weather = {
        var weather = Weather()
        weather.slow = 0.1
        weather.unavailable = 0.05
        weather.lostRequests = 0.05
        weather.lostAnswers = 0.05
        weather.lateEffects = 0.02
        weather.cutReads = 0.05
        return weather
    }()
}
