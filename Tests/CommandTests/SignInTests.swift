import Glibc
import Testing

@testable import cognitofs

/// A user pool on this machine, for as long as it is referenced.
private final class Pool {
    let room: Program.Room
    let conf: String
    private let pid: pid_t
    private let input: Program.Pipe

    init() throws {
        room = try Program.Room()
        let output = try Program.Pipe()
        input = try Program.Pipe()
        let script = String(decoding: PackageResources.pool_py, as: UTF8.self)
        pid = try Program.spawn(
            "/usr/bin/python3", ["python3", "-c", script], [:], descriptors: [input.read, output.write, 2], setsid: true
        )
        close(input.read)
        close(output.write)
        var digits: [UInt8] = []
        var byte: UInt8 = 0
        while read(output.read, &byte, 1) == 1, byte != 0x0A { digits.append(byte) }
        close(output.read)
        let server = "http://127.0.0.1:\(String(decoding: digits, as: UTF8.self))"
        conf = try room.write(
            """
            [app]
            user_pool_id = "eu-west-1_Ab3dEf9Hi"
            app_client_id = "1example23456789"
            identity_pool_id = "eu-west-1:f602c14b-0fde-409c-9a7e-0baccbfd87d0"
            user_pool_endpoint = "\(server)"
            identity_pool_endpoint = "\(server)"
            bucket = "photos"
            region = "eu-west-1"
            [cache]
            state_directory = "state"
            """, to: "mount.conf")
    }

    deinit {
        close(input.write)
        _ = Program.wait(pid)
    }

    func login(_ user: String) throws -> Typist { try Typist(room, ["login", "--config", conf, "-u", user]) }
}

@Suite("Signing in", .serialized)
struct SignInTests {
    private static let space = "s3://photos/private/eu-west-1:11111111-2222-3333-4444-555555555555/images/"

    @Test("hides the password, tells the space, and is known to whoami until logout")
    func wholeWay() throws {
        let pool = try Pool()
        let typist = try Typist(pool.room, ["login", "--config", pool.conf])
        #expect(typist.sees("User name: "))
        #expect(typist.showsTyping)
        typist.type("anna\n")
        #expect(typist.sees("Password of anna: "))
        #expect(!typist.showsTyping)
        typist.type("pa ss-wörd\n")
        #expect(typist.sees("Signed in as anna. Space: \(Self.space)"))
        #expect(typist.end() == 0)
        #expect(typist.showsTyping)
        #expect(!typist.screen.contains("wörd"))
        let who = try pool.room.run(["whoami", "--config", pool.conf, "--json"])
        #expect(who.code == 0)
        #expect(who.output.contains("\"space\" : \"\(Self.space)\""))
        #expect(try pool.room.run(["whoami", "--config", pool.conf]).output.contains("renewed on its own"))
        #expect(try pool.room.run(["logout", "--config", pool.conf]).output == "Signed out.\n")
        #expect(try pool.room.run(["whoami", "--config", pool.conf]).code == ExitCode.signIn.rawValue)
    }

    @Test("takes the password from standard input")
    func standardInput() throws {
        let pool = try Pool()
        let good = try pool.room.run(
            ["login", "--config", pool.conf, "-u", "anna", "--password-stdin"], input: "secret word\n")
        #expect(good.code == 0)
        #expect(!good.output.contains("secret word"))
        let wrong = try pool.room.run(
            ["login", "--config", pool.conf, "-u", "wrong", "--password-stdin"], input: "x\n")
        #expect(wrong.code == ExitCode.signIn.rawValue)
        #expect(wrong.error.contains("Wrong user name or password."))
        let code = try pool.room.run(
            ["login", "--config", pool.conf, "-u", "code", "--password-stdin"], input: "x\n")
        #expect(code.code == ExitCode.signIn.rawValue)
        #expect(code.error.contains("there is no terminal to ask on"))
        let lines = try pool.room.run(
            ["login", "--config", pool.conf, "-u", "anna", "--password-stdin"], input: "x\ny\n")
        #expect(lines.code == ExitCode.usage.rawValue)
    }

    @Test("asks three times for the password and not more")
    func wrongPassword() throws {
        let pool = try Pool()
        let typist = try pool.login("wrong")
        for _ in 0..<3 {
            #expect(typist.sees("Password of wrong: "))
            typist.type("x\n")
        }
        #expect(typist.end() == ExitCode.signIn.rawValue)
        #expect(typist.screen.contains("Wrong user name or password."))
    }

    @Test("asks again for a wrong code and takes the right one")
    func code() throws {
        let pool = try Pool()
        let typist = try pool.login("code")
        #expect(typist.sees("Password of code: "))
        typist.type("x\n")
        #expect(typist.sees("Code from the text message (+*******1234): "))
        typist.type("000000\n")
        #expect(typist.sees("That code is wrong."))
        #expect(typist.sees("Code from the text message"))
        typist.type("123 456\n")
        #expect(typist.sees("Signed in as code."))
        #expect(typist.end() == 0)
    }

    @Test("lets the person choose the second factor, by a number that exists")
    func factor() throws {
        let pool = try Pool()
        let typist = try pool.login("choose")
        #expect(typist.sees("Password of choose: "))
        typist.type("x\n")
        #expect(typist.sees("2  an authenticator app"))
        #expect(typist.sees("Number: "))
        typist.type("7\n")
        #expect(typist.sees("Number: "))
        typist.type("2\n")
        #expect(typist.sees("Code from your authenticator app: "))
        typist.type("123456\n")
        #expect(typist.sees("Signed in as choose."))
        #expect(typist.end() == 0)
    }

    @Test("takes a new password when it is typed twice alike, and what the pool wants with it")
    func newPassword() throws {
        let pool = try Pool()
        let typist = try pool.login("fresh")
        #expect(typist.sees("Password of fresh: "))
        typist.type("x\n")
        for (first, second) in [("N3w-pass", "N3w-pasz"), ("N3w-pass", "N3w-pass")] {
            #expect(typist.sees("New password: "))
            typist.type(first + "\n")
            #expect(typist.sees("New password again: "))
            typist.type(second + "\n")
        }
        #expect(typist.sees("Your name: "))
        typist.type("Anna\n")
        #expect(typist.sees("Signed in as fresh."))
        #expect(typist.end() == 0)
    }

    @Test("gives the terminal back when it is interrupted", arguments: [SIGINT, SIGTERM, SIGHUP])
    func interrupted(signal: Int32) throws {
        let pool = try Pool()
        let typist = try pool.login("anna")
        #expect(typist.sees("Password of anna: "))
        #expect(!typist.showsTyping)
        if signal == SIGINT { typist.type("\u{3}") } else { typist.send(signal) }
        #expect(typist.end() == 128 + signal)
        #expect(typist.showsTyping)
    }

    @Test("ends at the end of input")
    func endOfInput() throws {
        let pool = try Pool()
        let typist = try pool.login("anna")
        #expect(typist.sees("Password of anna: "))
        typist.type("\u{4}")
        #expect(typist.end() == ExitCode.cancelled.rawValue)
    }

    @Test("says that the pool can't be reached, by code too")
    func unreachable() throws {
        let pool = try Pool()
        let outcome = try pool.room.run(
            [
                "login", "--config", pool.conf, "-o", "user_pool_endpoint=http://127.0.0.1:1", "-u", "anna",
                "--password-stdin",
            ],
            input: "x")
        #expect(outcome.code == ExitCode.network.rawValue)
    }
}
