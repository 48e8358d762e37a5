import Journal
import Synchronization
import SystemPackage

/// Staged files that nothing leads to any more.
struct Discards: Sendable {
    var waiting: [StagedFile] = []
    /// What an earlier run has left, by name.
    var leftovers: [String] = []
    var isRunning = false
}

extension Volume {
    /// Removes staged files' logs, soon. While the journal on the disk speaks of one, that stays: a power cut may take back
    /// what the journal said last, but not the removal of a file, which the disk keeps in an order of its own. The next
    /// start removes what is left over.
    func discard(_ staged: [StagedFile], leftovers: [String] = []) {
        if staged.isEmpty, leftovers.isEmpty { return }
        let isFirst = discards.withLock { discards in
            discards.waiting += staged
            discards.leftovers += leftovers
            defer { discards.isRunning = true }
            return !discards.isRunning
        }
        if isFirst { Task(executorPreference: clock.executor) { await self.removeDiscarded() } }
    }

    /// One sync of the journal is for all that came in meanwhile; the pause lets more come.
    private func removeDiscarded() async {
        while true {
            guard (try? await clock.sleep(.milliseconds(500))) != nil else { return }
            let batch = discards.withLock { discards in
                defer { (discards.waiting, discards.leftovers) = ([], []) }
                discards.isRunning = !(discards.waiting.isEmpty && discards.leftovers.isEmpty)
                return discards
            }
            if !batch.isRunning { return }
            do throws(Errno) {
                if !options.faults.contains(.discardsStagedEarly) { try syncRows() }
            } catch {
                discards.withLock { discards in
                    discards.waiting += batch.waiting
                    discards.leftovers += batch.leftovers
                }
                guard (try? await clock.sleep(.seconds(10))) != nil else { return }
                continue
            }
            for staged in batch.waiting { staged.discard() }
            journal.staging.remove(batch.leftovers)
        }
    }
}
