import Glibc
import SystemPackage

/// fusermount3, which mounts and unmounts for those who are not root.
enum Fusermount {
    private static let name = "fusermount3"

    /// Where it is: Debian's place first, then the search path.
    static func find() -> String? {
        let searched = getenv("PATH").map { String(cString: $0) } ?? ""
        let directories = ["/usr/bin"] + searched.split(separator: ":").map(String.init)
        return directories.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// Takes the mount at `path` away lazily. False when it could not.
    static func detach(_ path: FilePath) -> Bool {
        guard let program = find() else { return false }
        var child = pid_t()
        let arguments = [program, "-u", "-q", "-z", "--", path.string]
        let status = withArguments(arguments) { posix_spawn(&child, program, nil, nil, $0, environ) }
        guard status == 0 else { return false }
        var result: Int32 = 0
        while waitpid(child, &result, 0) < 0 {
            guard errno == EINTR else { return false }
        }
        return result == 0
    }

    /// Lends `arguments` as C wants them, with a null pointer at the end.
    static func withArguments<R>(
        _ arguments: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R
    ) -> R {
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
        pointers.append(nil)
        defer { for pointer in pointers { free(pointer) } }
        return pointers.withUnsafeMutableBufferPointer { all in
            guard let start = all.baseAddress else { preconditionFailure("a list without its end") }
            return body(start)
        }
    }
}
