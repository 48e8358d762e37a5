import Journal
import ObjectStore
import SystemPackage
import Testing

@testable import FileSystemCore

@Suite struct ValueTests {
    @Test("A base that is written down is as it was then, and with the changes since as it is now")
    func written() throws {
        let (prefix, below) = (try #require(KeyPrefix("s/")), try #require(KeyPrefix("s/d/")))
        var base = Base(root: prefix)
        func set(_ prefix: KeyPrefix, _ text: String, _ tag: String?) throws {
            let name = try #require(EntryName(Array(text.utf8)))
            let key = try #require(ObjectKey(prefix.bytes + name.bytes))
            let object = tag.map {
                ObjectSummary(version: ObjectVersion(key: key, eTag: ETag($0)), size: 1, lastModified: 0)
            }
            base.set(prefix, name, to: object)
        }
        // More than stands in one batch.
        for number in 0..<2000 { try set(below, "\(number)", "1") }
        try set(below, "a", "1")
        let first = base.takeChanges()
        let copy = base
        try set(below, "a", nil)
        try set(below, "0", "2")
        try set(prefix, "c", "1")
        let second = base.takeChanges()
        var rows = RowBatch()
        var count = 0
        try copy.writeRows {
            rows.append($0)
            count += 1
        }
        #expect(count > 1 && rows.rows == first.rows)
        rows.append(second)
        var now = RowBatch()
        try base.writeRows { now.append($0) }
        #expect(rows.rows == now.rows && now.rows != first.rows)
    }

    @Test("A directory knows which of its children are directories, whatever is added, moved, replaced and removed")
    func subdirectories() throws {
        let options = VolumeOptions(prefix: try #require(KeyPrefix("s/")), uid: 0, gid: 0)
        let attributes = VolumeState.attributes(options, isDirectory: true, modified: Timestamp(seconds: 0))
        var tree = Tree(prefix: options.prefix, rootAttributes: attributes)
        func add(_ parent: InodeNumber, _ name: String, isDirectory: Bool) throws -> InodeNumber {
            let name = try #require(EntryName(Array(name.utf8)))
            return tree.add(
                parent, name, isDirectory ? .directory(DirectoryState()) : .file(FileState()), attributes)
        }
        func expect(_ parent: InodeNumber, _ directories: Set<InodeNumber>, count: Int) {
            #expect(tree[parent]?.directory?.subdirectories == directories)
            #expect(tree[parent]?.directory?.children.count == count)
        }
        let (a, b) = (try add(.root, "a", isDirectory: true), try add(.root, "b", isDirectory: true))
        let file = try add(.root, "file", isDirectory: false)
        expect(.root, [a, b], count: 3)
        tree.move(b, to: a, try #require(tree[b]?.name))
        tree.move(file, to: a, try #require(tree[file]?.name))
        expect(.root, [a], count: 1)
        expect(a, [b], count: 2)
        // Under one name after another, and a file in a directory's place.
        tree.move(file, to: a, try #require(tree[b]?.name))
        expect(a, [], count: 1)
        let c = try add(a, "c", isDirectory: true)
        expect(a, [c], count: 2)
        tree.detach(c)
        tree.detach(c)
        expect(a, [], count: 1)
        tree.detach(a)
        expect(.root, [], count: 0)
    }

    @Test("Names that Linux or S3 cannot hold are refused with the errno that says why")
    func names() {
        func errno(_ bytes: [UInt8]) -> Errno? {
            do throws(Errno) {
                _ = try EntryName(FileName(bytes))
                return nil
            } catch { return error }
        }
        #expect(errno(Array(repeating: 97, count: 256)) == .fileNameTooLong)
        #expect(errno([0xFF]) == .illegalByteSequence)
        #expect(errno(Array("..".utf8)) == .invalidArgument && errno([]) == .invalidArgument)
        #expect(errno(Array(repeating: 97, count: 255)) == nil)
    }

    @Test("A conflict's name keeps the extension, stays a name, and differs from the file's")
    func conflictNames() throws {
        let suffix = " (conflict from desk 2026-01-02 03.04.05)"
        func inserted(_ name: String) throws -> String {
            try #require(EntryName(Array(name.utf8))).inserting(suffix).description
        }
        #expect(try inserted("a.jpg") == "a\(suffix).jpg")
        #expect(try inserted(".profile") == ".profile\(suffix)")
        for name in [
            String(repeating: "é", count: 127), "1." + String(repeating: "長", count: 80),
            String(repeating: "x", count: 255),
        ] {
            let made = try inserted(name)
            #expect(made != name && made.utf8.count <= 255 && made.contains("(conflict from desk"))
        }
    }

    @Test(
        "Times are decimal seconds, also before 1970, and come back as they were",
        arguments: [
            (Int64(0), Int32(0), "0"), (1_700_000_000, 500_000_000, "1700000000.5"), (-1, 500_000_000, "-0.5"),
            (-2, 999_999_999, "-1.000000001"), (-2_177_452_800, 0, "-2177452800"), (1, 1, "1.000000001"),
        ])
    func times(_ seconds: Int64, _ nanoseconds: Int32, _ text: String) {
        let time = Timestamp(seconds: seconds, nanoseconds: nanoseconds)
        #expect(time.decimal == text)
        #expect(Timestamp(decimal: text) == time)
    }

    @Test("What is no time is none", arguments: ["", "x", "1.", "--5", "1e9", "99999999999999999999", "1.x"])
    func noTimes(_ text: String) { #expect(Timestamp(decimal: text) == nil) }

    @Test("Extended attributes survive packing whatever they hold; another program's are left alone")
    func xattrs() {
        var attributes = StoredAttributes()
        attributes.xattrs = ["user.a=b&c%": Array(0...255), "user.empty": [], "user.ä": [1]]
        var metadata = ["other": "kept"]
        attributes.write(to: &metadata)
        #expect(metadata["xattr"]?.utf8.allSatisfy { $0 > 32 && $0 < 127 } == true)
        #expect(StoredAttributes(metadata) == attributes && metadata["other"] == "kept")
        StoredAttributes().write(to: &metadata)
        #expect(metadata == ["other": "kept"])
        metadata["xattr"] = "%7B%22s3fs%22%3A1%7D"
        StoredAttributes().write(to: &metadata)
        #expect(metadata["xattr"] == "%7B%22s3fs%22%3A1%7D")
    }

    @Test("Parts cover a file without gaps, at the same places whatever its size")
    func parts() {
        var end: Int64 = 0
        for index in 0..<PartNumber.maximum {
            let range = PartPlan.range(index)
            #expect(range.lowerBound == end)
            #expect(PartPlan.index(range.lowerBound) == index && PartPlan.index(range.upperBound - 1) == index)
            end = range.upperBound
        }
        #expect(end == PartPlan.largestObject && PartPlan.count(end) == PartNumber.maximum)
        #expect(PartPlan.count(0) == 0 && PartPlan.count(1) == 1)
    }

    @Test("A reader in sequence gets growing windows; one that jumps gets what it asks for")
    func readAhead() {
        var reader = ReadAhead()
        let size: Int64 = 1 << 30
        var ends: [Int64] = []
        for index in 0..<8 {
            ends.append(reader.plan(offset: Int64(index) << 17, count: 1 << 17, size: size).upperBound)
        }
        #expect(ends == ends.sorted() && ends[7] - (8 << 17) > ends[1] - (2 << 17))
        let jump = reader.plan(offset: 900 << 20, count: 4096, size: size)
        #expect(jump.lowerBound == 900 << 20 && jump.count == 4096)
        var small = ReadAhead()
        let whole = small.plan(offset: 10, count: 1, size: 1000)
        #expect(whole == 0..<1000)
    }

    @Test("Keys that cannot be names are hidden with their reason, and a name that is both is a directory")
    func base() throws {
        let prefix = try #require(KeyPrefix("s/"))
        func object(_ key: String) throws -> ObjectSummary {
            ObjectSummary(
                version: ObjectVersion(key: try #require(ObjectKey(key)), eTag: ETag("e")), size: 0, lastModified: 0)
        }
        let long = String(repeating: "n", count: 256)
        var directory = Base.Directory()
        directory.add(
            ListPage(
                objects: [
                    try object("s/"), try object("s/a"), try object("s/.."), try object("s/b"), try object("s/x\0"),
                ],
                commonPrefixes: ["s/b/", "s//", "s/\(long)/", "s/./"].map { Array($0.utf8) }, continuation: nil),
            below: prefix)
        directory.settle(below: prefix)
        #expect(directory.objects.keys.map(\.description) == ["a"])
        #expect(directory.directories.map(\.description) == ["b"])
        #expect(directory.marker != nil)
        let reasons = Dictionary(uniqueKeysWithValues: directory.hidden.map { ($0.key.description, $0.value) })
        #expect(
            reasons == [
                "s/..": .dots, "s/b": .besideDirectory, "s/x\0": .nul, "s//": .emptyComponent, "s/\(long)/": .tooLong,
                "s/./": .dots,
            ])
        // One that is deleted holds its directory up no longer.
        var base = Base(root: prefix)
        base.replace(prefix, with: directory)
        #expect(base.hiddenCount == 6)
        base.set(prefix, try #require(EntryName(Array("b".utf8))), to: nil)
        #expect(base.hiddenCount == 5)
    }

    @Test("Every failure has an errno that a program understands", arguments: ObjectStoreError.Code.allCases)
    func errnos(_ code: ObjectStoreError.Code) {
        let expected: [ObjectStoreError.Code: Int32] = [
            .accessDenied: 13, .notFound: 2, .noSuchBucket: 19, .noSuchUpload: 2, .preconditionFailed: 116,
            .sourceChanged: 116, .signInNeeded: 127, .unreachable: 101, .unavailable: 16, .corrupted: 5,
            .tooLarge: 27, .archived: 13, .unsupported: 95, .invalidAnswer: 5, .cancelled: 4,
        ]
        #expect(ObjectStoreError(code, "").errno.rawValue == expected[code])
    }

    @Test("A change hides its key and all above it from older listings, until it is settled and listed anew")
    func overlay() throws {
        var overlay = Overlay(committer: Committer())
        let place = Place(prefix: try #require(KeyPrefix("s/d/")), name: EntryName(Array("f".utf8)))
        let before = overlay.beginListing()
        let id = overlay.add(.put, key: Space.key("d/f"), inode: nil, place: place, now: .zero)
        let during = overlay.beginListing()
        let keys = ["s/d/f", "s/d/", "s/"].map { Array($0.utf8) }
        for key in keys { #expect(overlay.hidesListing(key, since: during) && overlay.hasPending(key)) }
        #expect(!overlay.hidesListing(Array("s/e".utf8), since: before))
        let intent = try #require(overlay.committer.intent(id))
        overlay.finished(intent, .done, now: .zero, jitter: 0)
        for key in keys { #expect(overlay.hidesListing(key, since: during) && !overlay.hasPending(key)) }
        let after = overlay.beginListing()
        for key in keys { #expect(!overlay.hidesListing(key, since: after)) }
    }
}
