import Bytes
import Disk
import Glibc
import SQLite
import Sealing
import SystemPackage

/// One life of the cache: an index and the files it tells of, in a directory of their own, `g-RANDOM`. The link
/// `current` beside it names the one in use.
///
/// A damaged or lost index is never mended: a new generation begins, and the old one is removed in the background. So
/// opening costs the same whatever the cache holds, and no file is ever without its row for long.
final class Generation: Sendable {
    let name: String
    let path: FilePath
    let index: Index
    private let link: FilePath

    private static let linkName = "current"
    static let prefix = "g-"

    private init(_ root: FilePath, _ name: String) throws(SQLiteError) {
        self.name = name
        path = root.appending(name)
        link = root.appending(Self.linkName)
        index = try Index(path.appending("index.sqlite"))
    }

    func filePath(_ name: VersionName) -> FilePath { path.appending(name.folder).appending(name.file) }

    /// False when another process began a new generation, or somebody removed the cache.
    var isCurrent: Bool { Self.target(of: link) == name }

    /// Opens the generation in use, or begins one if there is none, it is `damaged`, or its index cannot be read.
    /// One process at a time; the others wait, not long: `.resourceBusy`.
    static func open(_ root: FilePath, damaged: String? = nil) throws(NotKept) -> Generation {
        try onDisk { () throws(Errno) in try Directory.create(root) }
        let lock = try onDisk { () throws(Errno) in try takeLock(root) }
        defer { lock.unlock() }
        let link = root.appending(linkName)
        if let name = target(of: link), name != damaged, name.hasPrefix(prefix),
            (try? OpenFile.status(of: root.appending(name))) != nil
        {
            do throws(SQLiteError) {
                return try Generation(root, name)
            } catch  where error.isBusy {
                throw .index(error)
            } catch {
                // Damaged, from a newer program, or not readable: a cache is not worth more than a fresh start.
            }
        }
        return try begin(root, link)
    }

    private static func begin(_ root: FilePath, _ link: FilePath) throws(NotKept) -> Generation {
        let name = prefix + Hex.encode(SecureRandom.bytes(8))
        try onDisk { () throws(Errno) in try Directory.create(root.appending(name)) }
        let generation = try inIndex { () throws(SQLiteError) in try Generation(root, name) }
        let temporary = root.appending(linkName + ".new")
        try onDisk { () throws(Errno) in
            try Directory.remove(temporary)
            try Directory.link(temporary, to: name)
            try Directory.rename(temporary, to: link)
        }
        return generation
    }

    private static func takeLock(_ root: FilePath) throws(Errno) -> OpenFile {
        let file = try OpenFile(root.appending("lock"), O_RDWR | O_CREAT)
        for _ in 0..<100 {
            if try file.lock(.exclusive) { return file }
            usleep(20_000)
        }
        throw .resourceBusy
    }

    private static func target(of link: FilePath) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            guard let start = buffer.baseAddress else { return nil }
            let count = readlink(link.string, start, buffer.count)
            guard count > 0, count < buffer.count else { return nil }
            return String(decoding: UnsafeRawBufferPointer(buffer)[..<count], as: UTF8.self)
        }
    }

    /// The generations beside this one.
    func others() throws(Errno) -> [FilePath] {
        let root = path.removingLastComponent()
        return try Directory.names(root).filter { $0.hasPrefix(Self.prefix) && $0 != name }.map { root.appending($0) }
    }

    /// Those beside this one that nobody begins just now: none once another one is in use.
    func superseded() throws(Errno) -> [FilePath] {
        let lock = try Self.takeLock(path.removingLastComponent())
        defer { lock.unlock() }
        return isCurrent ? try others() : []
    }

    /// Opens a version's file, nil when there is none and none is to be made.
    func openFile(_ name: VersionName, creating: Bool) throws(Errno) -> (OpenFile, isReadOnly: Bool)? {
        let path = filePath(name)
        do throws(Errno) {
            return (try OpenFile(path, creating ? O_RDWR | O_CREAT : O_RDWR), false)
        } catch .noSuchFileOrDirectory {
            guard creating else { return nil }
            try Directory.create(path.removingLastComponent())
            return (try OpenFile(path, O_RDWR | O_CREAT), false)
        } catch .readOnlyFileSystem where !creating {
            return (try OpenFile(path, O_RDONLY), true)
        }
    }
}
