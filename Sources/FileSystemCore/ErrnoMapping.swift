import ObjectStore
import SystemPackage

extension ObjectStoreError {
    /// EKEYEXPIRED, which swift-system does not name.
    static let keyExpired = Errno(rawValue: 127)

    /// What a program sees (docs/SEMANTICS.md, "errno").
    var errno: Errno {
        switch code {
        case .accessDenied, .archived: .permissionDenied
        case .notFound, .noSuchUpload: .noSuchFileOrDirectory
        case .noSuchBucket: Errno(rawValue: 19)  // ENODEV, which swift-system does not name
        case .preconditionFailed, .sourceChanged: .staleNFSFileHandle
        case .signInNeeded: Self.keyExpired
        case .unreachable: .networkUnreachable
        case .unavailable: .resourceBusy
        case .corrupted, .invalidAnswer: .ioError
        case .tooLarge: .fileTooLarge
        case .unsupported: .notSupported
        case .cancelled: .interrupted
        }
    }
}
