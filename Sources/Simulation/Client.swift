import Bytes
import Disk
import FileSystemCore
import Glibc
import SystemPackage

/// The programs on the mount: each call is made of what the kernel would ask for it.
struct Client: Sendable {
    static let caller = Caller(uid: 1000, gid: 1000, pid: 1, umask: 0o022)

    struct Open: Sendable {
        var inode: InodeNumber
        var handle: FileHandle
    }

    let volume: Volume
    /// Told what a call is about to replace or remove, once the call has seen it.
    var seeing: @Sendable (InodeNumber) -> Void = { _ in }

    private static func split(_ path: String) -> (parent: String, name: FileName) {
        let parts = path.split(separator: "/", omittingEmptySubsequences: true)
        return (parts.dropLast().joined(separator: "/"), FileName(Array((parts.last ?? "").utf8)))
    }

    /// Finds a path as the kernel does, and keeps nothing of it: what it looked up is forgotten after `body`.
    private func at<Value: Sendable>(
        _ path: String, _ body: (FileAttributes) async throws(Errno) -> Value
    ) async throws(Errno) -> Value {
        var held: [InodeNumber] = []
        defer { for inode in held { volume.forget(inode, count: 1) } }
        var there = try await volume.getattr(.root, nil).value().attributes
        for part in path.split(separator: "/") {
            guard there.mode & 0o170000 == 0o040000 else { throw .notDirectory }
            let entry = try await volume.lookup(there.inode, FileName(Array(part.utf8))).value()
            guard let attributes = entry.attributes else { throw .noSuchFileOrDirectory }
            held.append(attributes.inode)
            there = attributes
        }
        return try await body(there)
    }

    private func inParent<Value: Sendable>(
        _ path: String, _ body: (InodeNumber, FileName) async throws(Errno) -> Value
    ) async throws(Errno) -> Value {
        let (parent, name) = Self.split(path)
        return try await at(parent) { (there) async throws(Errno) in
            guard there.mode & 0o170000 == 0o040000 else { throw .notDirectory }
            return try await body(there.inode, name)
        }
    }

    func stat(_ path: String) async throws(Errno) -> FileAttributes {
        try await at(path) { (there) async throws(Errno) in there }
    }

    func open(_ path: String, _ mode: Step.OpenMode) async throws(Errno) -> Open {
        var flags =
            switch mode {
            case .read: O_RDONLY
            case .write: O_RDWR
            case .append: O_RDWR | O_APPEND
            case .create: O_RDWR | O_CREAT
            case .truncate: O_RDWR | O_CREAT | O_TRUNC
            case .exclusive: O_RDWR | O_CREAT | O_EXCL
            }
        for _ in 0..<3 {
            do throws(Errno) {
                return try await at(path) { (there) async throws(Errno) in
                    if there.mode & 0o170000 == 0o040000 { throw mode == .exclusive ? .fileExists : .isDirectory }
                    if mode == .exclusive { throw .fileExists }
                    if mode == .truncate { seeing(there.inode) }
                    let opened = try await volume.open(there.inode, flags: flags, Self.caller).value()
                    return Open(inode: there.inode, handle: opened.handle)
                }
            } catch .staleNFSFileHandle {
                continue
            } catch {
                guard error == .noSuchFileOrDirectory, flags & O_CREAT != 0 else { throw error }
            }
            flags &= ~O_EXCL
            return try await inParent(path) { (parent, name) async throws(Errno) in
                let made = try await volume.create(parent, name, mode: 0o644, flags: flags, Self.caller).value()
                guard let inode = made.entry.attributes?.inode else { throw .ioError }
                volume.forget(inode, count: 1)
                return Open(inode: inode, handle: made.opened.handle)
            }
        }
        throw .staleNFSFileHandle
    }

    func write(_ file: Open, _ offset: Int64, _ bytes: [UInt8]) async throws(Errno) {
        let answer = bytes.withUnsafeBytes {
            volume.write(file.inode, file.handle, offset: offset, $0, mayKillSetID: false)
        }
        _ = try await answer.value()
    }

    func truncate(_ file: Open, to size: Int64) async throws(Errno) {
        _ = try await volume.setattr(file.inode, AttributeChanges(size: size), file.handle, Self.caller).value()
    }

    func fsync(_ file: Open) async throws(Errno) {
        try await volume.fsync(file.inode, file.handle, dataOnly: false).value()
    }

