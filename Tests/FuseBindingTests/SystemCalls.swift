import Glibc
import SystemPackage

/// System calls that throw their errno. Those that the C library shows only with extensions are looked up by name.
enum System {
    static func check(_ status: Int) throws -> Int {
        guard status >= 0 else { throw Errno(rawValue: errno) }
        return status
    }

    @discardableResult
    static func check(_ status: Int32) throws -> Int32 {
        guard status >= 0 else { throw Errno(rawValue: errno) }
        return status
    }

    static func open(_ path: String, _ flags: Int32, _ mode: mode_t = 0o644) throws -> Int32 {
        try check(Glibc.open(path, flags | O_CLOEXEC, mode))
    }

    /// Opens, lends and closes.
    @discardableResult
    static func with<R>(_ path: String, _ flags: Int32, _ body: (Int32) throws -> R) throws -> R {
        let descriptor = try open(path, flags)
        defer { close(descriptor) }
        return try body(descriptor)
    }

    static func write(_ path: String, _ bytes: [UInt8], _ flags: Int32 = O_CREAT | O_WRONLY | O_TRUNC) throws {
        try with(path, flags) { descriptor throws in
            var done = 0
            while done < bytes.count {
                done += try bytes.withUnsafeBytes { room in
                    try check(Glibc.write(descriptor, room.baseAddress! + done, room.count - done))
                }
            }
        }
    }

    static func read(_ path: String) throws -> [UInt8] {
        try with(path, O_RDONLY) { descriptor throws in
            var all: [UInt8] = []
            while true {
                let part = try pread(descriptor, 1 << 20, at: all.count)
                if part.isEmpty { return all }
                all += part
            }
        }
    }

    static func pread(_ descriptor: Int32, _ count: Int, at offset: Int) throws -> [UInt8] {
        var room = [UInt8](repeating: 0, count: count)
        let got = try check(Glibc.pread(descriptor, &room, count, offset))
        return Array(room.prefix(got))
    }

    static func stat(_ path: String) throws -> Glibc.stat {
        var status = Glibc.stat()
        try check(lstat(path, &status))
        return status
    }

    /// Names in the order given, without the dots.
    static func list(_ path: String) throws -> [String] {
        guard let stream = opendir(path) else { throw Errno(rawValue: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        while let name = try next(stream) { names.append(name) }
        return names.filter { $0 != "." && $0 != ".." }
    }

    static func next(_ stream: OpaquePointer) throws -> String? {
        errno = 0
        guard let entry = readdir(stream) else {
            if errno != 0 { throw Errno(rawValue: errno) }
            return nil
        }
        return withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
    }

    private static func symbol<F>(_ name: String, as type: F.Type) -> F {
        guard let address = dlsym(nil, name) else { preconditionFailure("the C library lacks \(name)") }
        return unsafeBitCast(address, to: type)
    }

    static func rename(_ from: String, _ to: String, flags: UInt32) throws {
        typealias Call = @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) -> Int32
        try check(symbol("renameat2", as: Call.self)(AT_FDCWD, from, AT_FDCWD, to, flags))
    }

    static func fallocate(_ descriptor: Int32, mode: Int32, _ offset: Int, _ length: Int) throws {
        typealias Call = @convention(c) (Int32, Int32, Int, Int) -> Int32
        try check(symbol("fallocate", as: Call.self)(descriptor, mode, offset, length))
    }

    static func copyFileRange(_ from: Int32, _ to: Int32, _ count: Int) throws -> Int {
        typealias Call =
            @convention(c) (
                Int32, UnsafeMutablePointer<Int>?, Int32, UnsafeMutablePointer<Int>?, Int, UInt32
            ) -> Int
        return try check(symbol("copy_file_range", as: Call.self)(from, nil, to, nil, count, 0))
    }

    static func setxattr(_ path: String, _ name: String, _ value: [UInt8], flags: Int32 = 0) throws {
        typealias Call =
            @convention(c) (UnsafePointer<CChar>, UnsafePointer<CChar>, UnsafeRawPointer?, Int, Int32)
            -> Int32
        try check(symbol("setxattr", as: Call.self)(path, name, value, value.count, flags))
    }

    /// The status, which is the size when `room` is 0, and the bytes.
    static func getxattr(_ path: String, _ name: String, room: Int) throws -> (Int, [UInt8]) {
        typealias Call =
            @convention(c) (UnsafePointer<CChar>, UnsafePointer<CChar>, UnsafeMutableRawPointer?, Int)
            -> Int
        var value = [UInt8](repeating: 0, count: room)
        let got = try check(symbol("getxattr", as: Call.self)(path, name, &value, room))
        return (got, Array(value.prefix(got)))
    }

    static func listxattr(_ path: String, room: Int) throws -> (Int, [UInt8]) {
        typealias Call = @convention(c) (UnsafePointer<CChar>, UnsafeMutableRawPointer?, Int) -> Int
        var value = [UInt8](repeating: 0, count: room)
        let got = try check(symbol("listxattr", as: Call.self)(path, &value, room))
        return (got, Array(value.prefix(got)))
    }

    static func removexattr(_ path: String, _ name: String) throws {
        typealias Call = @convention(c) (UnsafePointer<CChar>, UnsafePointer<CChar>) -> Int32
        try check(symbol("removexattr", as: Call.self)(path, name))
    }
}
