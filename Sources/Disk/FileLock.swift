import CDisk
import Glibc
import SystemPackage

/// Locks between processes. None of these waits: a process that is stopped while it holds a lock stops nobody else.
extension OpenFile {
    public enum LockMode: Sendable { case shared, exclusive }

    /// Locks the whole file as flock(2) does, until unlocked or closed. False when another open of it is in the way.
    public func lock(_ mode: LockMode) throws(Errno) -> Bool {
        do throws(Errno) {
            _ = try retrying { flock(descriptor, (mode == .shared ? LOCK_SH : LOCK_EX) | LOCK_NB) }
            return true
        } catch .resourceTemporarilyUnavailable {
            return false
        }
    }

    public func unlock() {
        // Unlocking an open descriptor cannot fail.
        _ = flock(descriptor, LOCK_UN)
    }

    /// Locks a byte range against other opens of the file (an open file description lock, fcntl(2); independent of
    /// `lock`). Threads that share this object do not exclude each other. An empty range reaches to the end of the file.
    public func lockRange(_ range: Range<Int64>, _ mode: LockMode) throws(Errno) -> Bool {
        do throws(Errno) {
            try setRangeLock(range, Int16(mode == .shared ? F_RDLCK : F_WRLCK))
            return true
        } catch .resourceTemporarilyUnavailable {
            return false
        } catch .permissionDenied {
            // POSIX lets a lock that is taken be told by either.
            return false
        }
    }

    public func unlockRange(_ range: Range<Int64>) {
        // Fails only when the kernel has no memory to split a range, which unlocking what was locked does not.
        try? setRangeLock(range, Int16(F_UNLCK))
    }

    private func setRangeLock(_ range: Range<Int64>, _ type: Int16) throws(Errno) {
        var lock = flock()
        lock.l_type = type
        lock.l_whence = Int16(SEEK_SET)
        lock.l_start = off_t(range.lowerBound)
        lock.l_len = off_t(range.count)
        _ = try retrying { fcntl(descriptor, cognitofs_set_description_lock, &lock) }
    }
}
