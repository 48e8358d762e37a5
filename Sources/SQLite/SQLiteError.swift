import CSQLite

/// Why SQLite could not do it. `code` is the extended result code (https://www.sqlite.org/rescode.html).
public struct SQLiteError: Error, Sendable, Hashable, CustomStringConvertible {
    public var code: Int32
    /// SQLite's own sentence, and the statement where there was one.
    public var message: String

    public init(code: Int32, message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "SQLite: \(message) (\(code))" }

    private var primaryCode: Int32 { code & 0xFF }

    /// Another connection holds the lock; the same call may succeed later.
    public var isBusy: Bool { primaryCode == SQLITE_BUSY || primaryCode == SQLITE_LOCKED }
    /// The file is damaged or no database at all.
    public var isCorrupt: Bool { primaryCode == SQLITE_CORRUPT || primaryCode == SQLITE_NOTADB }
    /// The disk has no room.
    public var isFull: Bool { primaryCode == SQLITE_FULL }
}
