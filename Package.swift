// swift-tools-version: 6.2
import PackageDescription

/// Every target is built in the Swift 6 language mode with all warnings as errors.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let log = Target.Dependency.product(name: "Logging", package: "swift-log")
let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")
let toml = Target.Dependency.product(name: "TOMLKit", package: "TOMLKit")

/// A layer of the program: what it may import is what it names here, and nothing else.
func layer(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(
        name: name + "Tests", dependencies: [.target(name: name)] + dependencies, resources: resources,
        swiftSettings: strict)
}

let package = Package(
    name: "cognitofs",
    products: [.executable(name: "cognitofs", targets: ["cognitofs"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
    ],
    targets: [
        // C libraries, one module each.
        .systemLibrary(name: "CExpat", pkgConfig: "expat", providers: [.apt(["libexpat1-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CFuse", pkgConfig: "fuse3", providers: [.apt(["libfuse3-dev"])]),
        .target(name: "CChecksum"),
        .systemLibrary(name: "CProcess"),
        .target(name: "CDisk"),

        // Layer 0: values.
        layer("Bytes", ["CChecksum"]),
        layer("ObjectStore", ["Bytes"]),
        // Layer 1: one outside library each.
        layer("HTTPTransport", ["Bytes", "CCurl", log]),
        layer("Sealing", ["Bytes", "COpenSSL", system]),
        layer("SQLite", ["CSQLite", system]),
        layer("Disk", ["CDisk", system]),
        // Layer 2: the services.
        layer("S3", ["ObjectStore", "HTTPTransport", "Sealing", "Bytes", "CExpat", log]),
        layer("BlockCache", ["ObjectStore", "Sealing", "SQLite", "Disk", "Bytes", log, system]),
        layer("Journal", ["ObjectStore", "Sealing", "Disk", "Bytes", log, system]),
        layer("Cognito", ["HTTPTransport", "Sealing", "Bytes", "CProcess", log, system]),
        layer("Settings", [toml, system]),
        // Layer 3: the file system and the kernel.
        layer(
            "FileSystemCore", ["ObjectStore", "BlockCache", "Journal", "Sealing", "Disk", "Bytes", heap, log, system]),
        layer("FuseBinding", ["FileSystemCore", "ObjectStore", "Bytes", "CFuse", log, system]),
        // What the layers above stand on in the simulator: one thread, its own time, a store and a disk that fail.
        layer(
            "Simulation",
            ["FileSystemCore", "Journal", "Sealing", "ObjectStore", "Disk", "Bytes", heap, log, system]),
        // Layer 4: one mount.
        layer(
            "MountRuntime",
            [
                "FileSystemCore", "FuseBinding", "S3", "Cognito", "BlockCache", "Journal", "Settings", "HTTPTransport",
                "Sealing", "ObjectStore", "Bytes", log, system,
            ]),
        // Layer 5: the command.
        .executableTarget(
            name: "cognitofs",
            dependencies: ["MountRuntime", "Cognito", "HTTPTransport", "Settings", "Bytes", arguments, log, system],
            swiftSettings: strict),

        // Runs seeds of the simulator; not part of the product.
        .executableTarget(name: "simulate", dependencies: ["Simulation"], swiftSettings: strict),

        // What tests of several layers use.
        .target(name: "TestSupport", dependencies: ["Disk", system], path: "Tests/TestSupport", swiftSettings: strict),

        .systemLibrary(name: "CMalloc", path: "Tests/CMalloc"),

        tests("Bytes", ["CChecksum"], resources: [.embedInCode("Resources/checksums.json")]),
        tests("HTTPTransport", ["Bytes", log], resources: [.embedInCode("Resources/server.py")]),
        // Storage.
        tests("Sealing", ["Disk"]),
        tests("SQLite", [system]),
        tests("Disk", [system]),
        tests("Simulation", ["FileSystemCore", "Journal", "ObjectStore", "Disk", "Bytes", log, system]),
        tests("BlockCache", ["ObjectStore", "Sealing", "SQLite", "Disk", "TestSupport", log, system]),
        tests("Journal", ["Sealing", "Disk", "TestSupport", log, system]),
        // Signing in.
        tests(
            "Cognito", ["Bytes", "HTTPTransport", "Sealing", "CProcess", log, system],
            resources: [.embedInCode("Resources/srp-vectors.json"), .embedInCode("Resources/local_pool.py")]),
        tests("FuseBinding", ["FileSystemCore", "Bytes", "CFuse", log, system]),
        tests("ObjectStore", ["Bytes"]),
        tests(
            "FileSystemCore", ["ObjectStore", "BlockCache", "Journal", "Bytes", "TestSupport", "CMalloc", log, system]),
        tests(
            "S3", ["ObjectStore", "HTTPTransport", "Bytes", "TestSupport", log],
            resources: [
                .embedInCode("Resources/sigv4-vectors.json"), .embedInCode("Resources/local_s3.py"),
                .embedInCode("Resources/sign_with_botocore.py"),
            ]),
        // Storage.
        // Settings and commands.
        tests("Settings", []),
        .testTarget(
            name: "CommandTests", dependencies: ["cognitofs", "MountRuntime", "Settings"],
            resources: [.embedInCode("Resources/pool.py")], swiftSettings: strict),
    ]
)
