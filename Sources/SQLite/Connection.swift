import CSQLite
import SystemPackage

/// One connection to a database file, closed when dropped. One thread at a time: put it into a `Mutex`.
///
/// No state is shared between connections. Statements are prepared once and kept.
public struct Connection: ~Copyable {
    private let database: OpaquePointer
    private var statements: [String: Statement] = [:]
    /// A program has a fixed set of statements; more than these are texts put together, which are not kept.
    private static let statementLimit = 64

    /// Opens `path`, creating the file (0600 by the caller's umask). `busyTimeout` bounds each wait for another
    /// connection's lock; then the call throws an error that `isBusy`.
    public init(_ path: FilePath, busyTimeout: Duration) throws(SQLiteError) {
        var database: OpaquePointer?
        // NOMUTEX: whoever owns the connection has a lock already.
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let code = sqlite3_open_v2(path.string, &database, flags, nil)
        guard code == SQLITE_OK, let database else {
            let error = SQLiteError(code, database, path.string)
            sqlite3_close_v2(database)
            throw error
        }
        self.database = database
        let (seconds, attoseconds) = busyTimeout.components
        sqlite3_busy_timeout(database, Int32(clamping: seconds * 1000 + attoseconds / 1_000_000_000_000_000))
    }

    deinit {
        // v2: the statements, which go after this, may still be there.
        sqlite3_close_v2(database)
    }

    /// Runs one or more statements without values and without rows.
    public mutating func execute(_ script: String) throws(SQLiteError) {
        let code = sqlite3_exec(database, script, nil, nil, nil)
        if code != SQLITE_OK { throw SQLiteError(code, database, script) }
    }

    /// Runs one statement; returns how many rows it changed.
    @discardableResult
    public mutating func run(_ sql: String, _ values: Value...) throws(SQLiteError) -> Int {
        try statement(sql).run(values, database) { (_) throws(SQLiteError) in }
        return Int(sqlite3_changes64(database))
    }

    /// All rows, in order.
    public mutating func query<R>(
        _ sql: String, _ values: Value..., row body: (borrowing Row) throws(SQLiteError) -> R
    ) throws(SQLiteError) -> [R] {
        var rows: [R] = []
        try statement(sql).run(values, database) { (row) throws(SQLiteError) in rows.append(try body(row)) }
        return rows
    }

    /// The first row, nil when there is none.
    public mutating func first<R>(
        _ sql: String, _ values: Value..., row body: (borrowing Row) throws(SQLiteError) -> R
    ) throws(SQLiteError) -> R? {
        var first: R?
        try statement(sql).run(values, database) { (row) throws(SQLiteError) in
            if first == nil { first = try body(row) }
        }
        return first
    }

    /// Runs `body` as one change: all of it or, when it throws, nothing. Takes the write lock at once (IMMEDIATE), so
    /// that two writers wait for each other at the start and never fail in the middle.
    public mutating func transaction<R>(
        _ body: (inout Connection) throws(SQLiteError) -> R
    ) throws(SQLiteError) -> R {
        try run("BEGIN IMMEDIATE")
        do throws(SQLiteError) {
            let result = try body(&self)
            try run("COMMIT")
            return result
        } catch {
            // Some failures (a full disk) have rolled back already; then there is nothing left to do.
            if sqlite3_get_autocommit(database) == 0 { _ = try? run("ROLLBACK") }
            throw error
        }
    }

    /// Brings the schema up to date: `steps[n]` turns `user_version` n into n + 1, each in a transaction. A database
    /// from a newer program (a higher version) is refused with SQLITE_MISMATCH.
    public mutating func migrate(_ steps: [String]) throws(SQLiteError) {
        let version = Int(try first("PRAGMA user_version") { $0.integer(0) } ?? 0)
        guard version <= steps.count else {
            throw SQLiteError(
                code: SQLITE_MISMATCH, message: "the database is of version \(version), newer than \(steps.count)")
        }
        if version == steps.count { return }
        try transaction { (connection) throws(SQLiteError) in
            // Asked again under the lock: another process may have been faster.
            let version = Int(try connection.first("PRAGMA user_version") { $0.integer(0) } ?? 0)
            for step in steps.dropFirst(version) { try connection.execute(step) }
            try connection.execute("PRAGMA user_version = \(max(version, steps.count))")
        }
    }

    private mutating func statement(_ sql: String) throws(SQLiteError) -> Statement {
        if let kept = statements[sql] { return kept }
        let made = try Statement(sql, database)
        if statements.count < Self.statementLimit { statements[sql] = made }
        return made
    }
}
