import Glibc
import SQLite
import Synchronization
import SystemPackage

/// What is in the cache, how large it is and when it was used: one SQLite database that all mounts of the directory
/// share. Losing it costs the cached bytes and nothing else.
///
/// A file's `charged` is what it may take on the disk: raised before bytes are written, lowered after they are gone. So
/// the sum is never less than what is there, whenever a process dies.
final class Index: Sendable {
    // One call at a time, each a few microseconds of SQLite. Never taken with another lock of the cache but a file's
    // own writing lock and the eviction lock held.
    private let connection: Mutex<Connection>
    private let path: FilePath

    private static let schema = """
        -- One row for each file of the generation's directory.
        --   name         the VersionName
        --   charged      bytes that the file takes or may take on the disk
        --   used_at      when it was last read or written, nanoseconds since 1970
        --   incarnation  tells a file from a later one of the same name, which may be made while this one is evicted
        CREATE TABLE files (
            name BLOB PRIMARY KEY, charged INTEGER NOT NULL, used_at INTEGER NOT NULL, incarnation INTEGER NOT NULL
        ) WITHOUT ROWID;
        CREATE INDEX files_by_use ON files (used_at);
        -- One row: the sum of all `charged`, kept by the triggers; and the boot in which the files were last compared
        -- with the rows, '' for never.
        CREATE TABLE state (total INTEGER NOT NULL, boot TEXT NOT NULL);
        INSERT INTO state VALUES (0, '');
        CREATE TRIGGER files_added AFTER INSERT ON files BEGIN
            UPDATE state SET total = total + new.charged; END;
        CREATE TRIGGER files_removed AFTER DELETE ON files BEGIN
            UPDATE state SET total = total - old.charged; END;
        CREATE TRIGGER files_charged AFTER UPDATE OF charged ON files BEGIN
            UPDATE state SET total = total + new.charged - old.charged; END;
        """

