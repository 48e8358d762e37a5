import Glibc
import Synchronization
import Testing

@testable import MountRuntime
@testable import cognitofs

/// A mount that has something to upload, and says so as often as it is let.
private final class Target: ControlTarget {
    private let rounds = Mutex(0)
    let mountPoint: String
    let state: MountStatus.State

    init(_ mountPoint: String, state: MountStatus.State = .mounted, journal: String = "/s/journal/1") {
        self.mountPoint = mountPoint
        self.state = state
        self.journal = journal
    }

    var progressCalls: Int { rounds.withLock { $0 } }

    func status() -> MountStatus {
        MountStatus(
            mountPoint: mountPoint, source: "cognitofs", user: "anna", identityID: "eu-west-1:1",
            space: "s3://photos/p/",
            state: state, cacheBytes: 1 << 30, cacheLimit: 10 << 30, pending: 2,
            pendingBytes: 1 << 20, uploading: [.init(path: "a\u{1B}[2Jb.jpg", bytes: 1 << 20, total: 2 << 20)],
            failed: [.init(path: "c.jpg", kind: "contents", reason: "Access denied")], failedCount: 7,
            diskTrouble: "No space left on device", journal: journal, hidden: 1, lastError: nil, pid: getpid(),
            version: "1")
    }

    func sync(path: String?, progress: (SyncProgress) -> Bool) throws {
        if path == "broken" { throw MountFailure(.accessDenied, "S3 refuses c.jpg.") }
        for left in stride(from: path == "endless" ? 1_000_000 : 3, to: 0, by: -1) {
            rounds.withLock { $0 += 1 }
            guard progress(.init(pendingChanges: left, pendingBytes: Int64(left) << 20, sentBytes: 0)) else { return }
        }
    }

    let journal: String
    private let yields = Mutex(0)
    private let discards = Mutex<[String]>([])
    var yieldCount: Int { yields.withLock { $0 } }
    var discarded: [String] { discards.withLock { $0 } }

    func retry(path: String) -> Int { path == "c.jpg" || path.isEmpty ? 1 : 0 }

    func discard(path: String, isRehearsal: Bool) throws -> GivenUpChanges {
        if path == "open" { throw MountFailure(.temporary, "open is open for writing. Close it and try again.") }
        if !isRehearsal { discards.withLock { $0.append(path) } }
        return GivenUpChanges(
            path == "same"
                ? [] : [.init(path: path, kind: "contents", bytes: 3 << 20), .init(path: "d", kind: "name", bytes: 0)])
    }

    func yield() { yields.withLock { $0 += 1 } }

    func pending() -> SyncProgress { .init(pendingChanges: 2, pendingBytes: 5, sentBytes: 0, current: "b.jpg") }
}

@Suite("The control socket", .serialized)
struct ControlTests {
    private struct Site {
        let room: Program.Room
        let directory: ControlSocketDirectory
        let target: Target
        let server: ControlServer

        init(
            times: ControlServer.Times = .init(),
            peerUser: @escaping @Sendable (Int32) -> uid_t? = { ControlPeer.user(of: $0) }
        ) throws {
            room = try Program.Room()
            mkdir(room.path + "/mnt", 0o700)
            directory = try ControlSocketDirectory.usable([.init(path: room.path + "/run")])
            target = Target(room.path + "/mnt")
            server = try ControlServer(
                mountPoint: target.mountPoint, in: directory, target: target, times: times, peerUser: peerUser)
        }

        func client() throws -> ControlClient {
            guard let client = ControlClient(mountPoint: target.mountPoint, in: [directory]) else {
                throw MountFailure(.notMounted, "no client")
            }
            return client
        }

        func raw() throws -> Int32 {
            try #require(ControlClient.connect(directory, ControlSocketDirectory.socketName(for: target.mountPoint)))
        }
    }

    private func send(_ bytes: [UInt8], _ descriptor: Int32) {
        _ = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    }

    /// What the server says before it closes.
    private func rest(_ descriptor: Int32) -> String { Program.readAll(descriptor) }

