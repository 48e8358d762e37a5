import CMalloc
import Journal
import ObjectStore
import Testing

@testable import FileSystemCore

/// What is known of an object is kept as long as the volume lives, so it has to be little.
@Suite struct MemoryTests {
    @Test("A node is small, whatever is added to what only some of them have")
    func node() {
        #expect(MemoryLayout<Node?>.stride <= 176)
        #expect(MemoryLayout<SeenObject?>.stride <= 40)
    }

    @Test("Nodes come and go under any numbers, and no copy sees what becomes of another")
    func table() throws {
        let attributes = NodeAttributes(
            permissions: 0o644, uid: 1, gid: 2, accessed: Timestamp(seconds: 3), modified: Timestamp(seconds: 3),
            changed: Timestamp(seconds: 3))
        var table = NodeTable()
        let numbers: [UInt64] = [1, 63, 64, 1 << 32, (1 << 32) + 1, 1 << 61]
        for number in numbers + numbers {
            table.insert(
                Node(
                    inode: InodeNumber(number), parent: .root, name: .root, kind: .directory(DirectoryState()),
                    attributes: attributes))
        }
        #expect(table.count == numbers.count)
        let name = try #require(EntryName(Array("name".utf8)))
        let before = table
        table[.root]?.directory?.link(InodeNumber(64), name, isDirectory: false)
        table[.root]?.attributes.uid = 5
        table[.root]?.attributes.isDirty = true
        table.remove(InodeNumber(63))
        table.remove(InodeNumber(63))
        table[InodeNumber(63)]?.lookupCount += 1
        #expect(table[.root]?.directory?.children == [name: InodeNumber(64)])
        #expect(table[.root]?.attributes.uid == 5 && table[.root]?.attributes.isDirty == true)
        #expect(before[.root]?.directory?.children == [:] && before[.root]?.attributes.uid == 1)
        #expect(Set(table.values.map(\.inode.value)) == Set(numbers).subtracting([63]))
        #expect(before.values.map(\.inode.value).sorted() == numbers)
        for number in numbers { table.remove(InodeNumber(number)) }
        #expect(table.count == 0 && Array(table.values).isEmpty)
    }

    @Test("A listed file that somebody opens is still the one that was listed, and a new listing takes its place")
    func opened() throws {
        let prefix = try #require(KeyPrefix("space/d/"))
        let (name, key) = (try #require(EntryName(Array("a".utf8))), try #require(ObjectKey("space/d/a")))
        func listed(_ tag: String) -> ListedFile {
            let version = ObjectVersion(key: key, eTag: ETag(tag))
            return ListedFile(
                prefix: prefix, name: name,
                object: SeenObject(ObjectSummary(version: version, size: 7, lastModified: 0, isArchived: true)))
        }
        let attributes = NodeAttributes(
            permissions: 0, uid: 0, gid: 0, accessed: Timestamp(seconds: 0), modified: Timestamp(seconds: 0),
            changed: Timestamp(seconds: 0))
        var node = Node(
            inode: InodeNumber(2), parent: .root, name: name, kind: .listed(listed("1")), attributes: attributes)
        #expect(node.ownFile == nil && !node.isDirectory && node.directory == nil)
        node.file?.openCount += 1
        // Where it is on S3 does not follow its name here.
        node.name = try #require(EntryName(Array("b".utf8)))
        let file = try #require(node.ownFile)
        #expect(file.openCount == 1 && file.size == 7 && file.baseSize == 7 && file.isArchived && !file.isDirty)
        #expect(file.location == ObjectVersion(key: key, eTag: ETag("1")) && file.identity == file.location)
        #expect(node.stands(on: listed("1")) && !node.stands(on: listed("2")))
        node.show(listed("2"))
        #expect(node.ownFile == nil && node.file?.openCount == 0 && node.file?.location?.eTag == ETag("2"))
        #expect(node.stands(on: listed("2")) && !node.stands(on: listed("1")) && node.size == 7)
    }

    /// Most ETags are the MD5 of the bytes, which is kept shorter than it is written.
    @Test(
        "An ETag that is kept comes back as it was",
        arguments: [
            "0123456789abcdef0123456789abcdef", "0123456789ABCDEF0123456789abcdef", "0123456789abcdef0123456789abcde",
            "0123456789abcdef0123456789abcdef-2", "", "g123456789abcdef0123456789abcdef", "\"x\"",
            "ffffffffffffffffffffffffffffffff", "0000000000000000000000000000000é",
        ])
    func eTag(text: String) throws {
        let version = ObjectVersion(key: try #require(ObjectKey("k")), eTag: ETag(text))
        let object = ObjectSummary(version: version, size: 1 << 40, lastModified: -1, isArchived: true)
        #expect(SeenObject(object).summary(at: version.key) == object)
    }

    /// In a process of its own, where nobody else allocates.
    @Test("An object that was listed takes at most 400 bytes, in base and view together", arguments: [1000, 20_000])
    func listed(perDirectory: Int) async {
        await #expect(processExitsWith: .success) { [perDirectory] in
            let count = 20_000
            let options = VolumeOptions(prefix: try #require(KeyPrefix("space/")), uid: 0, gid: 0)
            var state = VolumeState(options: options, now: Timestamp(seconds: 0))
            let before = Self.allocated
            for directory in 0..<count / perDirectory {
                let name = try #require(EntryName(Array("d\(directory)".utf8)))
                let inode = state.addListedDirectory(.root, name)
                let prefix = try #require(state.tree.keyPrefix(inode))
                // The second time nothing is new.
                for _ in 0..<2 {
                    let listed = try Self.listing(of: prefix, perDirectory)
                    state.adopt(listed, as: inode, prefix, since: 0, startedAt: .seconds(1))
                }
                _ = state.takeRows()
            }
            state.notices = []
            let taken = Self.allocated - before
            #expect(state.tree.nodes.count > count)
            #expect(taken / count <= 400, "\(taken / count) bytes")
        }
    }

    private static func listing(of prefix: KeyPrefix, _ count: Int) throws -> Base.Directory {
        var directory = Base.Directory()
        for number in 0..<count {
            let digits = String(number + 1_000_000)
            let key = try #require(ObjectKey(prefix.bytes + Array("IMG_\(digits).jpg".utf8)))
            let eTag = ETag(String(repeating: "0", count: 32 - digits.utf8.count) + digits)
            let object = ObjectSummary(
                version: ObjectVersion(key: key, eTag: eTag), size: 1, lastModified: 1_700_000_000)
            directory.add(ListPage(objects: [object], commonPrefixes: [], continuation: nil), below: prefix)
        }
        directory.settle(below: prefix)
        return directory
    }

    /// Bytes that the process has from malloc, all of its arenas.
    private static var allocated: Int {
        let information = mallinfo2()
        return Int(information.uordblks + information.hblkhd)
    }
}
