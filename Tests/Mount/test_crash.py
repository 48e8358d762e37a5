"""The daemon is killed at any moment, again and again: what a program was told is safe is there, then S3 has it.

Several machines work side by side, each on a space of its own. Their daemons die at work, with changes in the queue and
while the block cache evicts, and again while the next ones come up and read the journal. COGNITOFS_CRASH_SECONDS says for
how long; the run of a release takes thousands.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter

import pytest

from harness import autopsy, places, sweep
from harness.child import Background
from harness.ledger import GONE, Ended, Tree, Writer, differences, expected
from harness.person import shell
from harness.proxy import Proxy

SECONDS = float(os.environ.get("COGNITOFS_CRASH_SECONDS", "90"))
SEED = int(os.environ.get("COGNITOFS_CRASH_SEED", "1"))
ENOUGH, LONGEST = 200, max(SECONDS, 240.0)
"""So many kills even where that takes longer than SECONDS, but no longer than this."""
SPACES, WRITERS = 3, 3
CACHE = 1 << 20


def pending(mounted):
    """How many changes S3 does not have, as the daemon says; None if it does not answer."""
    done = mounted.person.run("status", mounted.path, "--json")
    return json.loads(done.stdout)["pending"] if done.returncode == 0 else None


def synced(mounted, within=120):
    mounted.person.run("sync", mounted.path, within=within, check=True)


def agree(bucket, account, mounted):
    """S3 has what the mount shows, and nothing else."""
    bucket, view = bucket.as_it_is, Tree.read(mounted.path)
    keys = bucket.list(account.prefix)
    there = {key[len(account.prefix) :] for key in keys if not key.endswith("/")}
    assert there == set(view.files), f"only on S3: {there - set(view.files)}; only here: {set(view.files) - there}"
    for path, body in view.files.items():
        assert bucket.get(account.prefix + path) == body, f"{path} has other bytes on S3"
    markers = {key[len(account.prefix) : -1] for key in keys if key.endswith("/")} - {""}
    assert markers <= view.folders, f"folders that are gone: {markers - view.folders}"
    assert not [name for name in view.files if "conflict" in name or "recovered" in name]


class Library:
    """Files that are read and never changed, more than the block cache holds: reading them has it evict all the time."""

    names = [f"{n}.raw" for n in range(24)]

    @staticmethod
    def body(name):
        return random.Random(name).randbytes(150_000)

    @classmethod
    def store(cls, bucket, prefix):
        for name in cls.names:
            bucket.put(f"{prefix}library/{name}", cls.body(name))

    @classmethod
    def read(cls, root, source, count=None):
        """Reads until the daemon is gone, or `count` files."""
        done = 0
        while count is None or done < count:
            name = source.choice(cls.names)
            try:
                found = cls.read_one(root / "library" / name)
            except OSError as error:
                at = time.monotonic()
                if error.errno not in GONE or count is not None:
                    raise
                return Ended(done, error.errno, at)
            assert found == cls.body(name), f"{name} is read with other bytes"
            done += 1

    @staticmethod
    def read_one(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            # So that the daemon is asked, and not the kernel's cache.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            return os.pread(descriptor, 1 << 20, 0)
        finally:
            os.close(descriptor)


class Crashes:
    """Rounds of work and death on one space."""

    def __init__(self, person, wire, bucket, seed):
        self.person, self.folder, self.wire = person, person.root, wire
        self.bucket, self.source = bucket.as_it_is, random.Random(seed)
        self.trees, self.steps = {n: Tree() for n in range(WRITERS)}, {n: [] for n in range(WRITERS)}
        self.mounted, self.counts, self.start_takes, self.torn = None, Counter(), 0.4, set()

    def ledger(self, number):
        return self.folder / f"ledger{number}"

    def chance(self, probability):
        return self.source.random() < probability

    # Coming up

    def mount(self):
        """Mounts, with or without the block cache; before that dies some times on the way up."""
        if self.chance(0.5):
            shell(f"rm -rf '{self.person.cache}'", self.folder)
        while self.chance(0.75):
            self.die_while_mounting()
        self.wire.order("pass")
        began = time.monotonic()
        self.mounted = self.person.mount(where=self.folder / "m")
        self.start_takes = time.monotonic() - began

    def die_while_mounting(self):
        where = self.folder / "m"
        where.mkdir(exist_ok=True)
        # With no server to send to, what is still to be opened can only be the replay's.
        is_alone = self.chance(0.7)
        self.wire.order("refuse" if is_alone else "pass")
        with open(self.folder / "early.log", "ab") as out:
            daemon = subprocess.Popen(
                [self.person.binary, "mount", where, "--config", self.person.conf, "--foreground"], stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, env=self.person.environment, start_new_session=True,
            )  # fmt: skip
        self.wait_for_a_moment(daemon)
        if self.chance(0.8) and autopsy.freeze(daemon):
            stage = autopsy.stage(daemon, self.person.state, where)
            self.counts[stage if is_alone or stage != "in the replay" else "replay or sending"] += 1
        assert daemon.poll() is None, f"a mount ended by itself with {daemon.returncode}"
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(10)
        self.counts["kills"] += 1
        self.counts["coming up"] += 1
        if sweep.is_mounted(where):
            subprocess.run(["umount", "-l", where], check=True, timeout=20)

    def wait_for_a_moment(self, daemon):
        """Any moment until it answers and a little later, or one in the milliseconds after the journal was opened."""
        if self.chance(0.3):
            return time.sleep(self.source.random() * self.start_takes * 1.3)
        limit = time.monotonic() + 2
        while not autopsy.has_journal(daemon) and daemon.poll() is None and time.monotonic() < limit:
            time.sleep(0.0005)
        time.sleep(self.source.random() * 0.006)

    # At work

    def work_and_die(self):
        rate = self.source.choice([None, 60_000, 300_000, 2_000_000, 0, 0])
        self.wire.order("refuse" if rate is None else f"rate {rate}")
        work = []
        for number, tree in self.trees.items():
            writer = Writer(self.mounted.path / f"writer{number}", self.ledger(number), tree, self.source.random(), most=30)
            work.append(Background(writer.run))
        if rate in (0, 300_000, 2_000_000):
            work.append(Background(Library.read, self.mounted.path, random.Random(self.source.random())))
        time.sleep(self.source.random() ** 2 * 1.2)
        self.die()
        for one in work:
            one.result(within=20).check(self.died)
        # What is still on the way of a request gets lost; what S3 has got has its effect.
        self.wire.order("refuse")
        self.wire.order("rate 0")
        self.mounted.detach()

    def die(self):
        left, before = pending(self.mounted), autopsy.cached(self.person.cache)
        time.sleep(0.05 + self.source.random() * 0.05)
        self.died = time.monotonic()
        if self.chance(0.8):
            autopsy.freeze(self.mounted.process)
            self.counts["evicting"] += bool(before - autopsy.cached(self.person.cache))
        self.mounted.kill()
        self.counts["kills"] += 1
        self.counts["with a queue"] += bool(left)
        torn = autopsy.rows_without_files(self.person.cache)
        self.counts["in the middle of an eviction"] += bool(torn - self.torn)
        self.torn |= torn

    # What must be there

    def check(self):
        for number, before in self.trees.items():
            states = expected(self.ledger(number), before)
            root = self.mounted.path / f"writer{number}"
            found = Tree.read(root)
            if not found.is_one_of(states, root):
                raise AssertionError(self.difference(number, found.state(), states))
            self.trees[number] = found
            self.remember(number)
        Library.read(self.mounted.path, self.source, 3)

    def difference(self, number, seen, states):
        wanted = states[0]
        self.remember(number)
        odd = {os.path.basename(p) for p in (set(wanted[0]) ^ set(seen[0])) | (wanted[1] ^ seen[1])}
        odd |= {os.path.basename(p) for p in wanted[0] if p in seen[0] and (seen[0][p], seen[2][p]) != (wanted[0][p], wanted[2][p])}
        steps = self.steps[number]
        told = [line for at, line in enumerate(steps) if at >= len(steps) - 6 or any(name in line for name in odd)]
        top = f"{self.person.account.prefix}writer{number}/"
        asked = [
            f"{r.time:.3f} {r.method} {r.key.removeprefix(top)} {r.headers.get('x-amz-copy-source', '').rpartition(top)[2]}"
            for r in self.wire.requests() if r.key and r.key.startswith(top) and any(name in r.key for name in odd)
        ]  # fmt: skip
        return (
            f"{dict(self.counts)}, writer {number}: {differences(seen, wanted)}; "
            f"there before {sorted(self.trees[number].folders)}\nthe steps: " + "\n  ".join(told[-150:])
            + "\nthe requests: " + "\n  ".join(asked[-150:])
        )  # fmt: skip

    def remember(self, number):
        """The steps of all rounds, for who has to find out what led to a difference."""
        self.steps[number] += [f"{time.time():.3f} after {self.counts['kills']} kills:"]
        self.steps[number] += [line for line in self.ledger(number).read_text().splitlines() if line != "ok"]

    def run(self, seconds, enough):
        """Works and dies for `seconds`, and longer until that were `enough` kills. Returns what the kills met."""
        Library.store(self.bucket, self.person.account.prefix)
        self.mounted = self.person.mount(where=self.folder / "m")
        for number in self.trees:
            os.mkdir(self.mounted.path / f"writer{number}")
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds or self.counts["kills"] < enough and passed < LONGEST:
            self.work_and_die()
            self.mount()
            self.check()
        synced(self.mounted)
        agree(self.bucket, self.person.account, self.mounted)
        self.mounted.unmount()
        return self.counts


@pytest.fixture
def wires(aws):
    """A wire for each space."""
    folders = [places.folder() for _ in range(SPACES)]
    made = [Proxy(aws.port, folder) for folder in folders]
    yield made
    for proxy, folder in zip(made, folders):
        proxy.close()
        places.remove(folder)


@pytest.mark.within(LONGEST + 120)
def test_killed_again_and_again(people, wires, bucket):
    """Killed at any moment, also while it comes up: what was told is there with equal bytes, and at the end S3 agrees."""
    spaces = []
    for number, wire in enumerate(wires):
        one = people(wire=wire, mount__durability="local", mount__freshness=1, cache__size=CACHE)
        spaces.append(Background(Crashes(one, wire, bucket, SEED * 100 + number).run, SECONDS, ENOUGH / SPACES))
    counts = sum((space.result(within=LONGEST + 60) for space in spaces), Counter())
    print("kills:", ", ".join(f"{count} {what}" for what, count in counts.most_common()))
    assert counts["kills"] >= ENOUGH
    # Where hardly a kill met what it was to meet, nothing is shown.
    assert counts["with a queue"] >= ENOUGH / 20
    assert counts["in the replay"] >= ENOUGH / 50
    assert counts["after the replay"] and counts["mounted"]
    assert counts["evicting"] >= ENOUGH / 100
