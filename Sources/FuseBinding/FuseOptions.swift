/// How a session is mounted and run.
public struct FuseOptions: Sendable {
    /// The file system's type in /proc/self/mountinfo is `fuse.` and this.
    public static let subtype = "cognitofs"

    /// What is mounted, as `mount` and `df` show it.
    public var source: String
    /// Users other than the one who mounted may enter. An ordinary user needs `user_allow_other` in /etc/fuse.conf.
    public var allowOther: Bool
    public var readOnly: Bool
    /// Further mount options that the kernel knows for every file system, such as `noexec`. `nosuid` and `nodev` are
    /// always set unless `suid` or `dev` is given here.
    public var kernelOptions: [String]
    /// Bytes in the largest read and write request, a multiple of the page size, 1 MiB at the most.
    public var transferLimit: Int
    /// Bytes that the kernel reads ahead; above 128 KiB only when root mounts.
    public var readAheadLimit: Int
    /// Threads that take requests from the kernel.
    public var threadLimit: Int
    /// Notifications that may wait for the kernel to take them.
    public var notificationLimit: Int
    /// Where the work of answers that come later runs; nil: Swift's own pool. It must not run a job inside `enqueue`.
    public var executor: (any TaskExecutor)?

    public init(
        source: String, allowOther: Bool = false, readOnly: Bool = false, kernelOptions: [String] = [],
        transferLimit: Int = 1 << 20, readAheadLimit: Int = 1 << 20, threadLimit: Int = 10,
        notificationLimit: Int = 16_384, executor: (any TaskExecutor)? = nil
    ) {
        self.source = source
        self.allowOther = allowOther
        self.readOnly = readOnly
        self.kernelOptions = kernelOptions
        self.transferLimit = transferLimit
        self.readAheadLimit = readAheadLimit
        self.threadLimit = threadLimit
        self.notificationLimit = notificationLimit
        self.executor = executor
    }

    /// What the kernel's mount flags are called; every other name is refused.
    private static let knownKernelOptions: Set<String> = [
        "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "async", "sync", "dirsync", "atime", "noatime",
    ]

    /// As arguments of fuse_session_new(3), program name first.
    func arguments() throws(FuseError) -> [String] {
        guard !source.isEmpty, !source.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else {
            throw FuseError(.optionInvalid, "the mount's source must be a text without control characters")
        }
        guard (4096...1 << 20).contains(transferLimit), transferLimit % 4096 == 0, readAheadLimit >= 0 else {
            throw FuseError(.optionInvalid, "a transfer takes 4096 to 1048576 bytes, in whole pages")
        }
        var all = ["default_permissions", "subtype=\(Self.subtype)", "max_read=\(transferLimit)"]
        all.append("fsname=" + escaped(source))
        if allowOther { all.append("allow_other") }
        for option in kernelOptions {
            guard Self.knownKernelOptions.contains(option) else {
                throw FuseError(.optionInvalid, "mount option \(option) is not known")
            }
            all.append(option)
        }
        if readOnly { all.append("ro") }
        return ["cognitofs"] + all.flatMap { ["-o", $0] }
    }

    /// Commas end an option and a backslash escapes, so both are escaped.
    private func escaped(_ value: String) -> String {
        var result = ""
        for character in value {
            if character == "," || character == "\\" { result.append("\\") }
            result.append(character)
        }
        return result
    }
}
