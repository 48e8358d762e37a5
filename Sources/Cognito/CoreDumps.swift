import CProcess
import Glibc

/// Keeps the memory of this process out of files: call it first in every command that touches secrets.
public enum CoreDumps {
    /// No crash of this process or its children writes a core file, and no other process of the user may read its memory.
    ///
    /// A limit of one byte, not none: the kernel ignores a limit of zero when cores are piped to a program
    /// (`core_pattern` with `|`), and takes one as "never" (core(5), fs/coredump.c). Clearing the dumpable flag also
    /// makes the files below /proc/PID belong to root; a process may still open its own `/proc/self/fd`, and
    /// fusermount3 starts with a flag of its own.
    public static func disable() {
        var limit = rlimit(rlim_cur: 1, rlim_max: 1)
        if setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit) != 0 {
            limit = rlimit(rlim_cur: 0, rlim_max: 0)
            _ = setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &limit)
        }
        _ = cprocess_forbid_dumps()
    }
}
