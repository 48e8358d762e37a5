extension PlatterState {
    /// Puts the changes of a directory's names on the disk; what they need of other directories, with them.
    mutating func syncNames(of directory: Int) {
        var directories: Set<Int> = [directory]
        var taken: [Bool] = []
        // A change that touches two directories takes along all that came before it in the other.
        repeat {
            let before = directories.count
            taken = pending.map { $0.contains { directories.contains($0.directory) } }
            for (change, isTaken) in zip(pending, taken) where isTaken {
                directories.formUnion(change.map(\.directory))
            }
            if directories.count == before { break }
        } while true
        for (change, isTaken) in zip(pending, taken) where isTaken { settle(change) }
        pending = zip(pending, taken).filter { !$0.1 }.map(\.0)
    }

    private mutating func settle(_ changes: [NameChange]) {
        for change in changes {
            guard case .directory(var directory) = nodes[change.directory] else { continue }
            nodes[change.directory] = .directory(Directory())
            directory.durable[change.name] = change.node
            nodes[change.directory] = .directory(directory)
        }
    }

    mutating func loseWhatIsNotSynced() {
        boot += 1
        living = []
        settleSome()
        pending = []
        halts = [:]
        used = 0
        for index in nodes.indices {
            switch nodes[index] {
            case .directory(var directory):
                directory.live = directory.durable
                nodes[index] = .directory(directory)
            case .file:
                withFile(index) { file in
                    file.linkCount = 0
                    file.isFreed = false
                }
            }
        }
        countLinks()
        for index in nodes.indices {
            var generator = random
            let size = withFile(index) { file -> Int in
                file.losePower(&generator)
                file.isFreed = file.linkCount == 0
                return file.isFreed ? 0 : file.live.count
            }
            random = generator
            used += Int64(size ?? 0)
        }
    }

    /// Changes of names that made it though nobody synced them. A journal writes them in order, over all directories or
    /// in each of them by itself.
    private mutating func settleSome() {
        if random.happens(0.5) {
            for change in pending[..<Int.random(in: 0...pending.count, using: &random)] { settle(change) }
            return
        }
        var stopped: Set<Int> = []
        for change in pending {
            let directories = change.map(\.directory)
            if stopped.isDisjoint(with: directories), random.happens(0.7) {
                settle(change)
            } else {
                stopped.formUnion(directories)
            }
        }
    }

    private mutating func countLinks() {
        var waiting = [Self.root]
        while let next = waiting.popLast() {
            guard case .directory(let directory) = nodes[next] else { continue }
            for node in directory.live.values {
                if withFile(node, { $0.linkCount += 1 }) == nil { waiting.append(node) }
            }
        }
    }
}
