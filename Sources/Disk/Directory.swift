import Glibc
import SystemPackage

/// Names on the disk.
public enum Directory {
    /// Makes `path` and what is missing above it, for this user only.
    public static func create(_ path: FilePath) throws(Errno) {
        do throws(Errno) {
            _ = try retrying { mkdir(path.string, 0o700) }
        } catch .fileExists {
            return
        } catch .noSuchFileOrDirectory where !path.removingLastComponent().isEmpty {
            try create(path.removingLastComponent())
            do throws(Errno) {
                _ = try retrying { mkdir(path.string, 0o700) }
            } catch .fileExists {
                return
            }
        }
    }

    /// The names in `path` without `.` and `..`, in no order.
    public static func names(_ path: FilePath) throws(Errno) -> [String] {
        guard let stream = opendir(path.string) else { throw Errno(rawValue: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// Makes a symbolic link.
    public static func link(_ path: FilePath, to target: String) throws(Errno) {
        _ = try retrying { symlink(target, path.string) }
    }

    /// Removes a directory with all that is in it; one that is not there is a success. Follows no links. What others make
    /// there meanwhile goes too, unless they do not stop: `.directoryNotEmpty`.
    public static func removeTree(_ path: FilePath) throws(Errno) {
        for _ in 0..<20 {
            do throws(Errno) {
                return try removeTreeOnce(path)
            } catch .directoryNotEmpty {
                usleep(10_000)
            }
        }
        throw .directoryNotEmpty
    }

    private static func removeTreeOnce(_ path: FilePath) throws(Errno) {
        guard let names = try namesIfPresent(path) else { return }
        for name in names {
            let child = path.appending(name)
            do throws(Errno) {
                try remove(child)
            } catch .isDirectory {
                try removeTreeOnce(child)
            }
        }
        try removeEmpty(path)
    }

    private static func namesIfPresent(_ path: FilePath) throws(Errno) -> [String]? {
        do throws(Errno) {
            return try names(path)
        } catch .noSuchFileOrDirectory {
            return nil
        }
    }

    public static func rename(_ old: FilePath, to new: FilePath) throws(Errno) {
        _ = try retrying { Glibc.rename(old.string, new.string) }
    }

    /// Removes a file; one that is not there is a success.
    public static func remove(_ path: FilePath) throws(Errno) {
        do throws(Errno) {
            _ = try retrying { unlink(path.string) }
        } catch .noSuchFileOrDirectory {
            return
        }
    }

    /// Removes an empty directory; one that is not there is a success.
    public static func removeEmpty(_ path: FilePath) throws(Errno) {
        do throws(Errno) {
            _ = try retrying { rmdir(path.string) }
        } catch .noSuchFileOrDirectory {
            return
        }
    }
}
