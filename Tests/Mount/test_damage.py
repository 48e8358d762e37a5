"""The cache on disk: damaged, full, killed, shared. It may cost time, never bytes."""

import errno
import os
import random
import subprocess
import time

import pytest

from harness import places, sweep
from harness.child import Background, eventually
from harness.person import shell
from harness.syscalls import read_all, write_all


def filled(bucket, account, sizes=(100, 70_000, 65_536, 1_500_000, 5_000_001)):
    contents = {f"file {n}.jpg": random.Random(n).randbytes(size) for n, size in enumerate(sizes)}
    for name, body in contents.items():
        bucket.put(account.prefix + name, body)
    return contents


def check(mounted, contents):
    for name, body in contents.items():
        assert read_all(mounted.path / name) == body, f"{name} has other bytes"


def cache_files(person):
    return sorted(p for p in person.cache.rglob("*") if p.is_file() and p.stat().st_size)


def cache_bytes(person):
    return sum(p.stat().st_blocks * 512 for p in person.cache.rglob("*") if p.is_file())


def test_a_remount_reads_from_the_cache(people, wire, bucket):
    """It survives remount: what was read is there again without a GET."""
    one = people(wire=wire)
    contents = filled(bucket, one.account)
    first = one.mount()
    check(first, contents)
    first.unmount()
    assert cache_bytes(one) > 6_000_000
    again = one.mount()
    mark = wire.mark()
    check(again, contents)
    assert [r.path for r in wire.requests(mark) if r.method == "GET" and r.key] == []


def test_the_cache_survives_kill(people, wire, bucket):
    """It survives crash: after SIGKILL what was read is there again without a GET."""
    one = people(wire=wire)
    contents = filled(bucket, one.account)
    first = one.mount()
    check(first, contents)
    time.sleep(1)
    first.kill()
    first.detach()
    again = one.mount()
    mark = wire.mark()
    check(again, contents)
    fetched = sum(1 for r in wire.requests(mark) if r.method == "GET" and r.key)
    assert fetched <= 1, "the cache was lost"


def flip(path, source):
    with open(path, "r+b") as file:
        at = source.randrange(os.stat(path).st_size)
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ (1 << source.randrange(8))]))


def zero(path, source):
    size = os.stat(path).st_size
    at = source.randrange(size)
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(bytes(min(size - at, source.choice([1, 512, 4096, 70_000]))))


def cut(path, source):
    os.truncate(path, source.randrange(os.stat(path).st_size))


def swap(path, source):
    other = source.choice([p for p in path.parent.iterdir() if p.is_file()])
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


@pytest.mark.parametrize("damage", [flip, zero, cut, swap], ids=lambda f: f.__name__)
@pytest.mark.within(90)
def test_damage_never_reaches_a_reader(people, bucket, damage):
    """A flipped byte anywhere in the cache directory never reaches a reader: a damaged block is a miss."""
    one = people()
    contents = filled(bucket, one.account)
    mounted = one.mount()
    check(mounted, contents)
    mounted.unmount()
    source = random.Random(21)
    for _ in range(4):
        assert cache_files(one), "nothing is cached: the damage has met nothing"
        for path in cache_files(one):
            for _ in range(source.choice([1, 3])):
                if path.exists() and path.stat().st_size:
                    damage(path, source)
        mounted = one.mount()
        check(mounted, contents)
        mounted.unmount()


