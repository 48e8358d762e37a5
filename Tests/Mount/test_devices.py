"""Other devices: what somebody else changes, and who wins."""

import errno
import os
import random
import re
import time

import pytest

from harness.child import eventually
from harness.syscalls import fails_with, read_all, write_all

FRESHNESS = 1  # seconds, of the shared mount
CONFLICT = r" \(conflict from .+ \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d\)"


def theirs(space, bucket, path, body, **more):
    """Somebody else puts an object, and this mount has had the time to be told when it asks."""
    bucket.put(space.key(path), body, **more)


def test_foreign_creation_is_seen(here, space, bucket):
    """Foreign changes are visible in a directory at the latest `freshness` after the last look, when somebody looks again."""
    assert os.listdir(here) == []
    theirs(space, bucket, here / "new", b"x")
    time.sleep(FRESHNESS + 0.2)
    os.listdir(here)
    eventually(lambda: os.listdir(here) == ["new"], within=3)
    assert read_all(here / "new") == b"x"


def test_foreign_creation_of_a_name_known_absent(here, space, bucket):
    """Foreign changes are visible: a name that was looked up and absent appears."""
    assert not (here / "new").exists()
    theirs(space, bucket, here / "new", b"x")
    eventually(lambda: (here / "new").exists(), within=FRESHNESS + 3)


def test_foreign_deletion_is_seen(here, space, bucket):
    """Foreign changes are visible: a name goes."""
    theirs(space, bucket, here / "a", b"x")
    theirs(space, bucket, here / "stays", b"x")
    eventually(lambda: (here / "a").exists())
    bucket.delete(space.key(here / "a"))
    eventually(lambda: os.listdir(here) == ["stays"], within=FRESHNESS + 3)
    with fails_with(errno.ENOENT):
        os.stat(here / "a")


@pytest.mark.parametrize("length", [10, 100])
def test_foreign_change_is_seen(here, space, bucket, length):
    """A stale byte is never served under a new ETag; the size and the bytes change together."""
    theirs(space, bucket, here / "a", b"old" * 20)
    eventually(lambda: (here / "a").exists())
    assert read_all(here / "a") == b"old" * 20
    theirs(space, bucket, here / "a", b"n" * length)
    eventually(lambda: os.stat(here / "a").st_size == length, within=FRESHNESS + 3)
    assert read_all(here / "a") == b"n" * length


def test_foreign_change_of_the_same_size(here, space, bucket):
    """Validity by mtime or size serves stale bytes: cached bytes belong to (key, ETag)."""
    theirs(space, bucket, here / "a", b"old bytes")
    eventually(lambda: (here / "a").exists())
    assert read_all(here / "a") == b"old bytes"
    theirs(space, bucket, here / "a", b"new bytes")
    eventually(lambda: read_all(here / "a") == b"new bytes", within=FRESHNESS + 3)


def test_open_after_freshness_asks_first(here, space, bucket):
    """open() of a file not looked at within `freshness` asks S3 first."""
    theirs(space, bucket, here / "a", b"old bytes")
    eventually(lambda: (here / "a").exists())
    assert read_all(here / "a") == b"old bytes"
    time.sleep(FRESHNESS + 0.5)
    theirs(space, bucket, here / "a", b"NEW BYTES!")
    time.sleep(FRESHNESS + 0.5)
    assert read_all(here / "a") == b"NEW BYTES!"


def test_a_handle_reads_one_version(here, space, bucket):
    """A handle reads one version of the object from open to release."""
    old = random.Random(1).randbytes(200_000)
    theirs(space, bucket, here / "a", old)
    eventually(lambda: (here / "a").exists())
    descriptor = os.open(here / "a", os.O_RDONLY)
    assert os.pread(descriptor, len(old), 0) == old
    theirs(space, bucket, here / "a", random.Random(2).randbytes(200_000))
    time.sleep(FRESHNESS + 0.5)
    eventually(lambda: read_all(here / "a") != old, within=5)
    try:
        assert os.pread(descriptor, 100_000, 50_000) == old[50_000:150_000]
    except OSError as error:
        assert error.errno == errno.ESTALE
    os.close(descriptor)


def test_a_version_that_is_gone(here, space, bucket):
    """ESTALE if that version is gone from S3 and the bytes are not cached; never the bytes of another version."""
    length = 48 << 20
    theirs(space, bucket, here / "a", random.Random(3).randbytes(length))
    eventually(lambda: (here / "a").exists())
    descriptor = os.open(here / "a", os.O_RDONLY)
    os.pread(descriptor, 4096, 0)
    theirs(space, bucket, here / "a", bytes(length))
    with fails_with(errno.ESTALE):
        os.pread(descriptor, 4096, length - 8192)
    os.close(descriptor)
    eventually(lambda: os.stat(here / "a").st_size == length and read_all(here / "a")[-10:] == bytes(10), within=FRESHNESS + 5)


