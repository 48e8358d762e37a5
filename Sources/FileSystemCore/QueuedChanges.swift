import Bytes
import Disk
import Journal
import Sealing
import SystemPackage

/// What a journal that nobody mounts still has to bring to S3.
public enum QueuedChanges: Sendable, Hashable {
    /// `unclosed`: files that were synced and never closed, which nothing would send.
    case count(Int, unclosed: Int = 0)
    /// A process has the journal: that is to be asked.
    case inUse
    /// There is none, or it was not sealed with this key.
    case none

    /// Looks into the journal in `directory`, which is not changed.
    public init(in directory: FilePath, key: SealingKey?) {
        var (queued, unclosed): (Set<[UInt8]>, Set<[UInt8]>) = ([], [])
        let look = SpaceJournal.look(at: directory, key: key) { name, value in
            switch name.first.flatMap(RowKind.init) {
            case .intent: queued.set(Array(name), value != nil)
            case .node: unclosed.set(Array(name), value.map(Self.isSyncedOnly) ?? false)
            default: break
            }
        }
        self =
            switch look {
            case .read: .count(queued.count, unclosed: unclosed.count)
            case .inUse: .inUse
            case .none: .none
            }
    }

    private static func isSyncedOnly(_ row: ArraySlice<UInt8>) -> Bool {
        var reader = ByteReader(row)
        guard let file = try? NodeRow(&reader).file, let synced = file.synced else { return false }
        return !synced.isClosed && synced.generation > file.closed?.generation ?? 0
    }
}

extension Set {
    fileprivate mutating func set(_ element: Element, _ isMember: Bool) {
        if isMember { insert(element) } else { remove(element) }
    }
}