def test_damage_under_a_running_mount(people, bucket):
    """A flipped byte never reaches a reader, also while the mount runs."""
    one = people()
    contents = filled(bucket, one.account)
    mounted = one.mount()
    check(mounted, contents)
    source = random.Random(22)
    for _ in range(3):
        for path in cache_files(one):
            if not path.name.endswith(("-wal", "-shm")) and path.read_bytes()[:6] != b"SQLite":
                for _ in range(5):
                    flip(path, source)
        for name in contents:
            descriptor = os.open(mounted.path / name, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
        check(mounted, contents)


@pytest.mark.parametrize("loss", ["index", "blocks", "all"])
def test_lost_parts_of_the_cache(people, bucket, loss):
    """A lost or damaged index costs cached bytes, nothing else."""
    one = people()
    contents = filled(bucket, one.account)
    mounted = one.mount()
    check(mounted, contents)
    mounted.unmount()
    for path in cache_files(one):
        database = path.read_bytes()[:6] == b"SQLite" or path.name.endswith(("-wal", "-shm"))
        if loss == "all" or database == (loss == "index"):
            path.unlink()
    mounted = one.mount()
    check(mounted, contents)
    write_all(mounted.path / "new", b"x")
    assert bucket.get(one.account.prefix + "new") == b"x"
    mounted.unmount()
    check(one.mount(), contents)


@pytest.fixture
def small_disk():
    """A disk of 24 MiB: a loop device with ext4."""
    folder = places.folder()
    (folder / "mnt").mkdir()
    shell("truncate -s 24M image; mkfs.ext4 -q -m 0 image; mount -o loop image mnt; chmod 700 mnt", folder)
    yield folder / "mnt"
    subprocess.run(["umount", "-l", folder / "mnt"], check=True, timeout=20)
    places.remove(folder)


@pytest.mark.within(90)
def test_full_cache_disk(people, bucket, small_disk):
    """A full cache disk never gives EIO to a reader: reads pass through."""
    one = people(cache__directory=str(small_disk / "cache"))
    contents = filled(bucket, one.account, sizes=[3_000_000] * 12 + [500] * 20 + [20_000_000])
    mounted = one.mount()
    check(mounted, contents)
    with open(small_disk / "other", "wb") as other:
        with pytest.raises(OSError) as full:
            while True:
                other.write(bytes(1 << 16))
                other.flush()
        assert full.value.errno == errno.ENOSPC
        check(mounted, contents)
        mounted.unmount()
        mounted = one.mount()
        check(mounted, contents)
        try:
            write_all(mounted.path / "new", bytes(2_000_000))
        except OSError as error:
            assert error.errno == errno.ENOSPC
        else:
            assert bucket.get(one.account.prefix + "new") == bytes(2_000_000)
    os.unlink(small_disk / "other")
    write_all(mounted.path / "later", b"room again")
    assert bucket.get(one.account.prefix + "later") == b"room again"
    check(mounted, contents)


def test_cache_disk_turned_read_only(people, bucket, small_disk):
    """A read-only or failing cache disk turns reads into pass-through."""
    one = people(cache__directory=str(small_disk / "cache"))
    contents = filled(bucket, one.account)
    mounted = one.mount()
    check(mounted, {"file 0.jpg": contents["file 0.jpg"]})
    subprocess.run(["mount", "-o", "remount,ro,abort", small_disk], capture_output=True, timeout=20)
    check(mounted, contents)


@pytest.mark.within(60)
def test_limit_of_the_cache(people, bucket):
    """`size` is a hard limit on clean bytes, checked before a write."""
    limit = 8 << 20
    one = people(cache__size=limit)
    contents = filled(bucket, one.account, sizes=[2_500_000] * 12)
    mounted = one.mount()
    watching = Background(_highest, one, mounted.path / "stop")
    check(mounted, contents)
    check(mounted, contents)
    write_all(mounted.path / "stop", b"")
    assert watching.result() < limit + (2 << 20), "clean bytes and an index of less than 2 MiB"
    # One file larger than the whole cache is read and written, and small ones after it.
    bucket.put(one.account.prefix + "huge", random.Random(5).randbytes(20 << 20))
    eventually(lambda: (mounted.path / "huge").exists())
    assert read_all(mounted.path / "huge") == random.Random(5).randbytes(20 << 20)
    write_all(mounted.path / "written", random.Random(6).randbytes(20 << 20))
    assert bucket.head(one.account.prefix + "written")["ContentLength"] == 20 << 20
    write_all(mounted.path / "small", b"small")
    assert read_all(mounted.path / "small") == b"small"


def _highest(person, stop):
    highest = 0
    while not stop.exists():
        try:
            highest = max(highest, cache_bytes(person))
        except FileNotFoundError:
            pass
        time.sleep(0.05)
    return highest


def test_killed_daemon(people, bucket):
    """A dead daemon leaves "Transport endpoint is not connected": the next mount on that point clears it."""
    one = people()
    mounted = one.mount()
    write_all(mounted.path / "closed", b"kept")
    mounted.kill()
    with pytest.raises(OSError) as dead:
        os.listdir(mounted.path)
    assert dead.value.errno == errno.ENOTCONN
    again = one.mount(mounted.path)
    assert read_all(again.path / "closed") == b"kept"
    assert len([entry for entry in sweep.mount_table() if entry[0] == str(again.path)]) == 1
    again.unmount()


@pytest.mark.within(60)
def test_killed_while_it_writes(people, bucket):
    """After SIGKILL every file whose close returned (remote) is on S3, whole, and no other is there in part."""
    one = people(mount__durability="remote")
    mounted = one.mount()

    def write(progress):
        for number in range(10_000):
            write_all(mounted.path / f"{number}", random.Random(number).randbytes(200_000))
            os.write(progress, b"%d\n" % number)

    reader, progress = os.pipe()
    writing = Background(write, progress)
    os.close(progress)
    told = b""
    while told.count(b"\n") < 20:
        told += os.read(reader, 1 << 20)
    mounted.kill()
    try:
        writing.result(within=10)
    except Exception as ended:
        assert "not connected" in str(ended) or "abort" in str(ended), ended
    told = (told + os.read(reader, 1 << 20)).split()
    kept = bucket.list(one.account.prefix)
    for number in map(int, told):
        assert bucket.get(one.account.prefix + f"{number}") == random.Random(number).randbytes(200_000)
    assert set(kept.values()) == {200_000}
    assert len(kept) <= len(told) + 1
    mounted.detach()
    again = one.mount()
    # What was closed and had no answer yet, the next mount sends: that one file may be there besides.
    one.run("sync", again.path, check=True)
    there = bucket.list(one.account.prefix)
    assert set(kept) <= set(there) and len(there) <= len(told) + 1 and set(there.values()) == {200_000}
    assert set(os.listdir(again.path)) == {key[len(one.account.prefix) :] for key in there}


def test_a_second_mount_is_refused(people, bucket):
    """Changes of one space belong to one mount at a time: a second one is refused in a sentence, and the first goes on."""
    one = people(mount__durability="local")
    contents = filled(bucket, one.account)
    first = one.mount()
    check(first, contents)
    (one.root / "second").mkdir()
    refused = one.run("mount", one.root / "second", "--config", one.conf, "--foreground")
    assert refused.returncode == 71
    assert f"is mounted on {first.path} already" in refused.stderr and refused.stderr.count("\n") == 1
    write_all(first.path / "new", b"x")
    check(first, contents)
    first.unmount()
    again = one.mount()
    check(again, contents | {"new": b"x"})
    assert bucket.get(one.account.prefix + "new") == b"x"
