import Disk
import FileSystemCore
import Journal
import Logging
import ObjectStore
import Sealing
import Synchronization
import SystemPackage

/// What is wrong in a run.
public struct Violation: Error, Sendable, Equatable, CustomStringConvertible {
    /// Which step showed it, from 0.
    public var step: Int
    public var text: String
    public var description: String { "step \(step): \(text)" }

    /// What two failures have in common that are the same but for names and numbers.
    var kind: [Substring] {
        text.split { !$0.isLetter }.filter { $0.count > 2 && !["txt", "tmp"].contains($0) }
    }
}

/// One run: a volume on a simulated disk, store and clock, the programs that use it, what goes wrong, and what must hold.
///
/// Programs run one after another, so that the model can say what each must see; what the volume does by itself runs beside
/// them in the order that the seed gives.
public final class World {
    struct Broken: Error { let text: String }

    struct Slot {
        var open: Client.Open
        var file: Int
        var mayWrite: Bool
        var isAppending: Bool
        /// What it has read, unless something was written here since: an open file keeps its version.
        var read: [UInt8]?
    }

    final class Seen: Sendable {
        private let contents = Mutex<[(InodeNumber, [UInt8])]>([])

        func note(_ inode: InodeNumber, _ volume: Volume, _ server: Server) {
            guard let shown = volume.shown(inode) else { return }
            // After a crash the view may be behind what it has stored itself.
            let seen =
                shown.contents { server.bytes($0) } ?? shown.location.flatMap { server.bucket.object($0.key)?.bytes }
            if let seen { contents.withLock { $0.append((inode, seen)) } }
        }

        @discardableResult
        func take() -> [(inode: InodeNumber, contents: [UInt8])] {
            contents.withLock { contents in
                defer { contents = [] }
                return contents
            }
        }
    }

    static let prefix = "s/"

    let scenario: Scenario
    let bug: DeliberateBug?
    let executor: SimulatedExecutor
    let bucket: InMemoryObjectStore
    let server: Server
    let key: SealingKey?
    let watch: SealWatch?
    var disk: SimulatedDisk
    var process: SimulatedProcess
    var store: SimulatedObjectStore
    var volume: Volume
    var client: Client {
        Client(volume: volume, seeing: { [volume, server, seen] in seen.note($0, volume, server) })
    }
    /// What the call under way is about to replace.
    let seen = Seen()

    var model = Model()
    var ledger = Ledger()
    /// What the journal may hold, newest last: the states since the last sync, for a power cut, and those since the last
    /// acknowledged change, for a kill.
    var sinceSync: [Model] = []
    var sinceChange: [Model] = []
    /// False after other devices or a power cut: the model cannot tell the whole tree.
    var isExact = false
    var slots: [Int: Slot] = [:]
    /// What was last closed of a file, by inode, while this process lives.
    var closed: [InodeNumber: [UInt8]] = [:]
    var weather = Weather.fair
    var isPowerCut = false
    var hasDiskTrouble = false
    /// What a failing disk could not keep was lost in a power cut: S3 may be ahead of the journal without its knowing.
    var isBehind = false
    public internal(set) var trace: [String] = []
    public var isTracing = false {
        didSet { if isTracing { server.beginTrace() } }
    }

    public init(_ scenario: Scenario, bug: DeliberateBug? = nil) throws {
        self.scenario = scenario
        self.bug = bug
        let seed = scenario.seed
        let executor = SimulatedExecutor(seed: seed)
        self.executor = executor
        bucket = InMemoryObjectStore(now: { 1_800_000_000 + executor.now.components.seconds })
        server = Server(bucket, bug)
        var random = SeededRandom(seed ^ 0x5EA1)
        key =
            scenario.isSealed
            ? SealingKey(random.bytes(SealingKey.byteCount), countingNonces: bug == .reusesNonce) : nil
        watch = scenario.isSealed ? SealWatch() : nil
        disk = SimulatedDisk(seed: seed)
        process = SimulatedProcess(executor)
        weather = Self.weather(.fair, scenario.isShared)
        (store, volume) = try Self.mount(scenario, bug, executor, server, (disk, watch, key), process, weather)
    }

