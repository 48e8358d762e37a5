"""The power goes: whatever the disk of the journal had not been made to write is gone. What was fsynced is there.

The state directory lies on an ext4 of its own. At the cut the daemon is killed, and the file system is shut down without
writing anything more, neither its journal nor its page cache, and mounted again.
COGNITOFS_POWER_SECONDS says for how long.
"""

import fcntl
import json
import os
import random
import struct
import subprocess
import time
from pathlib import Path

import pytest

from harness import places
from harness.child import Background
from harness.ledger import EMPTY, MADE_WITH, Tree, Writer, applied, differences
from harness.person import shell
from harness.syscalls import write_all
from test_crash import agree, pending, synced

SECONDS = float(os.environ.get("COGNITOFS_POWER_SECONDS", "40"))
SEED = int(os.environ.get("COGNITOFS_CRASH_SEED", "1"))
WRITERS = 2
EXT4_IOC_SHUTDOWN, NOTHING_MORE_IS_WRITTEN = 0x8004587D, 2


class Disk:
    """An ext4 that can lose its power."""

    def __init__(self, folder, size="128M"):
        self.folder, self.mnt = folder, folder / "mnt"
        self.mnt.mkdir()
        shell(f"truncate -s {size} image; mkfs.ext4 -q -m 0 image", folder)
        self.up()

    def up(self):
        # Names and sizes reach the disk every second; bytes that nobody synced much later.
        shell("mount -o loop,commit=1 image mnt; chmod 700 mnt", self.folder)

    def cut(self):
        descriptor = os.open(self.mnt, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NOTHING_MORE_IS_WRITTEN))
        finally:
            os.close(descriptor)

    def down(self):
        subprocess.run(["umount", self.mnt], check=True, timeout=20)


@pytest.fixture
def disk():
    folder = places.folder()
    made = Disk(folder)
    yield made
    subprocess.run(["umount", "-l", made.mnt], timeout=20)
    places.remove(folder)


def possible(ledger, before):
    """The states, as `Tree.state`, of which one must be there: that after the last fsync, and those after the steps that followed."""
    states, state, step = [before.state()], before.state(), None
    for line in Path(ledger).read_text().splitlines():
        if line == "ok":
            state = applied(step, *state)
            # Each put was fsynced, and each rename with its directory: with it what was before, a name that went included.
            states = [state] if step["do"] in ("put", "rename") else states + [state]
            step = None
        else:
            step = json.loads(line)
    if step:
        new = step["do"] == "put" and step["path"] not in state[0]
        states.append(applied(step, *state))
        states += [applied(step | {"sha": EMPTY}, *state)] if new else []
    return states


