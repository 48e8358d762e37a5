import FileSystemCore
import Glibc
import HTTPTransport
import Logging
import ObjectStore
import Synchronization
import SystemPackage

/// The first question to S3, asked before anything is mounted, so that what is wrong is said to the person who mounts.
///
/// A space that was mounted here before needs no network and no session: what is known of it is shown, and changes wait.
/// So S3 has a moment to answer for it. What it says after that is logged, and `status` shows it.
final class FirstLook: Sendable {
    /// A known space is mounted within this time of the start, if no server is seen,
    private static let startPatience = Duration.milliseconds(800)
    /// with at least so much of it for the network, however long its state took to read.
    private static let leastPatience = Duration.milliseconds(300)
    /// A server that is connected to may take so long to answer.
    private static let answerPatience = Duration.seconds(3)

    private enum Answer {
        case awaited
        case given(Result<Void, ObjectStoreError>)
        /// The space was mounted without it.
        case missed
    }

    private let volume: Volume
    private let transport: CurlTransport
    private let record: Record
    private let space: String
    private let logger: Logger
    /// Guards only itself.
    private let answer = Mutex(Answer.awaited)

    init(_ parts: MountParts) {
        (volume, transport, space, logger) = (parts.volume, parts.transport, parts.space, parts.logger)
        record = Record(parts.journal)
    }

    /// Asks, and returns when the space can be mounted; throws what keeps it from that. `start`: when the mount began.
    func look(since start: ContinuousClock.Instant) throws(MountFailure) {
        Task { self.take(await self.ask()) }
        let isKnown = volume.isRemembered || record.exists
        let asked = ContinuousClock.now
        while isAwaited, !isKnown || isWorthWaiting(since: asked, start) { usleep(2_000) }
        let given = answer.withLock { answer -> Result<Void, ObjectStoreError>? in
            guard case .given(let result) = answer else {
                answer = .missed
                return nil
            }
            return result
        }
        if case .failure(let error) = given, !isKnown || !(error.isTransient || error.code == .signInNeeded) {
            throw MountFailure(error)
        }
        if let given { note(given) }
        switch given {
        case .success: break
        case .failure(let error) where error.code == .signInNeeded: break
        case .failure, nil:
            volume.noteSilence()
            logger.notice(
                "S3 does not answer: what this machine knows of the space is shown, and changes wait",
                metadata: ["space": "\(space)"])
        }
    }

    private var isAwaited: Bool { answer.withLock { if case .awaited = $0 { true } else { false } } }

    private func isWorthWaiting(since asked: ContinuousClock.Instant, _ start: ContinuousClock.Instant) -> Bool {
        switch transport.reach {
        case .refused: false
        case .unknown: .now < max(start + Self.startPatience, asked + Self.leastPatience)
        case .connected: .now < asked + Self.answerPatience
        }
    }

    private func ask() async -> Result<Void, ObjectStoreError> {
        do throws(ObjectStoreError) {
            return .success(try await volume.begin())
        } catch {
            return .failure(error)
        }
    }

    private func take(_ result: Result<Void, ObjectStoreError>) {
        let isMissed = answer.withLock { answer in
            if case .missed = answer { return true }
            answer = .given(result)
            return false
        }
        guard isMissed else { return }
        note(result)
        if case .failure(let error) = result, !error.isTransient, error.code != .signInNeeded {
            logger.error(
                "S3 does not give this space out; what this machine knows of it is shown",
                metadata: ["space": "\(space)", "reason": "\(error.message)"])
        }
    }

    /// What is to be known of an answer whenever it comes.
    private func note(_ result: Result<Void, ObjectStoreError>) {
        switch result {
        case .success:
            record.make()
            guard volume.report().isBlind else { return }
            logger.warning(
                "This app does not let you list your files (s3:ListBucket is missing): only names you know can be opened"
            )
        case .failure(let error) where error.code == .signInNeeded:
            logger.warning(
                "The sign-in is over: what this machine knows of the space is shown, and changes wait for `cognitofs login`",
                metadata: ["space": "\(space)"])
        case .failure: break
        }
    }

    /// Whether S3 has ever answered for a space: an empty file `reached` in the directory of its journal.
    private struct Record {
        private let path: FilePath

        init(_ journal: FilePath) { path = journal.appending("reached") }

        var exists: Bool { access(path.string, F_OK) == 0 }

        func make() {
            let descriptor = open(path.string, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
            if descriptor >= 0 { close(descriptor) }
        }
    }
}
