import ObjectStore

/// Attributes as shown, and what is known of the stored ones.
struct NodeAttributes: Sendable {
    /// Permission bits only.
    var permissions: UInt32
    var uid: UInt32
    var gid: UInt32
    var accessed: Timestamp
    var modified: Timestamp
    var changed: Timestamp
    /// Names with their `user.` prefix.
    var xattrs: [String: [UInt8]] = [:]
    /// What S3 keeps beside the bytes; nil until it has been asked.
    var stored: ObjectAttributes?
    /// Changed here since S3 was last told.
    var isDirty = false
    /// Somebody set the modification time on purpose: it is stored even where LastModified would say about the same.
    var hasExplicitTime = false
    /// What was set here: a HEAD that comes later must not take it back.
    var overridden: Fields = []

    struct Fields: OptionSet, Sendable {
        let rawValue: UInt8
        static let mode = Fields(rawValue: 1)
        static let uid = Fields(rawValue: 2)
        static let gid = Fields(rawValue: 4)
        static let time = Fields(rawValue: 8)
        static let all: Fields = [.mode, .uid, .gid, .time]
    }
}

/// What the attributes of most nodes come to: those of the mount, and one time.
struct PlainAttributes: Sendable {
    var time = Timestamp(seconds: 0)
    var permissions: UInt32 = 0
    var uid: UInt32 = 0
    var gid: UInt32 = 0

    init() {}

    /// Nil where there is more to be kept.
    init?(_ attributes: NodeAttributes) {
        guard attributes.accessed == attributes.modified, attributes.changed == attributes.modified,
            attributes.xattrs.isEmpty, attributes.stored == nil, !attributes.isDirty, !attributes.hasExplicitTime,
            attributes.overridden.isEmpty
        else { return nil }
        time = attributes.modified
        (permissions, uid, gid) = (attributes.permissions, attributes.uid, attributes.gid)
    }
}

extension NodeAttributes {
    init(_ plain: PlainAttributes) {
        self.init(
            permissions: plain.permissions, uid: plain.uid, gid: plain.gid, accessed: plain.time, modified: plain.time,
            changed: plain.time)
    }
}
