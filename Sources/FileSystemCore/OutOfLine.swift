/// A value that most have none of, beside the one it belongs to: none takes a pointer's room. Copies share it until one of
/// them changes it, so a large collection in it is changed in place.
struct OutOfLine<Value: Sendable>: Sendable {
    /// Unchecked: `value` is changed only through a reference that is the only one.
    private final class Box: @unchecked Sendable {
        var value: Value?
        init(_ value: Value?) { self.value = value }
    }

    private var box: Box?

    init(_ value: Value? = nil) { box = value.map { Box($0) } }

    var isEmpty: Bool { box == nil }

    var value: Value? {
        get { box?.value }
        _modify {
            // Asked before there is another reference to it here.
            let isOwn = isKnownUniquelyReferenced(&box)
            let own = if isOwn, let box { box } else { Box(box?.value) }
            box = own
            defer { if own.value == nil { box = nil } }
            yield &own.value
        }
    }
}
