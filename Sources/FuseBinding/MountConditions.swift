import Glibc
import SystemPackage

/// What must be so before anything can be mounted, checked to say what is wrong in words: libfuse only says that it failed.
enum MountConditions {
    private static let device = "/dev/fuse"

    static func check(_ options: FuseOptions, configuration: String = "/etc/fuse.conf") throws(FuseError) {
        try checkDevice()
        guard geteuid() != 0 else { return }
        guard Fusermount.find() != nil else {
            throw FuseError(.fusermountMissing, "fusermount3 is missing; install the package fuse3")
        }
        if options.allowOther, !allowsOther(MountTable.read(configuration)) {
            throw FuseError(
                .allowOtherNotPermitted,
                "allow_other needs the line user_allow_other in \(configuration), which only root can write")
        }
    }

    private static func checkDevice() throws(FuseError) {
        let descriptor = open(device, O_RDWR | O_CLOEXEC)
        guard descriptor < 0 else {
            close(descriptor)
            return
        }
        switch Errno(rawValue: errno) {
        case .noSuchFileOrDirectory, Errno(rawValue: ENODEV), .noSuchAddressOrDevice:
            throw FuseError(
                .deviceMissing, "\(device) is missing; load it with: modprobe fuse (in a container: --device \(device))"
            )
        case let errno:
            throw FuseError(.deviceNotPermitted, "\(device) cannot be opened; it should have mode 0666", errno)
        }
    }

    /// The option stands alone on a line; `#` begins a comment.
    static func allowsOther(_ configuration: [UInt8]) -> Bool {
        String(decoding: configuration, as: UTF8.self).split(separator: "\n").contains { line in
            let text = line.prefix { $0 != "#" }
            return text.split(whereSeparator: \.isWhitespace) == ["user_allow_other"]
        }
    }
}
