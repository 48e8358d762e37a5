import ObjectStore

/// One file, directory or symbolic link of the view.
///
/// There is one for each object that was ever listed, and of most of them nothing is known but what the listing told: that
/// stands in the node itself, in short. What belongs to directories, to files that were opened or changed, and to those whose
/// attributes were asked for or set, is out of line.
struct Node: Sendable {
    let inode: InodeNumber
    /// Where it hangs. A detached node (unlinked, or replaced by a foreign version while open) keeps its last place.
    var parent: InodeNumber
    var name: EntryName
    /// How often the kernel was told this inode and has not forgotten it.
    var lookupCount: UInt64 = 0
    /// When S3 was last seen to hold exactly this, apart from a listing of the directory.
    var seenAt: Duration?
    /// False once no name leads here.
    var isLinked = true
    /// Set for symbolic links whose target has been read.
    var linkTarget: [UInt8]?
    /// A file that nobody here has opened or changed, which has no `fileState`.
    private var listed: ListedFile?
    private var fileState = OutOfLine<FileState>()
    private var directoryState = OutOfLine<DirectoryState>()
    /// The attributes, where there are no `fullAttributes`.
    private var plainAttributes = PlainAttributes()
    private var fullAttributes = OutOfLine<NodeAttributes>()

    /// Exactly one of file, directory and symbolic link.
    enum Kind: Sendable {
        /// As S3 has it.
        case listed(ListedFile)
        case file(FileState)
        case directory(DirectoryState)
        case symbolicLink(FileState, target: [UInt8])
    }

    init(inode: InodeNumber, parent: InodeNumber, name: EntryName, kind: Kind, attributes: NodeAttributes) {
        self.inode = inode
        self.parent = parent
        self.name = name
        switch kind {
        case .listed(let file): listed = file
        case .file(let state): fileState = OutOfLine(state)
        case .directory(let state): directoryState = OutOfLine(state)
        case .symbolicLink(let state, let target):
            fileState = OutOfLine(state)
            linkTarget = target
        }
        self.attributes = attributes
    }

    /// Set for files and symbolic links. Made anew at each look where only a listing tells of it: `ownFile` and `size` are
    /// the quick way over many nodes.
    var file: FileState? {
        get { listed.map { FileState(clean: $0) } ?? fileState.value }
        _modify {
            if let listed { fileState = OutOfLine(FileState(clean: listed)) }
            listed = nil
            yield &fileState.value
        }
    }

    /// The file, where more is known of it than a listing tells. Without this it is neither open nor changed.
    var ownFile: FileState? { fileState.value }

    /// Set for directories.
    var directory: DirectoryState? {
        get { directoryState.value }
        _modify { yield &directoryState.value }
    }

    var attributes: NodeAttributes {
        get { fullAttributes.value ?? NodeAttributes(plainAttributes) }
        set {
            if let plain = PlainAttributes(newValue) {
                (plainAttributes, fullAttributes) = (plain, OutOfLine())
            } else {
                fullAttributes.value = newValue
            }
        }
    }

    /// S3 has another version of a file now.
    mutating func show(_ file: ListedFile) {
        listed = file
        fileState = OutOfLine()
        linkTarget = nil
    }

    var isDirectory: Bool { !directoryState.isEmpty }

    /// Bytes, as stat(2) shows it.
    var size: Int64 {
        if let linkTarget { return Int64(linkTarget.count) }
        return listed?.object.size ?? fileState.value?.size ?? 4096
    }

    /// True for a file in an archive tier, which cannot be read.
    var isArchived: Bool { listed?.object.isArchived ?? fileState.value?.isArchived ?? false }

    /// True for a file whose clean bytes are this version.
    func stands(on file: ListedFile) -> Bool {
        if let listed { return listed.hasVersion(of: file) }
        return fileState.value?.location == file.version
    }

    var fileType: UInt32 {
        if isDirectory { return FileMode.directory }
        return linkTarget != nil ? FileMode.symbolicLink : FileMode.regular
    }
}

/// A file as S3 has it.
struct ListedFile: Sendable {
    /// That of the directory, which all of its files share.
    let prefix: KeyPrefix
    let name: EntryName
    let object: SeenObject

    /// Nil only where it would be over the longest key, so not for what S3 has told.
    var version: ObjectVersion? {
        ObjectKey(prefix.bytes + name.bytes).map { ObjectVersion(key: $0, eTag: object.eTag) }
    }

    func hasVersion(of other: ListedFile) -> Bool {
        name == other.name && prefix == other.prefix && object.hasVersion(of: other.object)
    }
}

/// The bits of `st_mode` (inode(7)).
enum FileMode {
    static let typeMask: UInt32 = 0o170000
    static let regular: UInt32 = 0o100000
    static let directory: UInt32 = 0o040000
    static let symbolicLink: UInt32 = 0o120000
    static let permissionMask: UInt32 = 0o7777
    static let setUserID: UInt32 = 0o4000
    static let setGroupID: UInt32 = 0o2000
    static let groupExecute: UInt32 = 0o0010
}
