import Synchronization

/// A reference that does not keep its object alive, set once the object exists.
final class Weak<Object: AnyObject & Sendable>: Sendable {
    private struct Reference {
        weak var object: Object?
    }
    /// Guards the reference only.
    private let reference = Mutex(Reference())

    var value: Object? {
        get { reference.withLock { $0.object } }
        set { reference.withLock { $0.object = newValue } }
    }
}
