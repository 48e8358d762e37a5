import ArgumentParser
import Glibc
import MountRuntime
import Settings
import Synchronization

struct MountCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mount", abstract: "Mount the space on a directory; returns when the directory answers.",
        usage: "cognitofs mount [SOURCE] DIR [-o OPTIONS] [--foreground] ...",
        discussion: """
            SOURCE may be s3://BUCKET/PREFIX. Otherwise the settings say what is mounted, and SOURCE is only a name for the \
            list of mounts.
            """)

    @Argument(help: "[SOURCE] DIR", completion: .directory)
    var places: [String]

    @OptionGroup var settings: SettingsArguments

    @Flag(help: "Stay in the foreground and log to standard error.")
    var foreground = false

    @Option(help: ArgumentHelp("Another S3 server than AWS's.", valueName: "url"))
    var endpoint: String?

    @Option(help: "The bucket's region.")
    var region: String?

    @Option(help: ArgumentHelp("cognito or environment: where AWS credentials come from.", valueName: "kind"))
    var credentials: String?

    @Option(help: ArgumentHelp("Keep cached files here.", valueName: "directory"), completion: .directory)
    var cacheDir: String?

    @Flag(help: .hidden)
    var sloppy = false

    @Flag(help: .hidden)
    var check = false

    func validate() throws {
        guard (1...2).contains(places.count) else { throw ValidationError("Give [SOURCE] and DIR, and nothing else.") }
    }

    func run() throws {
        let place = try MountPlace(places)
        let loaded = try load(place)
        guard let mountPoint = Mounts.absolute(place.directory) else {
            let reason = errno == ENOENT ? "doesn't exist. Make it with mkdir." : String(cString: strerror(errno)) + "."
            throw CommandFailure(.mount, "The mount point \(place.directory) \(reason)")
        }
        try MountPlace.checkDirectory(mountPoint)
        if check { return }
        let pipe = ReadyPipe(environment: Surroundings.environment)
        guard foreground || pipe != nil else {
            try DaemonStart.start(daemonArguments(mountPoint, loaded))
            return Self.tellSignIn(mountPoint, loaded.paths.stateRoot)
        }
        try stay(loaded.settings, mountPoint, place.source, pipe)
    }

    /// Mounted without a session, as far as this machine knows the space.
    private static func tellSignIn(_ mountPoint: String, _ stateRoot: String) {
        guard let client = Mounts.client(mountPoint, stateRoot: stateRoot), let status = try? client.status(),
            status.state == .needsSignIn
        else { return }
        Console.note(
            "The sign-in is over: \(mountPoint) shows what this machine knows, and changes wait. Run `cognitofs login`."
        )
    }

    private func load(_ place: MountPlace) throws -> LoadedSettings {
        let named = [
            ("s3_endpoint", endpoint), ("region", region), ("credentials", credentials), ("directory", cacheDir),
        ].compactMap { name, value in value.map { (name: name, value: $0) } }
        var loaded = try settings.load(flags: named + place.settings, ignoringUnknown: sloppy)
        try EnvironmentCredentials.complete(&loaded.settings, Surroundings.environment)
        do {
            try loaded.settings.validate()
        } catch {
            throw loaded.explained(error)
        }
        return loaded
    }

    /// This process is the daemon, or is to look like one that stays in the foreground.
    private func stay(
        _ settings: MountSettings, _ mountPoint: String, _ source: String, _ pipe: ReadyPipe?
    ) throws -> Never {
        // All paths are absolute by now, and no directory must stay busy because of us.
        if pipe != nil { _ = chdir("/") }
        let told = Mutex<MountFailure?>(nil)
        var result: Result<Int32, any Error> = .success(0)
        do {
            let code = try Mount.run(
                settings: settings, mountPoint: mountPoint, source: source, foreground: pipe == nil,
                ready: { failure in
                    told.withLock { $0 = failure }
                    guard let failure else { return pipe?.reportReady() ?? () }
                    pipe?.reportFailure(failure.message, exit: ExitCode(failure.kind).rawValue)
                })
            result = .success(code)
        } catch {
            result = .failure(error)
        }
        try end(result, told: told.withLock { $0 }, pipe)
    }

    /// Says once what went wrong: to the one who started us, or on the terminal in the foreground.
    private func end(_ result: Result<Int32, any Error>, told: MountFailure?, _ pipe: ReadyPipe?) throws -> Never {
        switch result {
        case .success(let code):
            if code != 0, pipe == nil, let told { throw told }
            leave(code)
        case .failure(let error):
            guard let pipe else { throw error }
            let failure = CommandFailure(error) ?? CommandFailure(.internalError, "\(error)")
            pipe.reportFailure(failure.message, exit: failure.code.rawValue)
            leave(failure.code.rawValue)
        }
    }

    /// The same mount for a process that stays, with every path from the root.
    private func daemonArguments(_ mountPoint: String, _ loaded: LoadedSettings) -> [String] {
        let flags: [(String, String?)] = [
            ("--config", loaded.file), ("--endpoint", endpoint), ("--region", region), ("--credentials", credentials),
            ("--cache-dir", cacheDir.map { _ in loaded.settings.cacheDirectory }),
            ("--state-dir", settings.stateDir.map { _ in loaded.settings.stateDirectory }),
        ]
        var words = ["mount"]
        for (name, value) in flags { words += value.map { [name, $0] } ?? [] }
        for option in settings.options { words += ["-o", option] }
        if sloppy { words.append("--sloppy") }
        return words + ["--"] + places.dropLast() + [mountPoint]
    }
}
