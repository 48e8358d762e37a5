import Glibc

/// How many files this process may have open.
enum OpenFiles {
    /// Raises the limit as far as it goes without privileges: each changed file that S3 does not have yet holds one, and
    /// the usual 1024 is meant for programs that call select(2).
    static func raiseLimit() {
        var limit = rlimit()
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(resource, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(resource, &limit)
    }
}
