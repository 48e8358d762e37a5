import Testing

@testable import cognitofs

@Suite("How mount(8) calls")
struct InvocationTests {
    @Test(
        "is translated",
        arguments: [
            (["/sbin/mount.cognitofs", "src", "/mnt"], ["mount", "--", "src", "/mnt"]),
            (["mount.cognitofs", "src", "/mnt", "-o", "rw,user"], ["mount", "-o", "rw,user", "--", "src", "/mnt"]),
            (["mount.cognitofs", "src", "/mnt", "-orw", "-n", "-v"], ["mount", "-o", "rw", "--", "src", "/mnt"]),
            (["mount.cognitofs", "-sfnv", "src", "/mnt"], ["mount", "--sloppy", "--check", "--", "src", "/mnt"]),
            (
                ["mount.cognitofs", "src", "/mnt", "-nro", "a=b"],
                ["mount", "-o", "ro", "-o", "a=b", "--", "src", "/mnt"]
            ),
            (
                ["mount.cognitofs", "src", "/mnt", "-N", "/proc/1/ns/mnt", "-t", "fuse.cognitofs"],
                ["mount", "--", "src", "/mnt"]
            ),
            (
                ["mount.cognitofs", "s3://b/p", "/m t", "-o", "x", "-o", "y"],
                ["mount", "-o", "x", "-o", "y", "--", "s3://b/p", "/m t"]
            ),
            (["mount.cognitofs", "", "/mnt"], ["mount", "--", "", "/mnt"]),
            (
                ["cognitofs", "src", "/mnt", "-o", "rw,nosuid,nodev"],
                ["mount", "-o", "rw,nosuid,nodev", "--", "src", "/mnt"]
            ),
            (["/usr/bin/cognitofs", "s3://b/p", "/mnt"], ["mount", "--", "s3://b/p", "/mnt"]),
        ])
    func translated(arguments: [String], expected: [String]) {
        #expect(Invocation(arguments) == .mountHelper(expected))
    }

    @Test(
        "is told from a person's commands",
        arguments: [
            ["cognitofs"], ["cognitofs", "mount", "a", "b"], ["cognitofs", "status", "/mnt"], ["cognitofs", "bogus"],
            ["cognitofs", "--version"], ["cognitofs", "help", "mount"], ["cognitofs", "bogus", "--flag"],
        ])
    func persons(arguments: [String]) {
        #expect(Invocation(arguments) == .command(Array(arguments.dropFirst())))
    }

    @Test(
        "is refused when it makes no sense",
        arguments: [
            ["mount.cognitofs"], ["mount.cognitofs", "src"], ["mount.cognitofs", "a", "b", "c"],
            ["mount.cognitofs", "a", "b", "-o"],
            ["mount.cognitofs", "a", "b", "-x"],
        ])
    func refused(arguments: [String]) {
        guard case .wrong = Invocation(arguments) else {
            Issue.record("\(Invocation(arguments))")
            return
        }
    }

    @Test("has its own exit codes, and failure is never success")
    func codes() {
        #expect(ExitCode.allCases.allSatisfy { ($0.forMountHelper == 0) == ($0 == .success) })
        #expect(ExitCode.allCases.allSatisfy { [0, 1, 2, 4, 8, 32].contains($0.forMountHelper) })
        #expect(Set(ExitCode.allCases.map(\.meaning)).count == ExitCode.allCases.count)
    }
}

@Suite("The source and the list of mounts")
struct MountPlaceTests {
    @Test("names a bucket and a prefix, or is only a name")
    func sources() throws {
        #expect(try MountPlace(["/mnt"]).source == "cognitofs")
        #expect(try MountPlace(["", "/mnt"]).source == "cognitofs")
        #expect(try MountPlace(["none", "/mnt"]).settings.isEmpty)
        #expect(try MountPlace(["/home/anna/cognitofs", "/mnt"]).source == "cognitofs")
        let place = try MountPlace(["s3://photos/a b/c", "/mnt"])
        #expect(place.settings.map(\.value) == ["photos", "a b/c"])
        #expect(try MountPlace(["s3://photos", "/mnt"]).settings.map(\.value) == ["photos", ""])
    }

    @Test("is refused when it is neither", arguments: ["s3:/photos/x", "s3:///x", "photos/x", "https://h/b", "a b"])
    func refused(source: String) {
        let error = #expect(throws: CommandFailure.self) { try MountPlace([source, "/mnt"]) }
        #expect(error?.code == .usage)
    }

    @Test("is read from mountinfo with its escapes")
    func mountInfo() throws {
        let line =
            #"100 28 0:52 / /home/a\040b/\134x rw,nosuid shared:1 master:2 - fuse.cognitofs s3://b/p\011q rw,user_id=0"#
            + "\n"
        let entry = try #require(Mounts.Entry(mountInfo: line))
        #expect(entry.mountPoint == #"/home/a b/\x"#)
        #expect(entry.source == "s3://b/p\tq")
        #expect(entry.isOurs)
        #expect(Mounts.Entry(mountInfo: "1 2 0:1 / /x rw - ext4 /dev/x rw")?.isOurs == false)
        for bad in ["", "1 2 3", "1 2 0:1 / /x rw -", "- - - - - - -"] { #expect(Mounts.Entry(mountInfo: bad) == nil) }
    }

    @Test("has amounts that a person can read")
    func amounts() {
        #expect(Amounts.bytes(0) == "0 B")
        #expect(Amounts.bytes(1023) == "1023 B")
        #expect(Amounts.bytes(1 << 10) == "1.0 KiB")
        #expect(Amounts.bytes((1 << 20) - 1) == "1.0 MiB")
        #expect(Amounts.bytes(1536 << 20) == "1.5 GiB")
        #expect(Amounts.bytes(150 << 30) == "150 GiB")
        #expect(Amounts.bytes(-5) == "0 B")
    }
}
