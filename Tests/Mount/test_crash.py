"""The daemon is killed at any moment, again and again: what a program was told is safe is there, then S3 has it.

COGNITOFS_CRASH_SECONDS says for how long; the run of a release takes thousands.
"""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from harness import sweep
from harness.child import Background
from harness.ledger import Tree, Writer, expected
from harness.person import shell

SECONDS = float(os.environ.get("COGNITOFS_CRASH_SECONDS", "60"))
SEED = int(os.environ.get("COGNITOFS_CRASH_SEED", "1"))
WRITERS = 3


def pending(mounted):
    """How many changes S3 does not have, as the daemon says; None if it does not answer."""
    done = mounted.person.run("status", mounted.path, "--json")
    return json.loads(done.stdout)["pending"] if done.returncode == 0 else None


def synced(mounted, within=120):
    mounted.person.run("sync", mounted.path, within=within, check=True)


def agree(bucket, account, mounted):
    """S3 has what the mount shows, and nothing else."""
    view = Tree.read(mounted.path)
    keys = bucket.list(account.prefix)
    there = {key[len(account.prefix) :] for key in keys if not key.endswith("/")}
    assert there == set(view.files), f"only on S3: {there - set(view.files)}; only here: {set(view.files) - there}"
    for path, body in view.files.items():
        assert bucket.get(account.prefix + path) == body, f"{path} has other bytes on S3"
    markers = {key[len(account.prefix) : -1] for key in keys if key.endswith("/")} - {""}
    assert markers <= view.folders, f"folders that are gone: {markers - view.folders}"
    assert not [name for name in view.files if "conflict" in name or "recovered" in name]


class Crashes:
    """Rounds of work and death on one space."""

    def __init__(self, person, folder, wire, source):
        self.person, self.folder, self.wire, self.source = person, folder, wire, source
        self.trees = {n: Tree() for n in range(WRITERS)}
        self.mounted, self.kills, self.busy_kills, self.early_kills = None, 0, 0, 0

    def ledger(self, number):
        return self.folder / f"ledger{number}"

    def mount(self, wreck=True):
        """Mounts, with or without the block cache; before that perhaps dies on the way up."""
        if self.source.random() < 0.5:
            shell(f"rm -rf '{self.person.cache}'", self.folder)
        while wreck and self.source.random() < 0.3:
            self.die_while_mounting()
        self.mounted = self.person.mount(where=self.folder / "m")

    def die_while_mounting(self):
        where, log = self.folder / "m", self.folder / "early.log"
        where.mkdir(exist_ok=True)
        with open(log, "ab") as out:
            daemon = subprocess.Popen(
                [self.person.binary, "mount", where, "--config", self.person.conf, "--foreground"], stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, env=self.person.environment, start_new_session=True,
            )  # fmt: skip
        time.sleep(self.source.random() * 0.25)
        daemon.send_signal(signal.SIGKILL)
        daemon.wait(10)
        self.early_kills += 1
        if sweep.is_mounted(where):
            subprocess.run(["umount", "-l", where], check=True, timeout=20)

    def work_and_die(self):
        self.wire.order(f"rate {self.source.choice([60_000, 300_000, 2_000_000])}")
        workers = []
        for number, tree in self.trees.items():
            root = self.mounted.path / f"writer{number}"
            writer = Writer(root, self.ledger(number), tree, self.source.random())
            workers.append(Background(writer.run))
        time.sleep(self.source.random() ** 2 * 1.2)
        if self.source.random() < 0.5:
            # The rest of what happened is on its way to S3 while the daemon dies.
            time.sleep(0.1)
        left = pending(self.mounted)
        self.mounted.kill()
        self.kills += 1
        self.busy_kills += bool(left)
        for work in workers:
            work.result(within=20)
        # What is still on the way of a request gets lost; what S3 has got has its effect.
        self.wire.order("refuse")
        self.wire.order("pass")
        self.wire.order("rate 0")
        self.mounted.detach()

    def check(self):
        for number, before in self.trees.items():
            states = expected(self.ledger(number), before)
            found = Tree.read(self.mounted.path / f"writer{number}")
            seen = (found.hashes(), found.folders)
            if seen not in states:
                raise AssertionError(self.difference(number, seen, states))
            self.trees[number] = found

    def difference(self, number, seen, states):
        wanted = states[0]
        lines = self.ledger(number).read_text().splitlines()
        odd = {p.split("/")[0] for p in (set(wanted[0]) ^ set(seen[0])) | (wanted[1] ^ seen[1])}
        last = [line for at, line in enumerate(lines) if at >= len(lines) - 6 or any(f'"{name}' in line for name in odd)]
        keys = sorted(self.person.aws.bucket.list(f"{self.person.account.prefix}writer{number}/"))
        last += ["on S3:"] + [key.split("/images/")[1] for key in keys if any(f"/{name}" in key for name in odd)]
        return (
            f"round {self.kills}, writer {number}: missing {sorted(set(wanted[0]) - set(seen[0]))}, "
            f"too many {sorted(set(seen[0]) - set(wanted[0]))}, "
            f"other bytes {[p for p in wanted[0] if p in seen[0] and seen[0][p] != wanted[0][p]]}, "
            f"folders missing {sorted(wanted[1] - seen[1])}, too many {sorted(seen[1] - wanted[1])}; "
            f"there before {sorted(self.trees[number].folders)}; the last steps: {last}"
        )

    def run(self, seconds):
        self.mount(wreck=False)
        for number in self.trees:
            os.mkdir(self.mounted.path / f"writer{number}")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.work_and_die()
            self.mount()
            self.check()


@pytest.mark.within(SECONDS + 120)
def test_killed_again_and_again(people, wire, bucket):
    """Killed at any moment, also while it comes up: what was told is there with equal bytes, and at the end S3 agrees."""
    one = people(wire=wire, mount__durability="local", mount__freshness=1, cache__size=4 << 20)
    crashes = Crashes(one, one.root, wire, random.Random(SEED))
    crashes.run(SECONDS)
    synced(crashes.mounted)
    agree(bucket, one.account, crashes.mounted)
    crashes.mounted.unmount()
    print(f"{crashes.kills} kills, {crashes.busy_kills} of them with changes in the queue, {crashes.early_kills} while it came up")
    assert crashes.busy_kills >= crashes.kills / 4, "hardly a kill met a queue: nothing is shown"
    assert crashes.kills >= SECONDS / 10