    static func weather(_ sky: Step.Sky, _ isShared: Bool) -> Weather {
        var weather = sky == .stormy ? Weather.stormy : .fair
        // What arrives after everybody has given it up can make a deleted file again: only `Ledger` bears that.
        if !isShared { weather.lateEffects = 0 }
        if !isShared { weather.longestLatency = 8 }
        if sky == .fair { weather.slow = 0.01 }
        if sky == .unreachable { weather.isReachable = false }
        if sky == .unavailable { weather.unavailable = 0.5 }
        if sky == .signIn { weather.needsSignIn = true }
        return weather
    }

    static func mount(
        _ scenario: Scenario, _ bug: DeliberateBug?, _ executor: SimulatedExecutor, _ server: Server,
        _ place: (disk: SimulatedDisk, watch: SealWatch?, key: SealingKey?), _ process: SimulatedProcess,
        _ weather: Weather
    ) throws -> (SimulatedObjectStore, Volume) {
        guard let prefix = KeyPrefix(Self.prefix) else { throw Broken(text: "no prefix") }
        var options = VolumeOptions(prefix: prefix, uid: 1000, gid: 1000)
        options.faults = bug?.faults ?? []
        if scenario.compacts { options.smallestCompaction = 300 }
        let store = SimulatedObjectStore(server, prefix: prefix, on: executor)
        store.weather = weather
        let volume = try Volume(
            options: options, store: store, cache: nil, journal: "/journal",
            key: bug == .forgetsKey ? nil : place.key,
            disk: BuggyDisk(disk: place.disk, bug: bug, ending: { store.disconnect() }, watch: place.watch),
            clock: process.clock,
            writers: NoOtherWriter(),
            logger: Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() })
        return (store, volume)
    }

    private struct NoOtherWriter: WriterCensus {
        func hasWriter(_ inode: InodeNumber, among processes: Set<Int32>) -> Bool { false }
    }

    // MARK: A run

    /// Runs all steps, then heals and checks. Nil when everything held.
    public func run() -> Violation? {
        var index = 0
        do {
            try begin()
            for step in scenario.steps {
                if isTracing { trace.append("\(index) \(executor.now) \(step)") }
                try take(step)
                try checkAfterStep()
                tellQueue()
                index += 1
            }
            try calm()
            try crash(power: false)
            try calm()
            return nil
        } catch let broken as Broken {
            tellQueue()
            return Violation(step: index, text: broken.text)
        } catch {
            return Violation(step: index, text: "\(error)")
        }
    }

    /// What S3 was asked for, and what is queued now.
    func tellQueue() {
        guard isTracing else { return }
        trace += server.takeTrace().map { "    S3: \($0)" }
        trace += volume.queue().map { "    queued \($0)" }
    }

    /// The space has something in it, and is looked at once.
    private func begin() throws {
        var random = SeededRandom(scenario.seed ^ 0x5EED)
        var token = 1_000_000
        for path in ["a", "d/a", "d/s/a", "e/b.txt"] where random.happens(0.5) {
            token += 1
            let bytes = Contents.make(token, count: 40)
            foreignPut(path, bytes)
            model.add(path, bytes)
        }
        volume.start()
        if !scenario.isShared {
            let client = client
            _ = try perform { () async throws(Errno) in try await client.walk() }.get()
            isExact = true
        }
        restartModel()
    }

    func restartModel() {
        sinceSync = [model]
        sinceChange = [model]
    }

    func key(_ path: String) throws -> ObjectKey {
        guard let key = ObjectKey(Self.prefix + path) else { throw Broken(text: "no key for \(path)") }
        return key
    }

    /// Runs what a program does, to its end.
    func perform<Value: Sendable>(
        _ body: @escaping @Sendable () async throws(Errno) -> Value
    ) throws -> Result<Value, Errno> {
        let begin = executor.now
        let outcome = try executor.run { () async -> Result<Value, Errno> in
            do throws(Errno) { return .success(try await body()) } catch { return .failure(error) }
        }
        let took = executor.now - begin
        if took > .seconds(600) { throw Broken(text: "a call took \(took)") }
        return outcome
    }

    func contents(_ shown: Volume.Shown) -> [UInt8]? { shown.contents { server.bytes($0) } }

    /// The bytes of a version, wherever S3 has them by now.
    func bytesAnywhere(_ version: ObjectVersion) -> [UInt8]? {
        bucket.keys.lazy.compactMap { self.bucket.object($0) }.first { $0.eTag == version.eTag }?.bytes
    }

    func contents(_ inode: InodeNumber) -> [UInt8]? { volume.shown(inode).flatMap { contents($0) } }

    /// The view with its bytes.
    func view() -> Model.View {
        var view = Model.View()
        for shown in volume.shown() {
            if shown.isDirectory {
                view.directories.insert(shown.path)
            } else {
                view.files[shown.path] = .some(contents(shown))
                view.sizes[shown.path] = shown.size
                view.modes[shown.path] = shown.permissions ?? shown.location.map { storedMode($0.key) }
            }
        }
        return view
    }

    /// The permissions that S3 keeps of a file; one that has none stored has those of the mount.
    func storedMode(_ key: ObjectKey) -> UInt32 {
        bucket.object(key)?.attributes.metadata["mode"].flatMap { UInt32($0) }.map { $0 & 0o7777 } ?? 0o600
    }

    /// What S3 holds below the prefix, by path; markers end in a slash.
    func stored() -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        for key in bucket.keys {
            found["\(String(decoding: key.bytes.dropFirst(Self.prefix.utf8.count), as: UTF8.self))"] =
                bucket.object(key)?.bytes
        }
        return found
    }

    // MARK: Other devices

    func foreignPut(_ path: String, _ bytes: [UInt8]) {
        guard let key = try? key(path) else { return }
        replaceStored(key)
        server.allow(bytes)
        bucket.foreignPut(key, bytes)
        ledger.add(bytes, isSynced: true)
    }

    func foreignDelete(_ path: String) {
        guard let key = try? key(path) else { return }
        replaceStored(key)
        bucket.foreignDelete(key)
    }

    /// Another device has no scruples: what it replaces is gone by its will, and so is what was built on it here.
    private func replaceStored(_ key: ObjectKey) {
        for shown in volume.shown() where shown.location?.key == key && shown.usesBase {
            ledger.release(contents(shown))
        }
        for shown in volume.shown() where shown.location?.key == key { ledger.release(closed[shown.inode]) }
        for slot in slots.values {
            if let shown = volume.shown(slot.open.inode), shown.location?.key == key { ledger.release(contents(shown)) }
        }
        ledger.release(bucket.object(key)?.bytes)
    }

    // MARK: Checks

    private func checkAfterStep() throws {
        if disk.isDead { try crash(power: isPowerCut) }
        if let violation = watch?.violation { throw Broken(text: violation) }
        if let violation = store.violations.first { throw Broken(text: violation) }
        if let violation = server.takeViolations().first { throw Broken(text: violation) }
        guard isExact else { return }
        var (sizes, directories) = ([String: Int64](), Set<String>())
        for shown in volume.shown() {
            if shown.isDirectory { directories.insert(shown.path) } else { sizes[shown.path] = shown.size }
        }
        if let difference = model.difference(sizes: sizes, directories: directories) { throw Broken(text: difference) }
    }

    /// What must be somewhere: on S3, or staged here.
    func checkLedger(_ view: Model.View, _ when: String) throws {
        let found = (Array(stored().values) + view.files.values.compactMap { $0 } + copied()).map(Contents.init)
        if let lost = ledger.lost(Set(found)).first {
            throw Broken(text: "\(Contents.name(lost.bytes)) is lost \(when)")
        }
    }

    /// What files have whose clean bytes are at their own names by now, though the journal does not tell of the copies yet.
    private func copied() -> [[UInt8]] {
        volume.shown().compactMap { shown in
            let copy = (try? key(shown.path)).flatMap(bucket.object)
            return shown.contents { $0.eTag == copy?.eTag ? copy?.bytes : nil }
        }
    }
}
