import Disk
import Journal
import Sealing
import SystemPackage

/// What a journal that nobody mounts still has to bring to S3.
public enum QueuedChanges: Sendable, Hashable {
    case count(Int)
    /// A process has the journal: that is to be asked.
    case inUse
    /// There is none, or it was not sealed with this key.
    case none

    /// Looks into the journal in `directory`, which is not changed.
    public init(in directory: FilePath, key: SealingKey?) {
        var queued: Set<[UInt8]> = []
        let look = SpaceJournal.look(at: directory, key: key) { name, value in
            guard name.first == RowKind.intent.rawValue else { return }
            if value == nil { queued.remove(Array(name)) } else { queued.insert(Array(name)) }
        }
        self =
            switch look {
            case .read: .count(queued.count)
            case .inUse: .inUse
            case .none: .none
            }
    }
}