    @Test("closes on frames that are malformed, too large or cut short, and goes on with others")
    func malformed() throws {
        let site = try Site()
        defer { site.server.stop() }
        let frames: [([UInt8], Bool)] = [
            ([0, 0, 0, 0], true), ([0, 0, 0, 2] + Array("{}".utf8), true), ([0, 0, 0, 4, 0xFF, 0xFE, 0, 1], true),
            ([0, 0x10, 0, 1], true), ([0xFF, 0xFF, 0xFF, 0xFF], true),
            ([0, 0, 0, 17] + Array("{\"destroy\":{\"a\":1}}".utf8).prefix(17), true), ([0, 0], false),
            ([0, 0, 0, 9, 1], false),
        ]
        for (frame, isAnswered) in frames {
            let descriptor = try site.raw()
            send(frame, descriptor)
            shutdown(descriptor, Int32(SHUT_WR))
            #expect(rest(descriptor).contains("no request this version knows") == isAnswered, "\(frame)")
        }
        try site.client().ping()
    }

    @Test("gives up on a client that sends half a frame, or nothing")
    func slow() throws {
        let site = try Site(times: .init(frame: .milliseconds(50), idle: .milliseconds(50)))
        defer { site.server.stop() }
        let (silent, half) = (try site.raw(), try site.raw())
        send([0, 0, 0, 9, 1], half)
        #expect(rest(silent).isEmpty)
        #expect(rest(half).isEmpty)
    }

    @Test("answers nobody but the owner and root")
    func strangers() throws {
        let site = try Site(peerUser: { _ in 12_345 })
        defer { site.server.stop() }
        let descriptor = try site.raw()
        #expect(rest(descriptor).isEmpty)
        #expect(throws: MountFailure.self) { try site.client().ping() }
        #expect(ControlPeer.isAllowed(1000, owner: 1000))
        #expect(ControlPeer.isAllowed(0, owner: 1000))
        #expect(!ControlPeer.isAllowed(1001, owner: 1000))
        let own = try Site()
        defer { own.server.stop() }
        let connected = try own.raw()
        #expect(ControlPeer.user(of: connected) == geteuid())
        close(connected)
    }

    @Test("is closed to others on disk")
    func modes() throws {
        let site = try Site()
        defer { site.server.stop() }
        var facts = stat()
        #expect(stat(site.directory.path, &facts) == 0 && facts.st_mode & 0o777 == 0o700)
        let socket = site.directory.path + "/" + ControlSocketDirectory.socketName(for: site.target.mountPoint)
        #expect(stat(socket, &facts) == 0 && facts.st_mode & 0o777 == 0o600)
    }

    @Test("turns away the seventeenth client and takes another when one has gone")
    func crowd() throws {
        let site = try Site()
        defer { site.server.stop() }
        var crowd = try (0..<ControlServer.mostClients).map { _ in try site.raw() }
        // Each has been admitted once it is answered.
        for descriptor in crowd {
            send([0, 0, 0, 11] + Array("{\"ping\":{}}".utf8), descriptor)
            var head = [UInt8](repeating: 0, count: 4)
            #expect(recv(descriptor, &head, 4, Int32(MSG_WAITALL)) == 4)
        }
        #expect(rest(try site.raw()).isEmpty)
        close(crowd.removeLast())
        let deadline = ContinuousClock.now + .seconds(20)
        var isBack = false
        while !isBack, ContinuousClock.now < deadline { isBack = (try? site.client().ping()) != nil }
        #expect(isBack)
        for descriptor in crowd { close(descriptor) }
    }

    @Test("tells status and progress, and why S3 refuses")
    func answers() throws {
        let site = try Site()
        defer { site.server.stop() }
        #expect(try site.client().status() == site.target.status())
        #expect(try site.client().pending().current == "b.jpg")
        var seen: [Int] = []
        try site.client().sync(path: nil) { progress in
            seen.append(progress.pendingChanges)
            return true
        }
        #expect(seen == [3, 2, 1])
        let failure = #expect(throws: MountFailure.self) { try site.client().sync(path: "broken") { _ in true } }
        #expect(failure == MountFailure(.accessDenied, "S3 refuses c.jpg."))
    }

