/// A bug on purpose: what a careless change of this target could do. Never switched on but by the simulator's tests, which
/// show that each is found.
package enum DeliberateFault: String, Hashable, Sendable, CaseIterable {
    /// A recovery loses the newest intent.
    case forgetsIntent
    /// A recovery loses the newest node.
    case forgetsNode
    /// A change is acknowledged while the journal does not have it.
    case acknowledgesEarly
    /// A put sends what nobody has closed.
    case publishesUnclosed
    /// A write whose answer was lost is taken for somebody else's.
    case forgetsAttempts
    /// Changes of one name are sent in any order, and deletions before what they wait for.
    case ignoresOrder
    /// An open file shows what another device has stored since it was opened.
    case handleFollowsVersion
    /// After a put, the version before it is still taken for what S3 has.
    case keepsOldVersion
    /// Staged bytes are removed while a power cut may bring back rows that speak of them.
    case discardsStagedEarly
}

extension VolumeRecovery {
    /// Loses what these faults lose.
    mutating func damage(_ faults: Set<DeliberateFault>) {
        if faults.contains(.forgetsIntent) { loseNewestIntent() }
        if faults.contains(.forgetsNode) { loseNewestNode() }
    }
}
