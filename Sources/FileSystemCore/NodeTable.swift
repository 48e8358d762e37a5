/// Nodes by their numbers.
///
/// Numbers are given one after another, so the nodes stand in pages of neighbours: a dictionary of nodes would keep up to
/// two thirds of its places free, and a node is large.
struct NodeTable: Sendable {
    /// Neighbouring nodes. There is no page without one.
    private struct Page {
        static let bits: UInt64 = 6
        var slots = ContiguousArray<Node?>(repeating: nil, count: 1 << bits)
        var count = 0
    }

    private var pages: [UInt64: Page] = [:]
    private(set) var count = 0

    private static func place(_ inode: InodeNumber) -> (page: UInt64, slot: Int) {
        (inode.value >> Page.bits, Int(inode.value & (1 << Page.bits - 1)))
    }

    /// Changes a node where it stands; `insert` and `remove` are the ways for one to come and go.
    subscript(_ inode: InodeNumber) -> Node? {
        get {
            let (page, slot) = Self.place(inode)
            return pages[page]?.slots[slot]
        }
        _modify {
            let (page, slot) = Self.place(inode)
            if let index = pages.index(forKey: page) {
                let wasThere = pages.values[index].slots[slot] != nil
                defer {
                    assert(
                        (pages.values[index].slots[slot] != nil) == wasThere, "a node has come or gone on the quiet")
                }
                yield &pages.values[index].slots[slot]
            } else {
                var none: Node?
                defer { assert(none == nil, "a node has come on the quiet") }
                yield &none
            }
        }
    }

    mutating func insert(_ node: Node) {
        let (page, slot) = Self.place(node.inode)
        remove(node.inode)
        pages[page, default: Page()].slots[slot] = node
        pages[page]?.count += 1
        count += 1
    }

    mutating func remove(_ inode: InodeNumber) {
        let (page, slot) = Self.place(inode)
        guard pages[page]?.slots[slot] != nil else { return }
        pages[page]?.slots[slot] = nil
        pages[page]?.count -= 1
        count -= 1
        if pages[page]?.count == 0 { pages[page] = nil }
    }

    /// All, in no order.
    var values: some Sequence<Node> { pages.values.lazy.flatMap { $0.slots.lazy.compactMap { $0 } } }
}