    @Test("stops telling progress when the client has gone")
    func gone() throws {
        let site = try Site()
        defer { site.server.stop() }
        #expect(throws: MountFailure.self) { try site.client().sync(path: "endless") { _ in false } }
        let before = site.target.progressCalls
        #expect(before < 1_000_000)
        try site.client().ping()
    }

    @Test("belongs to one live mount, and the socket of a dead one is replaced")
    func ownership() throws {
        let site = try Site()
        let failure = #expect(throws: MountFailure.self) {
            try ControlServer(mountPoint: site.target.mountPoint, in: site.directory, target: site.target)
        }
        #expect(failure?.message.contains("is mounted already") == true)
        site.server.stop()
        site.server.stop()
        let name = ControlSocketDirectory.socketName(for: site.target.mountPoint)
        let dead = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #expect(ControlSocketAddress.with(site.directory, name, { bind(dead, $0, $1) }) == 0)
        close(dead)
        #expect(site.directory.socketNames() == [name])
        let again = try ControlServer(mountPoint: site.target.mountPoint, in: site.directory, target: site.target)
        try site.client().ping()
        again.stop()
    }

    @Test("of a dead mount is dropped from the list; a path of any length will do")
    func scanning() throws {
        let room = try Program.Room()
        let deep = room.path + "/" + String(repeating: "d", count: 150)
        let directory = try ControlSocketDirectory.usable([.init(path: "/proc/none"), .init(path: deep)])
        #expect(directory.path == deep)
        let target = Target("/m")
        let server = try ControlServer(mountPoint: "/m", in: directory, target: target)
        defer { server.stop() }
        let dead = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        #expect(
            ControlSocketAddress.with(directory, ControlSocketDirectory.socketName(for: "/n"), { bind(dead, $0, $1) })
                == 0)
        close(dead)
        #expect(directory.socketNames().count == 2)
        #expect(ControlClient.all(in: [directory]).map(\.mountPoint) == ["/m"])
        #expect(directory.socketNames().count == 1)
    }

    @Test("is not put where others could reach it")
    func wrongDirectory() throws {
        let room = try Program.Room()
        symlink("/tmp", room.path + "/link")
        #expect(throws: MountFailure.self) { try ControlSocketDirectory.usable([.init(path: room.path + "/link")]) }
        mkdir(room.path + "/wide", 0o777)
        _ = try ControlSocketDirectory.usable([.init(path: room.path + "/wide")])
        var facts = stat()
        #expect(stat(room.path + "/wide", &facts) == 0 && facts.st_mode & 0o077 == 0)
    }

    @Test("is looked for where it can be, for root and for others")
    func candidates() {
        let user = ControlSocketDirectory.candidates(
            environment: ["XDG_RUNTIME_DIR": "/run/user/7"], stateRoot: "/s", userID: 7)
        #expect(user.map(\.path) == ["/run/user/7/cognitofs", "/s/run"])
        let root = ControlSocketDirectory.candidates(environment: ["XDG_RUNTIME_DIR": "/x"], stateRoot: "/s", userID: 0)
        #expect(root.map(\.path) == ["/run/cognitofs", "/s/run"])
    }

    @Test("is what status and sync speak to, and a name from a server can't steer the terminal")
    func commands() throws {
        let site = try Site()
        defer { site.server.stop() }
        let mount = site.target.mountPoint
        let text = try site.room.run(["status", mount])
        #expect(text.code == 0)
        #expect(text.output.contains("1.0 GiB of 10.0 GiB"))
        #expect(text.output.contains("contents of c.jpg: Access denied"))
        #expect(text.output.contains("and 6 more"))
        #expect(text.output.contains("2 changes, 1.0 MiB"))
        #expect(text.output.contains("takes no more changes (No space left on device): make room for /s/journal/1"))
        #expect(!text.output.contains("\u{1B}"))
        #expect(try site.room.run(["status", "--json"]).output.contains("\"mountPoint\" : \"\(mount)\""))
        let sync = try site.room.run(["sync", mount])
        #expect(sync.code == 0)
        #expect(sync.error.contains("3 changes to go, 3.0 MiB"))
        try site.room.write("", to: "mnt/broken")
        let broken = try site.room.run(["sync", mount + "/broken"])
        #expect(broken.code == ExitCode.accessDenied.rawValue)
        #expect(broken.error.contains("S3 refuses c.jpg."))
    }

    @Test("is what retry and discard speak to, and nothing is given up without a yes")
    func queueCommands() throws {
        let site = try Site()
        defer { site.server.stop() }
        let mount = site.target.mountPoint
        #expect(try site.room.run(["retry"]).output == "Trying 1 change again.\n")
        #expect(try site.room.run(["retry", mount + "/d"]).output == "Nothing was refused there.\n")
        // There is no terminal: nobody can be asked.
        let unasked = try site.room.run(["discard", mount + "/a.jpg"])
        #expect(unasked.code == ExitCode.usage.rawValue)
        #expect(unasked.error.contains("gives up 2 changes with 3.0 MiB that are nowhere else"))
        #expect(site.target.discarded.isEmpty)
        #expect(try site.room.run(["discard", "--yes", mount + "/open"]).code == ExitCode.temporary.rawValue)
        let done = try site.room.run(["discard", "--yes", mount + "/gone/../a.jpg"])
        #expect(done.code == ExitCode.notMounted.rawValue)
        let given = try site.room.run(["discard", "--yes", mount + "/a.jpg"])
        #expect(given.code == 0)
        #expect(given.output.contains("contents, 3.0 MiB  a.jpg\n"))
        #expect(site.target.discarded == ["a.jpg"])
        #expect(try site.room.run(["discard", mount + "/same"]).output.contains("S3 has everything"))
        #expect(try site.room.run(["discard", "--yes", site.room.path]).code == ExitCode.notMounted.rawValue)
    }

    @Test("of a draining process goes by its journal, and leaves the directory to the next mount")
    func draining() throws {
        let site = try Site()
        defer { site.server.stop() }
        #expect(!Self.isDraining(site))
        site.server.leaveMountPoint(draining: "/s/journal/1")
        let next = try ControlServer(mountPoint: site.target.mountPoint, in: site.directory, target: site.target)
        #expect(site.directory.socketNames().count == 2)
        #expect(Self.isDraining(site))
        #expect(site.target.yieldCount == 1)
        site.server.stop()
        #expect(site.directory.socketNames() == [ControlSocketDirectory.socketName(for: site.target.mountPoint)])
        next.stop()
    }

    /// Found by its journal, and asked to end.
    private static func isDraining(_ site: Site) -> Bool {
        guard let process = ControlClient.draining("/s/journal/1", in: [site.directory]) else { return false }
        return (try? process.yield()) != nil
    }

    @Test("time left is told only when it is known, and waiting says for what")
    func timeLeft() {
        var rate = UploadRate()
        let start = ContinuousClock.now
        func going(_ sent: Int64, _ state: MountStatus.State = .mounted) -> SyncProgress {
            .init(pendingChanges: 1, pendingBytes: 100 - sent, sentBytes: sent, state: state)
        }
        #expect(rate.timeLeft(going(0), now: start) == nil)
        #expect(rate.timeLeft(going(5), now: start + .seconds(1)) == nil)
        #expect(rate.timeLeft(going(20), now: start + .seconds(2)) == .seconds(8))
        #expect(rate.timeLeft(going(20, .offline), now: start + .seconds(3)) == nil)
        #expect(rate.timeLeft(going(20), now: start + .seconds(60)) == nil)
        #expect(ProgressLine.sentence(going(0), left: .seconds(150)) == "1 change to go, 100 B, about 3 min left")
        #expect(ProgressLine.sentence(going(0, .offline)) == "1 change to go, 100 B, waiting for the network")
    }

    @Test("time left is that of the slower: many small changes, or many bytes")
    func timeLeftOfChanges() {
        let start = ContinuousClock.now
        func left(_ changes: (Int, Int), _ bytes: (Int64, Int64)) -> Duration? {
            var rate = UploadRate()
            _ = rate.timeLeft(
                .init(pendingChanges: changes.0, pendingBytes: bytes.0, sentBytes: 0, state: .mounted), now: start)
            return rate.timeLeft(
                .init(
                    pendingChanges: changes.1, pendingBytes: bytes.1, sentBytes: bytes.0 - bytes.1, state: .mounted),
                now: start + .seconds(10))
        }
        // Ten renames a second, and nothing to send.
        #expect(left((1000, 900), (0, 0)) == .seconds(90))
        #expect(left((1000, 900), (1000, 500)) == .seconds(90))
        #expect(left((3, 2), (1000, 900)) == .seconds(90))
        #expect(left((1, 1), (1000, 500)) == .seconds(10))
        // Nothing goes, or more comes than goes.
        #expect(left((1000, 900), (1000, 1000)) == nil)
        #expect(left((10, 20), (0, 0)) == nil)
    }

    @Test("progress is a bar as wide as the terminal at most")
    func bar() {
        let half = SyncProgress(pendingChanges: 1, pendingBytes: 1 << 20, sentBytes: 1 << 20, current: "b\u{7}.jpg")
        #expect(ProgressLine.bar(half, columns: 80) == "[##########----------]  1 change to go, 1.0 MiB  b\u{FFFD}.jpg")
        #expect(ProgressLine.bar(half, columns: 40).count == 39)
        let done = SyncProgress(pendingChanges: 0, pendingBytes: 0, sentBytes: 0)
        #expect(ProgressLine.bar(done, columns: 80).hasPrefix("[####################]"))
    }
}

