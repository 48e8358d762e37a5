"""Without a network, with a daemon that stands still, and on a disk that is full: what was told is kept, and goes on."""

import errno
import os
import random
import signal
import subprocess
import time

import pytest

from harness import places
from harness.child import PATIENCE, Background
from harness.ledger import Tree
from harness.person import shell
from harness.syscalls import write_all
from test_crash import agree, pending, synced

COUNT = int(os.environ.get("COGNITOFS_OFFLINE_FILES", "1000"))


@pytest.mark.within(180)
def test_a_day_without_network(people, wire, bucket):
    """Mounted without a server, over a kill too: edits, renames, deletions and a thousand saves are on S3 when it is back."""
    one = people(wire=wire, mount__durability="local", mount__freshness=5)
    for n in range(40):
        bucket.put(f"{one.account.prefix}old/{n}.txt", b"old %d " % n * 1000)
    mounted = one.mount()
    known = Tree.read(mounted.path)
    assert len(known.files) == 40
    mounted.unmount()
    wire.order("refuse")

    mounted = mounted_within(10, one, mounted.path)
    assert Tree.read(mounted.path) == known
    began = time.monotonic()
    os.mkdir(mounted.path / "new")
    for n in range(COUNT):
        write_all(mounted.path / "new" / f"{n}.tmp", b"new %d" % n)
        os.rename(mounted.path / "new" / f"{n}.tmp", mounted.path / "new" / f"{n}.txt")
    for n in range(0, 40, 4):
        os.unlink(mounted.path / f"old/{n}.txt")
        os.rename(mounted.path / f"old/{n + 1}.txt", mounted.path / f"old/moved {n}.txt")
        write_all(mounted.path / f"old/{n + 2}.txt", b"edited", flags=os.O_APPEND)
    os.rename(mounted.path / "new", mounted.path / "renamed")
    took = time.monotonic() - began
    assert took < 60, f"{took:.0f} s: every change waited for the network"
    view = Tree.read(mounted.path)
    wanted = {f"renamed/{n}.txt": b"new %d" % n for n in range(COUNT)}
    for n in range(0, 40, 4):
        wanted[f"old/moved {n}.txt"] = known.files[f"old/{n + 1}.txt"]
        wanted[f"old/{n + 2}.txt"] = known.files[f"old/{n + 2}.txt"] + b"edited"
        wanted[f"old/{n + 3}.txt"] = known.files[f"old/{n + 3}.txt"]
    assert view.files == wanted and view.folders == {"old", "renamed"}
    mounted.kill()
    mounted.detach()

    again = mounted_within(10, one, mounted.path)
    assert pending(again) > COUNT
    assert Tree.read(again.path) == view
    time.sleep(3)
    mark = wire.mark()
    wire.order("pass")
    synced(again, within=100)
    agree(bucket, one.account, again)
    assert Tree.read(again.path) == view
    requests = [r for r in wire.requests(mark) if r.key and r.method in ("PUT", "POST", "DELETE")]
    # One for each file, a copy and a deletion for what was moved, and a few that were cut off.
    assert len(requests) <= COUNT + 100, f"{len(requests)} requests for {COUNT + 30} changes"


def mounted_within(seconds, person, where):
    began = time.monotonic()
    mounted = person.mount(where)
    assert time.monotonic() - began < seconds * PATIENCE
    return mounted


@pytest.mark.within(90)
def test_a_daemon_that_stands_still(people, wire, bucket):
    """Suspend and resume: the daemon stands still in the middle of work and goes on; no call fails for it."""
    one = people(wire=wire, mount__durability="local", mount__freshness=1)
    bucket.put(one.account.prefix + "there", bytes(3_000_000))
    mounted = one.mount()

    def work(limit):
        number = 0
        while time.monotonic() < limit:
            write_all(mounted.path / f"{number}", random.Random(number).randbytes(20_000))
            assert "there" in os.listdir(mounted.path)
            number += 1
        return number

    wire.order("rate 400000")
    pause = float(os.environ.get("COGNITOFS_PAUSE_SECONDS", "15"))
    working = Background(work, time.monotonic() + pause + 6)
    time.sleep(2)
    mounted.process.send_signal(signal.SIGSTOP)
    time.sleep(pause)
    mounted.process.send_signal(signal.SIGCONT)
    count = working.result(within=pause + 40)
    wire.order("rate 0")
    assert count > 10
    synced(mounted)
    for number in range(count):
        assert bucket.get(one.account.prefix + f"{number}") == random.Random(number).randbytes(20_000)
    agree(bucket, one.account, mounted)


