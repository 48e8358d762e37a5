import Disk
import SystemPackage

/// A directory of a test's own, removed with what is in it when dropped.
public final class TemporaryDirectory: Sendable {
    public let path: FilePath

    public init() throws(Errno) {
        path = FilePath("/tmp/cognitofs-\(String(UInt64.random(in: 0 ... .max), radix: 16))")
        try Directory.create(path)
    }

    deinit { try? Directory.removeTree(path) }
}
