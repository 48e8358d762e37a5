/// One call of an `ObjectStore`, as the doubles log it and as fault scripts see it.
public struct StoreCall: Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Hashable, Sendable, CaseIterable {
        case list, head, get, put, copy, delete, createUpload, uploadPart, copyPart, completeUpload, abortUpload

        /// The call changes what others see when it succeeds.
        public var isWrite: Bool {
            switch self {
            case .put, .copy, .delete, .completeUpload: true
            case .list, .head, .get, .createUpload, .uploadPart, .copyPart, .abortUpload: false
            }
        }
    }

    public let kind: Kind
    /// The key, or the prefix of a listing; the destination of a copy.
    public let name: String
    /// The bytes asked for or sent; 0 where there are none.
    public let byteCount: Int

    public init(_ kind: Kind, _ name: String, byteCount: Int = 0) {
        self.kind = kind
        self.name = name
        self.byteCount = byteCount
    }

    public var description: String { "\(kind) \(name)" }
}