class Cuts:
    def __init__(self, person, disk, wire, source):
        self.person, self.disk, self.wire, self.source = person, disk, wire, source
        self.trees = {n: Tree() for n in range(WRITERS)}
        self.cuts, self.busy_cuts = 0, 0

    def mount(self):
        self.mounted = self.person.mount(where=self.person.root / "m")

    def ledger(self, number):
        return self.person.root / f"ledger{number}"

    def cut(self):
        left = pending(self.mounted)
        self.died = time.monotonic()
        self.mounted.kill()
        self.disk.cut()
        self.mounted.detach()
        self.cuts += 1
        self.busy_cuts += bool(left)
        return left

    def again(self):
        self.disk.down()
        self.disk.up()
        self.mount()
        self.close_again()

    def close_again(self):
        """What was fsynced, and its close is lost, is for nobody else yet: it is closed again, for good."""
        status = json.loads(self.person.run("status", self.mounted.path, "--json", check=True).stdout)
        assert status["unclosedCount"] == len(status["unclosed"])
        for file in status["unclosed"]:
            os.close(os.open(self.mounted.path / file["path"], os.O_WRONLY | os.O_APPEND))
        Writer.sync_folder(self.mounted.path)

    def work(self):
        """Nothing gets to S3 while they write, so that all there is comes from the disk."""
        self.wire.order("hang")
        workers = []
        for number, tree in self.trees.items():
            writer = Writer(self.mounted.path / f"writer{number}", self.ledger(number), tree, self.source.random(), synced=True)
            workers.append(Background(writer.run))
        # Sometimes long enough for the file system to have written names on its own.
        time.sleep(self.source.choice([0.3, 0.8, 1.6, 2.5]))
        self.cut()
        for work in workers:
            work.result(within=20).check(self.died)
        self.wire.order("pass")
        self.again()
        for number, before in self.trees.items():
            states = possible(self.ledger(number), before)
            root = self.mounted.path / f"writer{number}"
            found = Tree.read(root)
            if not found.is_one_of(states, root):
                raise AssertionError(self.difference(number, found, states))
            self.trees[number] = found

    def difference(self, number, found, states):
        last = self.ledger(number).read_text().splitlines()[-8:]
        told = "; or ".join(differences(found.state(), state) for state in states)
        return f"cut {self.cuts}, writer {number}: {told}; the last steps: {last}"

    def rest(self):
        """Nobody writes; the power goes while S3 gets what is left, and nothing may change."""
        for tree_number in self.trees:
            write_all(self.mounted.path / f"writer{tree_number}" / "last", b"last", mode=MADE_WITH)
            self.trees[tree_number].files["last"] = b"last"
            self.trees[tree_number].modes.setdefault("last", MADE_WITH)
            descriptor = os.open(self.mounted.path / f"writer{tree_number}" / "last", os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        time.sleep(self.source.random() * 2)
        self.cut()
        self.again()
        for number, tree in self.trees.items():
            root = self.mounted.path / f"writer{number}"
            found = Tree.read(root)
            assert found.is_one_of([tree.state()], root), self.difference(number, found, [tree.state()])
            self.trees[number] = found

    def run(self, seconds):
        self.mount()
        for number in self.trees:
            os.mkdir(self.mounted.path / f"writer{number}")
            Writer.sync_folder(self.mounted.path)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.work()
            self.rest()


@pytest.mark.within(SECONDS + 120)
def test_power_cut(people, wire, bucket, disk):
    """After a power cut what was fsynced is there with equal bytes, changes are in their order, nothing torn gets to S3."""
    one = people(
        wire=wire, signed_in=False, mount__durability="local", mount__freshness=600, cache__state_directory=str(disk.mnt / "state"),
        cache__directory=str(disk.mnt / "cache"), cache__size=4 << 20,
    )  # fmt: skip
    one.login()
    Writer.sync_folder(disk.mnt)
    os.sync()
    cuts = Cuts(one, disk, wire, random.Random(SEED))
    cuts.run(SECONDS)
    synced(cuts.mounted)
    agree(bucket, one.account, cuts.mounted)
    cuts.mounted.unmount()
    print(f"{cuts.cuts} cuts, {cuts.busy_cuts} with changes in the queue")
    assert cuts.busy_cuts >= cuts.cuts / 3


@pytest.mark.within(120)
def test_a_save_survives_the_power(people, wire, disk):
    """A file that was saved and synced, then replaced by another that was synced: after a power cut it is one of the two."""
    one = people(wire=wire, mount__durability="local", mount__freshness=600, cache__state_directory=str(disk.mnt / "state"), signed_in=False)
    one.login()
    os.sync()
    cuts = Cuts(one, disk, wire, random.Random(SEED))
    cuts.mount()
    mounted = cuts.mounted
    os.listdir(mounted.path)
    wire.order("hang")

    def saved(name, body):
        descriptor = os.open(mounted.path / name, os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(descriptor, body)
        os.fsync(descriptor)
        os.close(descriptor)

    names = [f"f{n}" for n in range(20)]
    for name in names:
        saved(name, b"former " + name.encode() * 5000)
        saved(name + ".tmp", b"latter " + name.encode() * 5000)
    for name in names:
        os.rename(mounted.path / (name + ".tmp"), mounted.path / name)
    # The file system writes the names on its own, before the bytes.
    time.sleep(3)
    cuts.cut()
    wire.order("pass")
    cuts.again()
    found = Tree.read(cuts.mounted.path).files
    for name in names:
        assert found.get(name, b"(gone)")[:6] in (b"former", b"latter"), f"{name} is neither: {found.get(name, b'(gone)')[:20]}"
        assert found[name][7:] == name.encode() * 5000
    cuts.mounted.unmount()
