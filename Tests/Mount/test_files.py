"""Open, read, write: any offset, any order, while others read."""

import errno
import mmap
import os
import random

import pytest

from harness.child import Background, eventually
from harness.syscalls import (
    FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE, fails_with, fallocate, read_all, write_all,
)  # fmt: skip


def test_create_write_read(here, space, bucket):
    """create, write: the same bytes; after close the object is on S3 with these bytes."""
    write_all(here / "a", b"hello")
    assert bucket.get(space.key(here / "a")) == b"hello"
    assert read_all(here / "a") == b"hello"
    assert os.stat(here / "a").st_size == 5


def test_empty_file_made_for_reading(here, space, bucket):
    """A file made with O_CREAT|O_RDONLY and closed exists, empty."""
    os.close(os.open(here / "empty", os.O_CREAT | os.O_RDONLY))
    assert os.stat(here / "empty").st_size == 0
    assert bucket.get(space.key(here / "empty")) == b""


def test_exclusive_creation(here):
    """O_EXCL as on ext4: EEXIST for what is there."""
    os.close(os.open(here / "one", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    with fails_with(errno.EEXIST):
        os.open(here / "one", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.mkdir(here / "folder")
    with fails_with(errno.EEXIST):
        os.mkdir(here / "folder")


def _try_to_create(path, starting_gun):
    os.read(starting_gun, 1)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        return True
    except FileExistsError:
        return False


def test_one_winner_of_an_exclusive_race(here):
    """O_EXCL as on ext4: of many who create a name at once, one succeeds."""
    for number in range(5):
        starting_gun, shot = os.pipe()
        racers = [Background(_try_to_create, here / f"race{number}", starting_gun) for _ in range(6)]
        os.write(shot, b"x" * 6)
        assert sum(racer.result() for racer in racers) == 1


def test_truncating_open(here, space, bucket):
    """O_TRUNC may come as an open flag or as a setattr: both empty the file."""
    write_all(here / "a", b"long content")
    os.close(os.open(here / "a", os.O_WRONLY | os.O_TRUNC))
    assert os.stat(here / "a").st_size == 0
    assert bucket.get(space.key(here / "a")) == b""
    write_all(here / "a", b"new", flags=os.O_TRUNC)
    assert bucket.get(space.key(here / "a")) == b"new"


def test_truncate_of_a_path(here, space, bucket):
    """truncate: shorter cuts, longer adds zeros, without an open file."""
    write_all(here / "a", b"0123456789")
    os.truncate(here / "a", 4)
    assert read_all(here / "a") == b"0123"
    os.truncate(here / "a", 8)
    assert read_all(here / "a") == b"0123\0\0\0\0"
    eventually(lambda: bucket.get(space.key(here / "a")) == b"0123\0\0\0\0")


def test_truncate_of_an_open_file(here, space, bucket):
    """ftruncate: also between writes, any order."""
    descriptor = os.open(here / "a", os.O_CREAT | os.O_RDWR)
    os.write(descriptor, b"abcdefgh")
    os.ftruncate(descriptor, 3)
    assert os.fstat(descriptor).st_size == 3
    os.pwrite(descriptor, b"Z", 5)
    assert os.pread(descriptor, 100, 0) == b"abc\0\0Z"
    os.ftruncate(descriptor, 1 << 20)
    assert os.pread(descriptor, 4, (1 << 20) - 2) == b"\0\0"
    os.close(descriptor)
    assert bucket.get(space.key(here / "a")) == b"abc\0\0Z" + bytes((1 << 20) - 6)


def test_writes_in_any_order_match_a_model(here, space, bucket):
    """write, pwrite, truncate: any offset, any order."""
    source, model = random.Random(11), bytearray()
    descriptor = os.open(here / "a", os.O_CREAT | os.O_RDWR)
    for _ in range(300):
        at, length = source.randrange(0, 600_000), source.choice([1, 100, 4096, 65536, 100_000])
        step = source.random()
        if step < 0.6:
            data = source.randbytes(length)
            model.extend(bytes(max(0, at + length - len(model))))
            model[at : at + length] = data
            assert os.pwrite(descriptor, data, at) == length
        elif step < 0.9:
            assert os.pread(descriptor, length, at) == model[at : at + length]
        else:
            os.ftruncate(descriptor, at)
            model = model[:at] + bytes(max(0, at - len(model)))
        assert os.fstat(descriptor).st_size == len(model)
    os.close(descriptor)
    assert read_all(here / "a") == model
    assert bucket.get(space.key(here / "a")) == model


def test_change_in_the_middle_of_an_old_file(here, space, bucket):
    """A file modified in part keeps its other bytes."""
    content = bytearray(random.Random(3).randbytes(3 << 20))
    bucket.put(space.key(here / "old"), bytes(content))
    eventually(lambda: (here / "old").exists())
    descriptor = os.open(here / "old", os.O_RDWR)
    for at in (0, 65535, 1 << 20, (3 << 20) - 3):
        os.pwrite(descriptor, b"NEW", at)
        content[at : at + 3] = b"NEW"
    os.close(descriptor)
    assert bucket.get(space.key(here / "old")) == content
    assert read_all(here / "old") == content


def test_reads_at_any_offset(here, space, bucket):
    """open, read, pread: any offset, any order, many readers."""
    content = random.Random(4).randbytes((5 << 20) + 123)
    bucket.put(space.key(here / "big"), content)
    eventually(lambda: (here / "big").exists())
    descriptors = [os.open(here / "big", os.O_RDONLY) for _ in range(3)]
    source = random.Random(5)
    for _ in range(150):
        at, length = source.randrange(0, len(content) + 1000), source.choice([1, 4096, 70_000, 1 << 20])
        assert os.pread(source.choice(descriptors), length, at) == content[at : at + length]
    assert os.pread(descriptors[0], 10, len(content)) == b""
    for descriptor in descriptors:
        os.close(descriptor)


def test_readers_of_a_mapping(here, space, bucket):
    """mmap(read): any offset."""
    content = random.Random(6).randbytes(3 << 20)
    bucket.put(space.key(here / "mapped"), content)
    eventually(lambda: (here / "mapped").exists())
    with open(here / "mapped", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
        for at in (len(content) - 5, 0, 1 << 20, 77_777):
            assert view[at : at + 5] == content[at : at + 5]
        assert view[:] == content


def test_writers_of_a_mapping(here, space, bucket):
    """mmap(shared write): what was written through the mapping is on S3 after close."""
    content = bytearray(random.Random(7).randbytes(1 << 20))
    write_all(here / "mapped", bytes(content))
    descriptor = os.open(here / "mapped", os.O_RDWR)
    with mmap.mmap(descriptor, len(content)) as view:
        for at in (0, 4095, 500_000, len(content) - 4):
            view[at : at + 4] = content[at : at + 4] = b"MMAP"
        view.flush()
        assert os.pread(descriptor, 4, 500_000) == b"MMAP"
    os.close(descriptor)
    assert read_all(here / "mapped") == content
    eventually(lambda: bucket.get(space.key(here / "mapped")) == content)


def test_one_writes_while_another_reads(here):
    """write: while others read; a reader of this mount sees what was written at once."""
    writer = os.open(here / "a", os.O_CREAT | os.O_WRONLY)
    reader = os.open(here / "a", os.O_RDONLY)
    for number in range(50):
        os.write(writer, b"%08d" % number)
        assert os.pread(reader, 8, number * 8) == b"%08d" % number
        assert os.fstat(reader).st_size == (number + 1) * 8
        assert os.stat(here / "a").st_size == (number + 1) * 8
    os.close(writer)
    os.close(reader)


def _append_lines(path, mark, count):
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    for number in range(count):
        os.write(descriptor, b"%s %05d\n" % (mark, number))
    os.close(descriptor)


def test_two_processes_append(here, space, bucket):
    """O_APPEND as on ext4: no write of another process is overwritten."""
    write_all(here / "log", b"")
    both = [Background(_append_lines, here / "log", mark, 300) for mark in (b"one", b"two")]
    for one in both:
        one.result()
    lines = read_all(here / "log").splitlines()
    assert len(lines) == 600
    for mark in (b"one", b"two"):
        assert [line for line in lines if line.startswith(mark)] == [b"%s %05d" % (mark, n) for n in range(300)]
    eventually(lambda: bucket.get(space.key(here / "log")) == read_all(here / "log"))


def test_append_to_an_object_of_the_app(here, space, bucket):
    """append: to a file that was not read before."""
    bucket.put(space.key(here / "notes.txt"), b"first\n")
    eventually(lambda: (here / "notes.txt").exists())
    write_all(here / "notes.txt", b"second\n", flags=os.O_APPEND)
    assert bucket.get(space.key(here / "notes.txt")) == b"first\nsecond\n"


def test_holes_and_preallocation(here, space, bucket):
    """fallocate: keep-size, punch hole, zero range."""
    descriptor = os.open(here / "a", os.O_CREAT | os.O_RDWR)
    content = bytearray(b"x" * 300_000)
    os.write(descriptor, content)
    fallocate(descriptor, FALLOC_KEEP_SIZE, 0, 1 << 20)
    assert os.fstat(descriptor).st_size == 300_000
    fallocate(descriptor, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 10_000, 100_001)
    content[10_000:110_001] = bytes(100_001)
    assert os.pread(descriptor, 300_000, 0) == content
    fallocate(descriptor, FALLOC_ZERO_RANGE, 290_000, 20_000)
    content[290_000:] = bytes(20_000)
    assert os.fstat(descriptor).st_size == 310_000
    fallocate(descriptor, FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE, 309_000, 50_000)
    content[309_000:] = bytes(1_000)
    assert os.pread(descriptor, 400_000, 0) == content
    os.close(descriptor)
    assert bucket.get(space.key(here / "a")) == content


def test_data_and_holes_are_found(here):
    """lseek SEEK_DATA/SEEK_HOLE: right for staged files; one data extent otherwise."""
    descriptor = os.open(here / "a", os.O_CREAT | os.O_RDWR)
    os.ftruncate(descriptor, 10 << 20)
    os.pwrite(descriptor, b"d" * (1 << 20), 5 << 20)
    assert os.lseek(descriptor, 0, os.SEEK_HOLE) == 0
    data = os.lseek(descriptor, 0, os.SEEK_DATA)
    assert (5 << 20) - (64 << 10) <= data <= 5 << 20
    hole = os.lseek(descriptor, 5 << 20, os.SEEK_HOLE)
    assert 6 << 20 <= hole <= (6 << 20) + (64 << 10)
    with fails_with(errno.ENXIO):
        os.lseek(descriptor, 8 << 20, os.SEEK_DATA)
    with fails_with(errno.ENXIO):
        os.lseek(descriptor, 11 << 20, os.SEEK_HOLE)
    os.close(descriptor)


def test_a_clean_file_is_one_extent(here, space, bucket):
    """lseek SEEK_DATA/SEEK_HOLE: one data extent otherwise."""
    bucket.put(space.key(here / "a"), bytes(3 << 20))
    eventually(lambda: (here / "a").exists())
    descriptor = os.open(here / "a", os.O_RDONLY)
    assert os.lseek(descriptor, 1000, os.SEEK_DATA) == 1000
    assert os.lseek(descriptor, 1000, os.SEEK_HOLE) == 3 << 20
    with fails_with(errno.ENXIO):
        os.lseek(descriptor, 3 << 20, os.SEEK_DATA)
    os.close(descriptor)


def test_removed_while_open(here, space, bucket):
    """unlink: a file still open stays readable and writable until the last close, then is gone."""
    write_all(here / "a", b"0123456789")
    descriptor = os.open(here / "a", os.O_RDWR)
    os.unlink(here / "a")
    assert not (here / "a").exists()
    assert os.listdir(here) == []
    assert os.pread(descriptor, 20, 0) == b"0123456789"
    os.pwrite(descriptor, b"more", 10)
    assert os.pread(descriptor, 20, 0) == b"0123456789more"
    assert os.fstat(descriptor).st_size == 14
    write_all(here / "a", b"another of the name")
    assert os.pread(descriptor, 20, 0) == b"0123456789more"
    os.close(descriptor)
    assert read_all(here / "a") == b"another of the name"
    assert bucket.get(space.key(here / "a")) == b"another of the name"


def test_never_published_when_removed_before_close(here, space, bucket):
    """A file that was removed before its last close is gone: it never reaches S3."""
    descriptor = os.open(here / "a", os.O_CREAT | os.O_RDWR)
    os.write(descriptor, b"scratch")
    os.unlink(here / "a")
    os.write(descriptor, b" more")
    os.close(descriptor)
    assert bucket.versions(space.key(here / "a")) == []


def test_removed_object_of_the_app_while_open(here, space, bucket):
    """unlink: a file still open stays readable, also where its bytes were still on S3."""
    content = random.Random(8).randbytes(300_000)
    bucket.put(space.key(here / "a"), content)
    eventually(lambda: (here / "a").exists())
    descriptor = os.open(here / "a", os.O_RDONLY)
    os.unlink(here / "a")
    assert os.pread(descriptor, 1 << 20, 0) == content
    os.close(descriptor)


def test_too_large(here):
    """EFBIG over the S3 maximum."""
    descriptor = os.open(here / "a", os.O_CREAT | os.O_RDWR)
    with fails_with(errno.EFBIG):
        os.pwrite(descriptor, b"x", 60 << 40)
    with fails_with(errno.EFBIG):
        os.ftruncate(descriptor, 60 << 40)
    assert os.fstat(descriptor).st_size == 0
    os.close(descriptor)


def test_vectored_and_zero_length(here):
    """Writes in pieces and of nothing are as on ext4."""
    descriptor = os.open(here / "a", os.O_CREAT | os.O_RDWR)
    assert os.writev(descriptor, [b"ab", b"", b"cde"]) == 5
    assert os.pwrite(descriptor, b"", 100) == 0
    assert os.fstat(descriptor).st_size == 5
    buffers = [bytearray(2), bytearray(10)]
    assert os.preadv(descriptor, buffers, 0) == 5
    assert bytes(buffers[0]) + bytes(buffers[1][:3]) == b"abcde"
    with fails_with(errno.EBADF):
        os.write(os.open(here / "a", os.O_RDONLY), b"x")
    os.close(descriptor)


def test_direct_io(here):
    """O_DIRECT, where the mount takes it, gives the same bytes."""
    content = random.Random(9).randbytes(1 << 20)
    write_all(here / "a", content)
    try:
        descriptor = os.open(here / "a", os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        assert error.errno == errno.EINVAL
        return
    buffer = mmap.mmap(-1, 1 << 20)
    assert os.preadv(descriptor, [buffer], 0) == 1 << 20
    assert buffer[:] == content
    os.close(descriptor)


def test_fsync_is_on_s3(people, bucket):
    """fsync, fdatasync (remote): on S3."""
    mounted = people(mount__durability="remote").mount()
    path, key = mounted.path / "a", mounted.prefix + "a"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, b"one")
    os.fsync(descriptor)
    assert bucket.get(key) == b"one"
    os.write(descriptor, b" two")
    os.fdatasync(descriptor)
    assert bucket.get(key) == b"one two"
    os.close(descriptor)
    assert bucket.get(key) == b"one two"


def test_fsync_of_a_directory(here):
    """fsync of a directory: see durability."""
    descriptor = os.open(here, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.fdatasync(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("kind", ["flock", "fcntl"])
def test_locks_between_processes(here, kind):
    """flock, fcntl locks: between processes on this machine."""
    import fcntl

    take = fcntl.flock if kind == "flock" else fcntl.lockf
    path = here / "lock"
    write_all(path, b"12345678")
    mine = os.open(path, os.O_RDWR)
    take(mine, fcntl.LOCK_EX)

    def attempt(flags):
        other = os.open(path, os.O_RDWR)
        try:
            take(other, flags | fcntl.LOCK_NB)
            return "taken"
        except OSError as error:
            return errno.errorcode[error.errno]

    assert Background(attempt, fcntl.LOCK_EX).result() in ("EAGAIN", "EACCES")
    assert Background(attempt, fcntl.LOCK_SH).result() in ("EAGAIN", "EACCES")

    def wait_for_it():
        take(os.open(path, os.O_RDWR), fcntl.LOCK_EX)
        return "taken"

    waiting = Background(wait_for_it)
    take(mine, fcntl.LOCK_UN)
    assert waiting.result() == "taken"
    take(mine, fcntl.LOCK_SH)
    assert Background(attempt, fcntl.LOCK_SH).result() == "taken"
    os.close(mine)


def test_copy_file_range(here, space, bucket):
    """copy_file_range: within the mount of a whole clean file."""
    content = random.Random(10).randbytes((1 << 20) + 5)
    bucket.put(space.key(here / "from.jpg"), content, ContentType="image/jpeg")
    eventually(lambda: (here / "from.jpg").exists())
    source, target = os.open(here / "from.jpg", os.O_RDONLY), os.open(here / "to.jpg", os.O_CREAT | os.O_RDWR)
    copied = 0
    while step := os.copy_file_range(source, target, 4 << 20):
        copied += step
    assert copied == len(content)
    assert os.pread(target, 2 << 20, 0) == content
    os.close(target)
    assert bucket.get(space.key(here / "to.jpg")) == content
    assert read_all(here / "to.jpg") == content


def test_copy_file_range_of_a_part(here):
    """copy_file_range of a part is right too."""
    write_all(here / "from", b"0123456789")
    write_all(here / "to", b"abcdefghij")
    source, target = os.open(here / "from", os.O_RDONLY), os.open(here / "to", os.O_RDWR)
    assert os.copy_file_range(source, target, 4, 2, 5) == 4
    assert os.pread(target, 20, 0) == b"abcde2345j"
    os.close(target)
    assert read_all(here / "to") == b"abcde2345j"
