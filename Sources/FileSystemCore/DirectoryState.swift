/// What is in a directory of the view, and how much of it S3 was asked for.
struct DirectoryState: Sendable {
    private(set) var children: [EntryName: InodeNumber] = [:]
    /// Those of the children that are directories, so that nobody has to look at each of many files for them.
    private(set) var subdirectories: Set<InodeNumber> = []
    /// When a complete listing of this directory began, on the volume's clock; nil: never.
    var listedAt: Duration?
    /// How long that took, where it was more than one page of names; else zero.
    var listingTime = Duration.zero
    /// A marker object exists on S3.
    var hasMarker = false
    /// Names that S3 was asked for by themselves and does not have, and when.
    var absentAt: [EntryName: Duration] = [:]
    /// S3 was asked for the attributes that the marker keeps.
    var hasAsked = false
    /// When a directory in this one was last listed, which, and how many were without a pause: signs of a walker.
    var walkedAt: Duration?
    var walkedTo: InodeNumber?
    var walkCount = 0
    /// Lookups that had to ask S3 since the last complete listing.
    var probeCount = 0

    mutating func link(_ inode: InodeNumber, _ name: EntryName, isDirectory: Bool) {
        if let former = children.updateValue(inode, forKey: name) { subdirectories.remove(former) }
        if isDirectory { subdirectories.insert(inode) }
    }

    /// All names, in the order of their inodes.
    var entries: [(name: EntryName, inode: InodeNumber)] {
        children.map { (name: $0.key, inode: $0.value) }.sorted { $0.inode.value < $1.inode.value }
    }

    /// Does nothing where the name is another's by now.
    mutating func unlink(_ inode: InodeNumber, _ name: EntryName) {
        guard children[name] == inode else { return }
        children[name] = nil
        subdirectories.remove(inode)
    }
}