@pytest.fixture
def small_disk():
    folder = places.folder()
    (folder / "mnt").mkdir()
    shell("truncate -s 32M image; mkfs.ext4 -q -m 0 image; mount -o loop image mnt; chmod 700 mnt", folder)
    yield folder / "mnt"
    subprocess.run(["umount", "-l", folder / "mnt"], check=True, timeout=20)
    places.remove(folder)


@pytest.mark.within(120)
def test_full_state_disk(people, wire, bucket, small_disk):
    """A disk that is full in the middle of a copy: ENOSPC, the mount lives, and what was told reaches S3 when there is room."""
    one = people(
        wire=wire, signed_in=False, mount__durability="local", mount__freshness=60, cache__state_directory=str(small_disk / "state")
    )
    one.login()
    mounted = one.mount()
    os.listdir(mounted.path)
    wire.order("hang")
    (small_disk / "other").write_bytes(bytes(12 << 20))
    told, refused = {}, None
    for number in range(60):
        body = random.Random(number).randbytes(700_000)
        try:
            write_all(mounted.path / f"{number}", body)
            told[f"{number}"] = body
        except OSError as error:
            assert error.errno == errno.ENOSPC, errno.errorcode[error.errno]
            refused = number
            break
    assert refused and len(told) > 5, "the disk was never full"
    # Small changes are refused or kept, and the mount answers.
    for name in ("a", "b"):
        try:
            write_all(mounted.path / name, b"small")
            told[name] = b"small"
        except OSError as error:
            assert error.errno == errno.ENOSPC
    for name, body in told.items():
        assert (mounted.path / name).read_bytes() == body
    mounted.kill()
    mounted.detach()
    wire.order("pass")
    os.unlink(small_disk / "other")
    again = one.mount(where=mounted.path)
    for name, body in told.items():
        assert (again.path / name).read_bytes() == body, f"{name} is not what was told"
    write_all(again.path / "later", b"room again")
    synced(again)
    for name, body in told.items():
        assert bucket.get(one.account.prefix + name) == body
    assert bucket.get(one.account.prefix + "later") == b"room again"
    agree(bucket, one.account, again)


@pytest.mark.within(120)
def test_a_queue_that_outgrows_the_disk_drains(people, wire, bucket, small_disk):
    """The same with a server: the copy gets ENOSPC or waits, and everything that was told is on S3 without a restart."""
    one = people(
        wire=wire, signed_in=False, mount__durability="local", mount__freshness=60, cache__state_directory=str(small_disk / "state")
    )
    one.login()
    mounted = one.mount()
    wire.order("rate 1500000")
    told, refusals, number, limit = {}, 0, 0, time.monotonic() + 70
    while len(told) < 45 and time.monotonic() < limit:
        number += 1
        body = random.Random(number).randbytes(900_000)
        try:
            write_all(mounted.path / f"{number}", body)
            told[f"{number}"] = body
        except OSError as error:
            assert error.errno == errno.ENOSPC, errno.errorcode[error.errno]
            refusals += 1
            if f"{number}" in os.listdir(mounted.path):
                os.unlink(mounted.path / f"{number}")
            time.sleep(0.3)
    wire.order("rate 0")
    synced(mounted)
    assert len(told) == 45 and refusals, "less than the disk holds was written"
    for name, body in told.items():
        assert bucket.get(one.account.prefix + name) == body, f"{name} is not what was told"
    write_all(mounted.path / "later", b"room again")
    synced(mounted)
    assert bucket.get(one.account.prefix + "later") == b"room again"