@Suite("The word that a mount in the background gives")
struct ReadyPipeTests {
    @Test(
        "counts only when it is one",
        arguments: [
            "", "{}", "{\"ready\":false}", "{\"error\":\"x\"}", "{\"error\":\"x\",\"exit\":0}", "ready", "{\"exit\":3}",
        ])
    func noWord(line: String) {
        #expect(ReadyPipe.Report(line: Array(line.utf8)) == nil)
    }

    @Test("is given once, and only to a pipe")
    func once() throws {
        #expect(ReadyPipe(environment: [:]) == nil)
        #expect(ReadyPipe(environment: [ReadyPipe.variable: "999"]) == nil)
        #expect(ReadyPipe(environment: [ReadyPipe.variable: "1"]) == nil)
        let ends = try Program.Pipe()
        let pipe = try #require(ReadyPipe(environment: [ReadyPipe.variable: "\(ends.write)"]))
        pipe.reportFailure("It didn't work.", exit: 71)
        pipe.reportFailure("Again.", exit: 1)
        let line = Program.readAll(ends.read)
        #expect(ReadyPipe.Report(line: Array(line.utf8)) == .init(error: "It didn't work.", exit: 71))
    }

    @Test("comes from a new process whose failure is the command's own")
    func daemon() throws {
        let room = try Program.Room()
        mkdir(room.path + "/dir", 0o700)
        let outcome = try room.run(
            ["mount", "s3://photos/x", "dir-is-absolute-below", "--credentials", "environment"],
            extra: ["AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1"])
        #expect(outcome.code == ExitCode.mount.rawValue)
        // No server answers there, whatever else a mount does first.
        let unreachable = try room.run(
            [
                "mount", "s3://photos/x", room.path + "/dir", "--credentials", "environment", "--endpoint",
                "http://127.0.0.1:1",
                "--state-dir", room.path + "/state", "--cache-dir", room.path + "/cache",
            ],
            extra: [
                "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1",
            ])
        #expect(unreachable.code == ExitCode.network.rawValue)
        #expect(unreachable.error.hasPrefix("cognitofs: "))
        #expect(unreachable.error.split(separator: "\n").count == 1)
    }
}
