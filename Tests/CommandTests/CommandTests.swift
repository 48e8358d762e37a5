import Glibc
import Settings
import Testing

@testable import cognitofs

@Suite("The command line")
struct CommandTests {
    private static let complete = """
        [app]
        user_pool_id = "eu-west-1_Ab3dEf9Hi"
        app_client_id = "1example23456789"
        identity_pool_id = "eu-west-1:f602c14b-0fde-409c-9a7e-0baccbfd87d0"
        bucket = "photos"
        region = "eu-west-1"
        """

    private func room() throws -> Program.Room {
        let room = try Program.Room()
        mkdir(room.path + "/config", 0o700)
        mkdir(room.path + "/config/cognitofs", 0o700)
        mkdir(room.path + "/dir", 0o700)
        return room
    }

    @Test("says what is wrong and ends with the code of its kind")
    func failures() throws {
        let room = try room()
        try room.write(Self.complete, to: "good.conf")
        try room.write("[app]\nbuckit = \"x\"\n", to: "typo.conf")
        try room.write(Self.complete + "\napp_client_secret = \"s\"\n", to: "open.conf", mode: 0o644)
        let dir = room.path + "/dir"
        let cases: [([String], ExitCode, String)] = [
            (["bogus"], .usage, "Unexpected argument 'bogus'"),
            (["mount"], .usage, "Missing expected argument"),
            (["mount", "a", "b", "c"], .usage, "Give [SOURCE] and DIR"),
            (
                ["mount", dir], .configuration,
                "There is no configuration in \(room.path)/config/cognitofs/mount.conf or"
            ),
            (
                ["mount", "--config", room.path + "/none.conf", dir], .configuration,
                "none.conf can't be opened: No such file"
            ),
            (
                ["mount", "--config", room.path + "/typo.conf", dir], .configuration,
                "typo.conf:2: there is no setting buckit in [app]. Did you mean `bucket`?"
            ),
            (["mount", "--config", room.path + "/open.conf", dir], .configuration, "Run: chmod 600"),
            (
                ["mount", "--config", room.path + "/good.conf", "-o", "freshnes=1", dir], .usage,
                "Did you mean `freshness`?"
            ),
            (
                ["mount", "--config", room.path + "/good.conf", "-o", "app_client_secret=x", dir], .usage,
                "can't be given as an option"
            ),
            (
                ["mount", "--config", room.path + "/good.conf", room.path + "/none"], .mount,
                "none doesn't exist. Make it with mkdir."
            ),
            (["mount", "--config", room.path + "/good.conf", room.path + "/good.conf"], .mount, "is not a directory"),
            (["mount", "x/y", dir], .usage, "is neither s3://BUCKET/PREFIX nor"),
            (
                ["mount", "s3://photos/x", dir, "--credentials", "environment", "--region", "eu-west-1"],
                .configuration, "AWS_ACCESS_KEY_ID isn't set"
            ),
            (
                ["mount", "s3://photos/x", dir, "--credentials", "instance"], .usage,
                "must be \"cognito\" or \"environment\""
            ),
            (
                ["mount", "--config", room.path + "/good.conf", "--endpoint", "http://s3.example.com", dir],
                .configuration, "is not encrypted"
            ),
            (["umount", dir], .notMounted, "is not mounted"),
            (["umount", "/proc"], .notMounted, "is a mount of proc, not of cognitofs"),
            (["umount", room.path + "/none"], .notMounted, "No such file"),
            (["status", dir], .notMounted, "is not mounted"),
            (["sync", dir], .notMounted, "is in no mount of cognitofs"),
            (
                ["whoami", "--config", room.path + "/good.conf", "--state-dir", room.path + "/st"], .signIn,
                "Run `cognitofs login`"
            ),
            (["whoami", "-o", "credentials=environment"], .configuration, "There is nobody to sign in"),
            (["login", "--config", room.path + "/good.conf"], .usage, "There is no terminal to ask on"),
            (["login", "--config", room.path + "/good.conf", "-u", "anna"], .usage, "Use --password-stdin"),
            (
                ["login", "--config", room.path + "/good.conf", "-u", "anna", "--password-stdin"], .usage,
                "wants the password"
            ),
        ]
        for (arguments, code, message) in cases {
            let outcome = try room.run(arguments)
            #expect(outcome.code == code.rawValue, "\(arguments)")
            #expect(outcome.error.contains(message), "\(arguments): \(outcome.error)")
            #expect(outcome.output.isEmpty, "\(arguments)")
        }
    }

