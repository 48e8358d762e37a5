import BlockCache
import Bytes
import FileSystemCore
import FuseBinding
import Glibc
import HTTPTransport
import Journal
import Logging
import ObjectStore
import S3
import Sealing
import Settings
import SystemPackage

/// The parts of one mount, put together.
final class MountParts: Sendable {
    let settings: MountSettings
    let mountPoint: String
    let source: String
    let identity: Identity
    /// `s3://BUCKET/PREFIX`.
    let space: String
    let cache: BlockCache?
    /// The directory of the space's journal.
    let journal: FilePath
    let volume: Volume
    let session: FuseSession
    let control: ControlSocketDirectory
    let logger: Logger
    let transport: CurlTransport
    /// When the mount began.
    let start: ContinuousClock.Instant

    init(_ settings: MountSettings, mountPoint: String, source: String, logger: Logger) throws(MountFailure) {
        start = .now
        self.settings = settings
        self.mountPoint = mountPoint
        self.logger = logger
        let environment = Self.environment
        let paths = StatePaths(settings, Directories(environment: environment))
        transport = try Self.transport(settings, logger)
        identity = try Identity.resolve(settings, paths, transport, logger)
        let prefix = try Self.prefix(settings, identity.identityID)
        space = "s3://\(settings.bucket)/\(prefix)"
        self.source = source.isEmpty ? space : source
        let store = try Self.store(settings, identity, transport, logger)
        let key = settings.sealCache ? identity.key : nil
        let spaceID = settings.s3Endpoint + "\n" + settings.bucket + "\n" + prefix.description
        cache = Self.openCache(settings, paths, key, spaceID, logger)
        journal = Self.journal(paths, spaceID)
        let sockets = ControlSocketDirectory.candidates(environment: environment, stateRoot: paths.stateRoot)
        volume = try Self.openVolume(
            Self.options(settings, prefix), store, cache, key, logger,
            JournalTurn(journal: journal.string, space: space, directories: sockets))
        control = try ControlSocketDirectory.usable(sockets)
        do {
            session = try FuseSession(
                fileSystem: volume,
                options: FuseOptions(
                    source: self.source, allowOther: settings.allowOther, readOnly: settings.readOnly,
                    kernelOptions: settings.kernelOptions), logger: logger)
        } catch {
            throw MountFailure(error)
        }
    }

    private static var environment: [String: String] {
        var found: [String: String] = [:]
        var item = environ
        while let text = item.pointee {
            let pair = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 { found[String(pair[0])] = String(pair[1]) }
            item += 1
        }
        return found
    }

    private static func transport(_ settings: MountSettings, _ logger: Logger) throws(MountFailure) -> CurlTransport {
        do {
            return try CurlTransport(
                CurlTransport.Configuration(
                    connectionsPerHost: settings.connections, caFile: settings.caFile.isEmpty ? nil : settings.caFile,
                    userAgent: "cognitofs/\(programVersion)"), logger: logger)
        } catch {
            throw MountFailure(.configuration, "The network can't be used: \(error)")
        }
    }

    private static func prefix(_ settings: MountSettings, _ identityID: String) throws(MountFailure) -> KeyPrefix {
        let text = settings.prefix.replacing("{identity_id}", with: identityID)
        guard let prefix = KeyPrefix(text.isEmpty || text.hasSuffix("/") ? text : text + "/") else {
            throw MountFailure(
                .configuration, "The prefix \(settings.prefix) is too long or not UTF-8; correct the setting prefix.")
        }
        return prefix
    }

    private static func store(
        _ settings: MountSettings, _ identity: Identity, _ transport: CurlTransport, _ logger: Logger
    ) throws(MountFailure) -> S3ObjectStore {
        do {
            let endpoint =
                try settings.s3Endpoint.isEmpty
                ? S3Endpoint.aws()
                : S3Endpoint.custom(url: settings.s3Endpoint, allowInsecure: settings.allowInsecure)
            return S3ObjectStore(
                endpoint: endpoint, bucket: settings.bucket, region: settings.region,
                credentials: identity.credentials, transport: transport, logger: logger)
        } catch {
            throw MountFailure(.configuration, error.message)
        }
    }

    /// A disk that cannot keep a cache costs speed, not the mount.
    private static func openCache(
        _ settings: MountSettings, _ paths: StatePaths, _ key: SealingKey?, _ space: String, _ logger: Logger
    ) -> BlockCache? {
        guard settings.cacheSize > 0 else { return nil }
        do {
            return try BlockCache(
                directory: FilePath(paths.cache), key: key, limit: settings.cacheSize, space: space, logger: logger)
        } catch {
            logger.warning("Files are not kept on this disk", metadata: ["reason": "\(error)"])
            return nil
        }
    }

    /// Takes the space's journal over, from a process that still uploads if need be.
    private static func openVolume(
        _ options: VolumeOptions, _ store: S3ObjectStore, _ cache: BlockCache?, _ key: SealingKey?, _ logger: Logger,
        _ turn: consuming JournalTurn
    ) throws(MountFailure) -> Volume {
        while true {
            do throws(JournalUnavailable) {
                return try Volume(
                    options: options, store: store, cache: cache, journal: FilePath(turn.journal), key: key,
                    logger: logger)
            } catch {
                guard error.reason == .inUse else { throw MountFailure(.disk, "\(error)") }
                try turn.wait()
            }
        }
    }

    /// Each space has a journal of its own. Its folder's name tells nothing of whose it is.
    private static func journal(_ paths: StatePaths, _ space: String) -> FilePath {
        let digest = SHA256.hash(Array(space.utf8))
        return FilePath(paths.journal).appending(Hex.encode(Array(digest.prefix(16))))
    }

    private static func options(_ settings: MountSettings, _ prefix: KeyPrefix) -> VolumeOptions {
        var options = VolumeOptions(
            prefix: prefix, uid: settings.uid ?? geteuid(), gid: settings.gid ?? getegid())
        if let umask = settings.umask {
            options.filePermissions = 0o666 & ~umask
            options.directoryPermissions = 0o777 & ~umask
        }
        options.durability = settings.durability == .local ? .local : .remote
        options.freshness = .seconds(settings.freshness)
        if settings.quota > 0 { options.quota = UInt64(settings.quota) }
        options.memory = settings.memory
        options.hostName = hostName
        return options
    }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 65)
        guard gethostname(&name, 64) == 0 else { return "this-machine" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
