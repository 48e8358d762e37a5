import FileSystemCore

/// One thing to tell the kernel.
enum Notification: Equatable {
    case entry(parent: InodeNumber, name: FileName)
    case deletion(parent: InodeNumber, child: InodeNumber, name: FileName)
    case inode(InodeNumber, data: Bool)
}

/// What waits to be told, in order, within bounds.
///
/// At `limit` waiting names, a further name becomes an invalidation of its directory, of which there is at most one: the
/// kernel then reads the directory anew, and shows a changed name at the latest when its entry timeout is over. At
/// `limit` waiting inodes, a further inode is dropped: it shows at the latest when its attribute timeout is over.
struct NotificationBacklog {
    private let limit: Int
    private var waiting: [Notification] = []
    /// Where each waiting inode is in `waiting`.
    private var inodes: [InodeNumber: Int] = [:]
    private var nameCount: Int { waiting.count - inodes.count }
    /// Notifications that found no room since the last `takeAll`.
    private(set) var droppedCount = 0

    init(limit: Int) {
        self.limit = limit
    }

    var isEmpty: Bool { waiting.isEmpty }

    mutating func add(_ notification: Notification) {
        switch notification {
        case .entry(let parent, _), .deletion(let parent, _, _):
            if nameCount < limit {
                waiting.append(notification)
            } else {
                addInode(parent, data: true)
            }
        case .inode(let inode, let data):
            addInode(inode, data: data)
        }
    }

    /// All of it, in order; the backlog is empty then.
    mutating func takeAll() -> [Notification] {
        let all = waiting
        waiting = []
        inodes = [:]
        droppedCount = 0
        return all
    }

    private mutating func addInode(_ inode: InodeNumber, data: Bool) {
        if let index = inodes[inode], case .inode(_, let before) = waiting[index] {
            waiting[index] = .inode(inode, data: before || data)
        } else if inodes.count < limit {
            inodes[inode] = waiting.count
            waiting.append(.inode(inode, data: data))
        } else {
            droppedCount += 1
        }
    }
}
