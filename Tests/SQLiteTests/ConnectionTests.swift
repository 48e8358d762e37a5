import Glibc
import SQLite
import Synchronization
import SystemPackage
import Testing

@Suite("A connection to SQLite")
struct ConnectionTests {
    private static func temporaryFile() -> FilePath {
        FilePath("/tmp/sqlite-\(UInt64.random(in: 0 ... .max)).db")
    }

    /// Runs `body` on the path of a new database and removes it afterwards.
    private func withFile(_ body: (FilePath) throws -> Void) rethrows {
        let path = Self.temporaryFile()
        defer { for suffix in ["", "-wal", "-shm", "-journal"] { unlink(path.string + suffix) } }
        try body(path)
    }

    @Test("A file that is no database is told apart from other errors")
    func notADatabase() throws {
        try withFile { path in
            let file = try FileDescriptor.open(
                path, .writeOnly, options: .create, permissions: .ownerReadWrite)
            try file.closeAfter { _ = try file.writeAll([UInt8](repeating: 0x41, count: 4096)) }
            var connection = try Connection(path, busyTimeout: .zero)
            do throws(SQLiteError) {
                try connection.execute("CREATE TABLE t (a)")
                Issue.record("took it for a database")
            } catch {
                #expect(error.isCorrupt && !error.isBusy && !error.isFull)
                #expect("\(error)".contains("CREATE TABLE t"))
            }
        }
    }

    @Test("A directory that is missing is an error with a message, not a trap")
    func missing() {
        #expect(throws: SQLiteError.self) { _ = try Connection("/tmp/not/here/x.db", busyTimeout: .zero) }
    }

    @Test("A second writer gives up as busy after its timeout, and succeeds when the first is done")
    func busy() throws {
        try withFile { path in
            var first = try Connection(path, busyTimeout: .zero)
            var second = try Connection(path, busyTimeout: .milliseconds(5))
            try first.execute("PRAGMA journal_mode = WAL; CREATE TABLE t (a)")
            var wasBusy = false
            try first.transaction { (first) throws(SQLiteError) in
                try first.run("INSERT INTO t VALUES (1)")
                do throws(SQLiteError) {
                    try second.run("INSERT INTO t VALUES (2)")
                } catch {
                    wasBusy = error.isBusy
                }
            }
            #expect(wasBusy)
            #expect(try second.run("INSERT INTO t VALUES (2)") == 1)
        }
    }

    @Test("A transaction that throws changes nothing, and the connection goes on")
    func rollback() throws {
        try withFile { path in
            var connection = try Connection(path, busyTimeout: .zero)
            try connection.execute("CREATE TABLE t (a UNIQUE)")
            do throws(SQLiteError) {
                try connection.transaction { (connection) throws(SQLiteError) in
                    try connection.run("INSERT INTO t VALUES (1)")
                    try connection.run("INSERT INTO t VALUES (1)")
                }
                Issue.record("took a duplicate")
            } catch {
                #expect(error.code == 2067)  // SQLITE_CONSTRAINT_UNIQUE
            }
            #expect(try connection.first("SELECT count(*) FROM t") { $0.integer(0) } == 0)
            #expect(try connection.run("INSERT INTO t VALUES (1)") == 1)
        }
    }

    @Test("Values come back as they were bound, empty and null ones included")
    func values() throws {
        try withFile { path in
            var connection = try Connection(path, busyTimeout: .zero)
            try connection.execute("CREATE TABLE t (a, b, c, d, e, f)")
            try connection.run(
                "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", .integer(.min), .real(0.25), .text("Zoë\u{0}"),
                .blob([0, 255]), .blob([]), nil)
            let rows = try connection.query("SELECT * FROM t") { row in
                (row.integer(0), row.real(1), row.text(2), row.blob(3), row.blob(4), row.isNull(4), row.isNull(5))
            }
            let row = try #require(rows.first)
            #expect(rows.count == 1)
            #expect(row.0 == .min && row.1 == 0.25 && row.2 == "Zoë\u{0}" && row.3 == [0, 255])
            #expect(row.4 == [] && !row.5 && row.6)
        }
    }

    @Test("Migrations run once each, in order, and a newer database is refused")
    func migrations() throws {
        try withFile { path in
            let steps = ["CREATE TABLE t (a)", "ALTER TABLE t ADD COLUMN b; INSERT INTO t VALUES (1, 2)"]
            do {
                var connection = try Connection(path, busyTimeout: .zero)
                try connection.migrate([steps[0]])
                try connection.migrate(steps)
                try connection.migrate(steps)
            }
            var again = try Connection(path, busyTimeout: .zero)
            try again.migrate(steps)
            #expect(try again.first("SELECT sum(b) FROM t") { $0.integer(0) } == 2)
            do throws(SQLiteError) {
                try again.migrate([steps[0]])
                Issue.record("took a newer database")
            } catch {
                #expect(error.code == 20)  // SQLITE_MISMATCH
            }
        }
    }

    @Test("A migration that fails leaves the version before it")
    func failedMigration() throws {
        try withFile { path in
            var connection = try Connection(path, busyTimeout: .zero)
            #expect(throws: SQLiteError.self) { try connection.migrate(["CREATE TABLE t (a); no such statement"]) }
            try connection.migrate(["CREATE TABLE t (a)"])
            #expect(try connection.first("PRAGMA user_version") { $0.integer(0) } == 1)
        }
    }

    @Test("More statements than are kept all work")
    func manyStatements() throws {
        try withFile { path in
            var connection = try Connection(path, busyTimeout: .zero)
            for number in 0..<200 {
                #expect(try connection.first("SELECT \(number)") { $0.integer(0) } == Int64(number))
            }
        }
    }
}