def test_both_changed(here, space, bucket):
    """If somebody else was faster, both stay: theirs under the name, ours beside it as `NAME (conflict from HOST ...).EXT`."""
    theirs(space, bucket, here / "note.txt", b"base")
    eventually(lambda: (here / "note.txt").exists())
    descriptor = os.open(here / "note.txt", os.O_RDWR)
    os.pwrite(descriptor, b"ours, longer", 0)
    theirs(space, bucket, here / "note.txt", b"theirs")
    os.close(descriptor)
    eventually(lambda: len(os.listdir(here)) == 2 and read_all(here / "note.txt") == b"theirs", within=FRESHNESS + 5)
    other = next(name for name in os.listdir(here) if name != "note.txt")
    assert re.fullmatch("note" + CONFLICT + r"\.txt", other), other
    assert read_all(here / other) == b"ours, longer"
    assert bucket.get(space.key(here / "note.txt")) == b"theirs"
    eventually(lambda: bucket.get(space.key(here / other)) == b"ours, longer")


def test_both_made_the_same_name(here, space, bucket):
    """Every create is conditional: If-None-Match. Both stay."""
    assert not (here / "new.jpg").exists()
    descriptor = os.open(here / "new.jpg", os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, b"ours")
    theirs(space, bucket, here / "new.jpg", b"theirs")
    os.close(descriptor)
    eventually(lambda: len(os.listdir(here)) == 2, within=FRESHNESS + 5)
    assert bucket.get(space.key(here / "new.jpg")) == b"theirs"
    other = next(name for name in os.listdir(here) if name != "new.jpg")
    assert re.fullmatch("new" + CONFLICT + r"\.jpg", other), other
    assert read_all(here / other) == b"ours"


def test_both_wrote_the_same_bytes(here, space, bucket):
    """Unless the bytes are equal: then there is no conflict."""
    assert not (here / "same").exists()
    descriptor = os.open(here / "same", os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, b"equal bytes")
    theirs(space, bucket, here / "same", b"equal bytes")
    os.close(descriptor)
    time.sleep(FRESHNESS + 0.5)
    assert os.listdir(here) == ["same"]
    assert bucket.get(space.key(here / "same")) == b"equal bytes"


def test_edited_here_deleted_there(here, space, bucket):
    """A local edit of a file deleted elsewhere recreates it."""
    theirs(space, bucket, here / "a", b"base")
    eventually(lambda: (here / "a").exists())
    assert read_all(here / "a") == b"base"
    descriptor = os.open(here / "a", os.O_RDWR)
    os.pwrite(descriptor, b"edit", 0)
    bucket.delete(space.key(here / "a"))
    os.close(descriptor)
    eventually(lambda: bucket.get(space.key(here / "a")) == b"edit")
    assert read_all(here / "a") == b"edit"


def test_deleted_here_changed_there(here, space, bucket):
    """A local delete of a file changed elsewhere is dropped."""
    theirs(space, bucket, here / "a", b"base")
    eventually(lambda: (here / "a").exists())
    theirs(space, bucket, here / "a", b"changed elsewhere")
    os.unlink(here / "a")
    time.sleep(0.5)
    assert bucket.get(space.key(here / "a")) == b"changed elsewhere"
    eventually(lambda: (here / "a").exists() and read_all(here / "a") == b"changed elsewhere", within=FRESHNESS + 5)


def test_two_mounts_of_one_space(people):
    """Files written on one device are read on the other; every file is one of the versions written, never a mix."""
    one = people(mount__freshness=1)
    other = people(account=one.account, mount__freshness=1)
    left, right = one.mount(), other.mount()
    for number in range(20):
        write_all(left.path / "a", b"%d" % number * 50_000)
        seen = eventually(lambda: (right.path / "a").exists() and read_all(right.path / "a"), within=6)
        assert len(set(re.findall(rb"..", seen))) == 1
    eventually(lambda: read_all(right.path / "a") == b"19" * 50_000, within=6)
    write_all(right.path / "b", b"from the right")
    eventually(lambda: (left.path / "b").exists() and read_all(left.path / "b") == b"from the right", within=6)
    os.unlink(left.path / "b")
    eventually(lambda: not (right.path / "b").exists(), within=6)


def test_server_that_says_403_for_missing_keys(aws, people, bucket):
    """HEAD of a missing key is 403 where the role may not list it: existence is decided by listings."""
    aws.settings(missing_is_403=True)
    try:
        mounted = people(mount__freshness=1).mount()
        assert not (mounted.path / "nothing").exists()
        with fails_with(errno.ENOENT):
            os.open(mounted.path / "nothing", os.O_RDONLY)
        write_all(mounted.path / "new", b"made")
        os.rename(mounted.path / "new", mounted.path / "moved")
        assert bucket.get(mounted.key(mounted.path / "moved")) == b"made"
        bucket.delete(mounted.key(mounted.path / "moved"))
        eventually(lambda: os.listdir(mounted.path) == [], within=5)
    finally:
        aws.settings(missing_is_403=False)
