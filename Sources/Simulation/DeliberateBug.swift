import FileSystemCore

/// A bug that a run is given on purpose, so that a test can show that the simulator finds it.
public enum DeliberateBug: String, Sendable, CaseIterable {
    // The disk is asked for less than the core should ask for.
    case rowsNotSynced, stagedNotSynced, namesNotSynced, rowsCutShort
    // A torn record opens as though it were whole.
    case takesTornRows, takesTornBytes
    // The journal's key.
    case reusesNonce, forgetsKey
    // The store is asked for something else than the core should ask for.
    case putUnconditionally, deleteUnconditionally, copyUnconditionally, conflictTakenForSuccess, deleteBeforeCopy
    case listingEndsEarly, anyVersionRead
    // The core itself; see `DeliberateFault`.
    case forgetsIntent, forgetsNode, acknowledgesEarly, publishesUnclosed, forgetsAttempts, keepsOldVersion
    case discardsStagedEarly, ignoresOrder, handleFollowsVersion

    var faults: Set<DeliberateFault> { DeliberateFault(rawValue: rawValue).map { [$0] } ?? [] }
}
