import CSQLite

/// One prepared statement, finalized when dropped. Belongs to one connection and is used by one thread at a time.
final class Statement {
    private let handle: OpaquePointer

    init(_ sql: String, _ database: OpaquePointer) throws(SQLiteError) {
        var handle: OpaquePointer?
        let code = sqlite3_prepare_v3(database, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &handle, nil)
        guard code == SQLITE_OK, let handle else { throw SQLiteError(code, database, sql) }
        self.handle = handle
    }

    deinit { sqlite3_finalize(handle) }

    /// Runs to the end, giving each row to `body`, and leaves the statement ready for the next run.
    func run(
        _ values: [Value], _ database: OpaquePointer, _ body: (borrowing Row) throws(SQLiteError) -> Void
    ) throws(SQLiteError) {
        defer {
            sqlite3_reset(handle)
            sqlite3_clear_bindings(handle)
        }
        precondition(values.count == Int(sqlite3_bind_parameter_count(handle)), "a value for each ?")
        for (index, value) in values.enumerated() { try bind(value, Int32(index + 1), database) }
        let row = Row(statement: handle)
        while true {
            switch sqlite3_step(handle) {
            case SQLITE_ROW: try body(row)
            case SQLITE_DONE: return
            case let code: throw SQLiteError(code, database, String(cString: sqlite3_sql(handle)))
            }
        }
    }

    private func bind(_ value: Value, _ position: Int32, _ database: OpaquePointer) throws(SQLiteError) {
        // SQLite copies what it is told is transient (-1).
        let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        let code =
            switch value {
            case .null: sqlite3_bind_null(handle, position)
            case .integer(let number): sqlite3_bind_int64(handle, position, number)
            case .real(let number): sqlite3_bind_double(handle, position, number)
            case .text(let text): sqlite3_bind_text(handle, position, text, Int32(text.utf8.count), transient)
            case .blob(let bytes) where bytes.isEmpty: sqlite3_bind_zeroblob(handle, position, 0)
            case .blob(let bytes): sqlite3_bind_blob(handle, position, bytes, Int32(bytes.count), transient)
            }
        if code != SQLITE_OK { throw SQLiteError(code, database, String(cString: sqlite3_sql(handle))) }
    }
}

extension SQLiteError {
    init(_ code: Int32, _ database: OpaquePointer?, _ sql: String) {
        let said = database.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(code))
        let extended = database.map { sqlite3_extended_errcode($0) } ?? code
        self.init(code: extended & 0xFF == code & 0xFF ? extended : code, message: "\(said): \(sql)")
    }
}
