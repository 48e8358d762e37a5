import ObjectStore

/// Identifies a change in the queue; rises with the order in which the changes were made.
struct IntentID: Hashable, Comparable, Sendable {
    let value: UInt64
    static func < (a: IntentID, b: IntentID) -> Bool { a.value < b.value }
}

/// One change of the view that S3 does not have yet.
struct Intent: Sendable {
    enum Kind: UInt8, Sendable {
        /// Store the file's contents and attributes, as they are when the turn comes.
        case put = 1
        /// Copy the file's bytes from where they are then to the key.
        case copy
        /// Store changed attributes without sending the bytes again: a copy onto itself.
        case metadata
        /// Delete the object.
        case delete
        /// Write a directory's marker, unless it has children by then.
        case marker
    }

    let id: IntentID
    /// Where it stands among the others of its keys: the number of its last queueing. Ids and orders are drawn from one
    /// sequence.
    private(set) var order: UInt64
    let kind: Kind
    /// The key that is written. A conflict may give it another one while it runs.
    private(set) var key: ObjectKey
    /// The key that is read besides: a copy's source.
    let source: ObjectKey?
    /// The node whose state is stored. For a delete, the node that had the key, if it is still open.
    let inode: InodeNumber?
    /// The put or copy without which this delete would lose the only bytes: runs after it, and is given up when that is
    /// given up.
    var requires: IntentID?
    /// Where the key stands in the view's terms, for base and for the refresher.
    private(set) var place: Place

    /// Gives it another key to write, and a new place in the order.
    mutating func move(to key: ObjectKey, _ place: Place, order: UInt64) {
        self.key = key
        self.place = place
        self.order = order
    }

    /// The keys whose other intents must keep their order with this one.
    var keys: [ObjectKey] { source.map { $0 == key ? [key] : [key, $0] } ?? [key] }
}

/// A key taken apart.
struct Place: Sendable, Hashable {
    /// The key prefix of the directory.
    let prefix: KeyPrefix
    /// Nil for the directory's marker.
    let name: EntryName?
}