    /// What close(2) says; the file is closed in any case.
    func close(_ file: Open) async throws(Errno) {
        var failure: Errno?
        do throws(Errno) {
            try await volume.flush(file.inode, file.handle, Self.caller).value()
        } catch {
            failure = error
        }
        try await volume.release(file.inode, file.handle).value()
        if let failure { throw failure }
    }

    func read(_ file: Open) async throws(Errno) -> [UInt8] {
        let size = try await volume.getattr(file.inode, file.handle).value().attributes.size
        var bytes: [UInt8] = []
        while bytes.count < size {
            let count = min(50_000, Int(size) - bytes.count)
            let slices = try await volume.read(file.inode, file.handle, offset: Int64(bytes.count), count: count)
                .value()
            let before = bytes.count
            for slice in slices { slice.withBytes { bytes.append(contentsOf: $0) } }
            if bytes.count == before { break }
        }
        return bytes
    }

    func read(_ path: String) async throws(Errno) -> [UInt8] {
        let file = try await open(path, .read)
        let outcome: Result<[UInt8], Errno>
        do throws(Errno) { outcome = .success(try await read(file)) } catch { outcome = .failure(error) }
        try await close(file)
        return try outcome.get()
    }

    func rename(_ old: String, _ new: String, exchange: Bool) async throws(Errno) {
        try await inParent(old) { (parent, name) async throws(Errno) in
            try await at(old) { (_) async throws(Errno) in
                try await inParent(new) { (newParent, newName) async throws(Errno) in
                    do throws(Errno) {
                        let there = try await stat(new)
                        if !exchange { seeing(there.inode) }
                    } catch {
                        if error != .noSuchFileOrDirectory { throw error }
                    }
                    try await volume.rename(parent, name, to: newParent, newName, exchange ? .exchange : .replace)
                        .value()
                }
            }
        }
    }

    func unlink(_ path: String) async throws(Errno) {
        try await inParent(path) { (parent, name) async throws(Errno) in
            try await at(path) { (there) async throws(Errno) in
                // As the kernel's own check.
                if there.mode & 0o170000 == 0o040000 { throw .isDirectory }
                seeing(there.inode)
                try await volume.unlink(parent, name).value()
            }
        }
    }

    func makeDirectory(_ path: String) async throws(Errno) {
        try await inParent(path) { (parent, name) async throws(Errno) in
            do throws(Errno) {
                _ = try await stat(path)
            } catch {
                guard error == .noSuchFileOrDirectory else { throw error }
                let entry = try await volume.mkdir(parent, name, mode: 0o755, Self.caller).value()
                if let inode = entry.attributes?.inode { volume.forget(inode, count: 1) }
                return
            }
            throw .fileExists
        }
    }

    func removeDirectory(_ path: String) async throws(Errno) {
        try await inParent(path) { (parent, name) async throws(Errno) in
            try await at(path) { (there) async throws(Errno) in
                if there.mode & 0o170000 != 0o040000 { throw .notDirectory }
                try await volume.rmdir(parent, name).value()
            }
        }
    }

    func changeMode(_ path: String, _ mode: UInt32) async throws(Errno) {
        try await at(path) { (there) async throws(Errno) in
            _ = try await volume.setattr(there.inode, AttributeChanges(mode: mode), nil, Self.caller).value()
        }
    }

    func list(_ path: String) async throws(Errno) -> [String] {
        try await at(path) { (there) async throws(Errno) in
            guard there.mode & 0o170000 == 0o040000 else { throw .notDirectory }
            let opened = try await volume.opendir(there.inode).value()
            defer { volume.releasedir(there.inode, opened.handle) }
            var names: [String] = []
            try volume.readdir(there.inode, opened.handle, offset: 0, plus: false) { entry, _ in
                let name = String(decoding: entry.name.bytes, as: UTF8.self)
                if name != ".", name != ".." { names.append(name) }
                return true
            }
            return names.sorted()
        }
    }

    func syncDirectory(_ path: String) async throws(Errno) {
        try await at(path) { (there) async throws(Errno) in
            guard there.mode & 0o170000 == 0o040000 else { throw .notDirectory }
            let opened = try await volume.opendir(there.inode).value()
            defer { volume.releasedir(there.inode, opened.handle) }
            try await volume.fsyncdir(there.inode, opened.handle).value()
        }
    }

    /// Everything below a directory, looked at afresh.
    func walk(_ path: String = "") async throws(Errno) {
        for name in try await list(path) {
            let child = path.isEmpty ? name : "\(path)/\(name)"
            if try await stat(child).mode & 0o170000 == 0o040000 { try await walk(child) }
        }
    }
}