    /// Opens or makes the database. Throws an error that `isCorrupt` when it cannot be used.
    init(_ path: FilePath) throws(SQLiteError) {
        self.path = path
        var connection = try Connection(path, busyTimeout: .milliseconds(250))
        // NORMAL: a power cut may lose the latest rows, never the database. Checkpoints, which wait for the disk, are
        // made in the background; the limit of 64 MiB is for when that does not keep up.
        try connection.execute(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 16384")
        try connection.migrate([Self.schema])
        guard try connection.first("SELECT total FROM state", row: { $0.integer(0) }) != nil else {
            throw SQLiteError(code: 11, message: "the index has no state row")
        }
        self.connection = Mutex(connection)
    }

    struct File: Sendable {
        var name: VersionName
        var charged: Int64
        var usedAt: Int64
        var incarnation: Int64
    }

    /// Nanoseconds since 1970.
    static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    func total() throws(SQLiteError) -> Int64 {
        try locked { (db) throws(SQLiteError) in try Self.total(&db) }
    }

    private static func total(_ db: inout Connection) throws(SQLiteError) -> Int64 {
        try db.first("SELECT total FROM state") { $0.integer(0) } ?? 0
    }

    /// The row's incarnation, nil when there is none.
    func incarnation(_ name: VersionName) throws(SQLiteError) -> Int64? {
        try locked { (db) throws(SQLiteError) in
            try db.first("SELECT incarnation FROM files WHERE name = ?", .blob(name.bytes)) { $0.integer(0) }
        }
    }

    enum Reservation: Sendable { case done, overLimit, overShare, lost }

    /// Adds `count` to what a file is charged, if that keeps the total within `limit` and the file within `share`.
    /// `.lost` when the row is gone: the file was evicted.
    func reserve(
        _ count: Int64, _ name: VersionName, _ incarnation: Int64, limit: Int64, share: Int64
    ) throws(SQLiteError) -> Reservation {
        try locked { (db) throws(SQLiteError) in
            try db.transaction { (db) throws(SQLiteError) in
                let charged = try db.first(
                    "SELECT charged FROM files WHERE name = ? AND incarnation = ?", .blob(name.bytes),
                    .integer(incarnation)
                ) { $0.integer(0) }
                guard let charged else { return .lost }
                if charged + count > share { return .overShare }
                if try Self.total(&db) + count > limit { return .overLimit }
                try db.run(
                    "UPDATE files SET charged = charged + ?, used_at = ? WHERE name = ?", .integer(count),
                    .integer(Self.now()), .blob(name.bytes))
                return .done
            }
        }
    }

    /// Gives back what was reserved and not used, or used and freed.
    func release(_ count: Int64, _ name: VersionName, _ incarnation: Int64) throws(SQLiteError) {
        _ = try locked { (db) throws(SQLiteError) in
            try db.run(
                "UPDATE files SET charged = max(0, charged - ?) WHERE name = ? AND incarnation = ?", .integer(count),
                .blob(name.bytes), .integer(incarnation))
        }
    }

    /// A file's row as `set` made it. `ahead`: the bytes charged for what is not written yet.
    struct Row: Sendable {
        var incarnation: Int64
        var ahead: Int64
    }

    /// Says what a file takes, whatever was known before, and charges `ahead` more bytes if that keeps the total within
    /// `limit` and the file within `share`: a small file needs one transaction and not two.
    func set(
        _ charged: Int64, ahead: Int64, _ name: VersionName, limit: Int64, share: Int64
    ) throws(SQLiteError) -> Row {
        let now = Self.now()
        return try locked { (db) throws(SQLiteError) in
            try db.transaction { (db) throws(SQLiteError) in
                let known = try db.first("SELECT charged FROM files WHERE name = ?", .blob(name.bytes)) {
                    $0.integer(0)
                }
                let total = try Self.total(&db) - (known ?? 0) + charged
                let ahead = charged + ahead <= share && total + ahead <= limit ? ahead : 0
                try db.run(
                    """
                    INSERT INTO files VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
                    charged = excluded.charged, used_at = excluded.used_at, incarnation = excluded.incarnation
                    """, .blob(name.bytes), .integer(charged + ahead), .integer(now), .integer(now))
                return Row(incarnation: now, ahead: ahead)
            }
        }
    }

    func remove(_ files: [File]) throws(SQLiteError) {
        try locked { (db) throws(SQLiteError) in
            try db.transaction { (db) throws(SQLiteError) in
                for file in files {
                    try db.run(
                        "DELETE FROM files WHERE name = ? AND incarnation = ?", .blob(file.name.bytes),
                        .integer(file.incarnation))
                }
            }
        }
    }

    /// Up to 64 files in the order of their last use, those used after `usedAt` only.
    func leastRecentlyUsed(after usedAt: Int64) throws(SQLiteError) -> [File] {
        try locked { (db) throws(SQLiteError) in
            try db.query(
                "SELECT name, charged, used_at, incarnation FROM files WHERE used_at > ? ORDER BY used_at LIMIT 64",
                .integer(usedAt), row: Self.file)
        }
    }

    func file(_ name: VersionName) throws(SQLiteError) -> File? {
        try locked { (db) throws(SQLiteError) in
            try db.first(
                "SELECT name, charged, used_at, incarnation FROM files WHERE name = ?", .blob(name.bytes),
                row: Self.file)
        }
    }

    private static func file(_ row: borrowing SQLite.Row) -> File {
        File(
            name: VersionName(bytes: row.blob(0)), charged: row.integer(1), usedAt: row.integer(2),
            incarnation: row.integer(3))
    }

    /// Notes when files were used.
    func touch(_ uses: [VersionName: Int64]) throws(SQLiteError) {
        if uses.isEmpty { return }
        try locked { (db) throws(SQLiteError) in
            try db.transaction { (db) throws(SQLiteError) in
                for (name, time) in uses {
                    try db.run("UPDATE files SET used_at = ? WHERE name = ?", .integer(time), .blob(name.bytes))
                }
            }
        }
    }

    /// True when this is not the boot in which files and rows were last compared.
    func isFromAnotherBoot(_ boot: String) throws(SQLiteError) -> Bool {
        try locked { (db) throws(SQLiteError) in
            try db.first("SELECT boot FROM state") { $0.text(0) } != boot
        }
    }

    func setBoot(_ boot: String) throws(SQLiteError) {
        _ = try locked { (db) throws(SQLiteError) in try db.run("UPDATE state SET boot = ?", .text(boot)) }
    }

    /// Moves the write-ahead log into the database: waits for the disk, so on a connection of its own, which holds up no
    /// other call.
    func checkpoint() throws(SQLiteError) {
        var own = try Connection(path, busyTimeout: .zero)
        try own.execute("PRAGMA wal_checkpoint(PASSIVE)")
    }

    private func locked<R: Sendable>(
        _ body: (inout Connection) throws(SQLiteError) -> R
    ) throws(SQLiteError) -> R {
        try connection.withLock { (db) throws(SQLiteError) in try body(&db) }
    }
}
