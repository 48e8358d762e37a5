import MountRuntime
import Settings

@main
struct Main {
    static func main() throws {
        let a = CommandLine.arguments
        var s = MountSettings()
        s.bucket = a[1]; s.prefix = a[2]; s.s3Endpoint = a[4]; s.region = "us-east-1"; s.credentials = .environment
        s.cacheDirectory = a[5]; s.stateDirectory = a[5] + "/state"
        print(try Mount.run(settings: s, mountPoint: a[3], source: "", foreground: true) { print("ready", $0 as Any) })
    }
}
