import Glibc

// Comparing megabytes element by element takes most of a test's time where no optimizer makes it one call. The compiler
// prefers these, which know what they compare, to the generic ones of the standard library.

public func == (left: [UInt8], right: [UInt8]) -> Bool { left[...] == right[...] }
public func != (left: [UInt8], right: [UInt8]) -> Bool { !(left == right) }

public func == (left: ArraySlice<UInt8>, right: ArraySlice<UInt8>) -> Bool {
    left.withUnsafeBytes { left in
        right.withUnsafeBytes { right in
            guard left.count == right.count else { return false }
            guard let start = left.baseAddress, let other = right.baseAddress else { return true }
            return memcmp(start, other, left.count) == 0
        }
    }
}

extension ArraySlice<UInt8> {
    /// True when all bytes are the same, and when there are none.
    public var isUniform: Bool { dropLast() == dropFirst() }
}
