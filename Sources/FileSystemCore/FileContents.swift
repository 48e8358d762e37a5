import Bytes
import Journal
import ObjectStore
import SystemPackage

/// The contents of a file at one moment, wherever they lie: staged here, zeros, or unchanged in the base version.
struct FileContents: Sendable {
    /// Bytes.
    let size: Int64
    /// Nil when nothing is changed.
    let snapshot: StagedFile.Snapshot?
    /// The base version; nil for a new file.
    let source: ContentReader.Source?
    let reader: ContentReader

    private func extents(_ range: Range<Int64>) -> [StagedFile.Extent] {
        snapshot?.extents(range) ?? [source == nil ? .zeros(range) : .base(range)]
    }

    /// True when a part can be copied on the server.
    func isUnchanged(_ range: Range<Int64>) -> Bool {
        extents(range).allSatisfy { if case .base = $0 { true } else { false } }
    }

    /// True when all bytes lie here.
    var isStaged: Bool { size == 0 || extents(0..<size) == [.staged(0..<size)] }

    /// True when some of a range is only in the base version.
    func needsBase(_ range: Range<Int64>) -> Bool {
        extents(range).contains { if case .base = $0 { true } else { false } }
    }

    var location: ObjectVersion? { source?.location() }

    /// Reads a range into memory. Staged bytes are authenticated as they are opened: damaged ones are never sent.
    func bytes(_ range: Range<Int64>) async throws(ObjectStoreError) -> ByteSlice {
        let buffer = ByteBuffer(capacity: range.count)
        let extents = extents(range)
        // A file that is being cut has fewer bytes than were announced: the rest reads as zeros.
        let held = extents.reduce(0) { $0 + $1.byteCount }
        UnsafeMutableRawBufferPointer(rebasing: buffer.writable[min(held, range.count)...])
            .initializeMemory(as: UInt8.self, repeating: 0)
        do throws(Errno) {
            for extent in extents {
                switch extent {
                case .staged(let part):
                    try snapshot?.read(part, into: target(buffer, part, range))
                case .zeros(let part):
                    target(buffer, part, range).initializeMemory(as: UInt8.self, repeating: 0)
                case .base(let part):
                    try await copyBase(part, buffer, range)
                }
            }
        } catch {
            switch error {
            case .networkUnreachable: throw ObjectStoreError(.unreachable, "the unchanged part could not be read")
            case .resourceBusy: throw ObjectStoreError(.unavailable, "the unchanged part could not be read")
            case .permissionDenied: throw ObjectStoreError(.accessDenied, "the unchanged part may not be read")
            case ObjectStoreError.keyExpired:
                throw ObjectStoreError(.signInNeeded, "the unchanged part could not be read: sign in again")
            case .staleNFSFileHandle:
                throw ObjectStoreError(
                    .sourceChanged, "the file was replaced elsewhere while it was being changed here")
            default:
                throw ObjectStoreError(.corrupted, "staged bytes could not be read: \(error)")
            }
        }
        return ByteSlice(buffer, 0..<range.count)
    }

    private func copyBase(_ part: Range<Int64>, _ buffer: ByteBuffer, _ range: Range<Int64>) async throws(Errno) {
        guard let source else { throw .ioError }
        var offset = part.lowerBound
        while offset < part.upperBound {
            // A little at a time, since what a read gives stays in memory until all of it is there.
            let piece = offset..<min(offset + (1 << 20), part.upperBound)
            for slice in try await reader.read(source, piece, ahead: offset..<part.upperBound) {
                let place = offset..<offset + Int64(slice.count)
                slice.withBytes { target(buffer, place, range).copyMemory(from: $0) }
                offset = place.upperBound
            }
        }
    }

    private func target(
        _ buffer: ByteBuffer, _ part: Range<Int64>, _ range: Range<Int64>
    ) -> UnsafeMutableRawBufferPointer {
        let start = Int(part.lowerBound - range.lowerBound)
        return UnsafeMutableRawBufferPointer(rebasing: buffer.writable[start..<start + part.count])
    }
}

extension StagedFile.Extent {
    fileprivate var byteCount: Int {
        switch self {
        case .staged(let range), .zeros(let range), .base(let range): range.count
        }
    }
}