    @Test("answers mount(8) in mount(8)'s codes")
    func helper() throws {
        let room = try room()
        let conf = try room.write(Self.complete, to: "good.conf")
        let dir = room.path + "/dir"
        #expect(try room.run(["src"], name: "mount.cognitofs").code == 1)
        #expect(try room.run(["src", dir, "-o", "bogus"], name: "/sbin/mount.cognitofs").code == 1)
        #expect(try room.run(["src", dir, "-o", "noauto"], name: "mount.cognitofs").code == 32)
        #expect(try room.run(["src", room.path + "/none", "-o", "config=\(conf)"]).code == 32)
        #expect(
            try room.run(["src", dir, "-f", "-o", "config=\(conf),users,x-a=b"], name: "mount.cognitofs").code == 0)
        #expect(try room.run(["src", dir, "-sf", "-o", "config=\(conf),bogus"], name: "mount.cognitofs").code == 0)
    }

    @Test("shows help, version and completions")
    func help() throws {
        let room = try room()
        let help = try room.run(["--help"])
        #expect(help.code == 0)
        for code in ExitCode.allCases { #expect(help.output.contains("\(code.rawValue)")) }
        #expect(try room.run(["--version"]).output == "cognitofs \(programVersion)\n")
        #expect(try room.run(["version"]).output == "cognitofs \(programVersion)\n")
        #expect(try room.run(["--generate-completion-script", "bash"]).output.contains("umount"))
        #expect(try room.run(["status"]).output == "Nothing is mounted.\n")
        #expect(try room.run(["status", "--json"]).output.filter { !$0.isWhitespace } == "[]")
    }

    @Test("imports the app's file once, and keeps what is there")
    func imports() throws {
        let room = try room()
        let file = try room.write(
            """
            const awsmobile = {"aws_project_region": "eu-west-1", "aws_user_pools_id": "eu-west-1_Ab3dEf9Hi",
             "aws_user_pools_web_client_id": "1example23456789",
             "aws_cognito_identity_pool_id": "eu-west-1:f602c14b-0fde-409c-9a7e-0baccbfd87d0",
             "aws_user_files_s3_bucket": "photos", "aws_user_files_s3_bucket_region": "eu-west-1"};
            """, to: "aws-exports.js")
        #expect(try room.run(["config", "import", file]).code == 0)
        let shown = try room.run(["config", "show"])
        #expect(shown.output.contains("bucket = \"photos\"\n"))
        #expect(shown.output.contains("freshness = \"5 s\"  # default\n"))
        let again = try room.run(["config", "import", file])
        #expect(again.code == ExitCode.disk.rawValue)
        #expect(again.error.contains("is there already. Give --force"))
        #expect(try room.run(["config", "import", file, "--force", "--prefix", "media/{identity_id}"]).code == 0)
        #expect(try room.run(["config", "show"]).output.contains("prefix = \"media/{identity_id}/\"\n"))
        #expect(try room.run(["config", "show", "--config", file]).output.contains("bucket = \"photos\""))
    }

    @Test("writes a file with a client secret for its owner alone")
    func secretFile() throws {
        let room = try room()
        let file = try room.write(
            """
            {"auth": {"plugins": {"awsCognitoAuthPlugin": {
             "CredentialsProvider": {"CognitoIdentity": {"Default": {"PoolId": "eu-west-1:f602c14b-0fde-409c-9a7e-0baccbfd87d0"}}},
             "CognitoUserPool": {"Default": {"PoolId": "eu-west-1_Ab3dEf9Hi", "AppClientId": "abc", "AppClientSecret": "hush"}}}}},
             "storage": {"plugins": {"awsS3StoragePlugin": {"bucket": "photos", "region": "eu-west-1"}}}}
            """, to: "amplifyconfiguration.json")
        #expect(try room.run(["config", "import", file, "--output", room.path + "/new/mount.conf"]).code == 0)
        var facts = stat()
        #expect(stat(room.path + "/new/mount.conf", &facts) == 0)
        #expect(facts.st_mode & 0o777 == 0o600)
        let shown = try room.run(["config", "show", "--config", room.path + "/new/mount.conf"])
        #expect(shown.output.contains("(not shown)") && !shown.output.contains("hush"))
    }

    @Test("says plainly what an app's file lacks, and takes it from options")
    func lacking() throws {
        let room = try room()
        let file = try room.write(
            "{\"version\": \"1.4\", \"auth\": {\"user_pool_id\": \"eu-west-1_Ab3dEf9Hi\", \"user_pool_client_id\": \"abc\"}}",
            to: "amplify_outputs.json")
        let outcome = try room.run(["config", "import", file])
        #expect(outcome.code == ExitCode.configuration.rawValue)
        #expect(outcome.error.contains("has no identity pool, no storage bucket, no region of the bucket."))
        let rest = "identity_pool_id=eu-west-1:f602c14b-0fde-409c-9a7e-0baccbfd87d0,bucket=photos,region=eu-west-1"
        #expect(
            try room.run(["config", "import", file, "-o", rest, "--output", "-"]).output.contains(
                "\nbucket = \"photos\"\n"))
    }
}
