"""Names that change: rename, links, directories made and removed."""

import errno
import os
import random
import socket
import stat

import pytest

from harness.child import Background, eventually
from harness.syscalls import RENAME_EXCHANGE, RENAME_NOREPLACE, fails_with, read_all, renameat2, write_all


def test_rename_of_a_file(here, space, bucket):
    """rename file: on S3 when it returns (remote); the object follows as server-side copy + delete."""
    write_all(here / "a", b"content")
    os.rename(here / "a", here / "b")
    assert os.listdir(here) == ["b"]
    assert read_all(here / "b") == b"content"
    assert bucket.get(space.key(here / "b")) == b"content"
    assert bucket.get(space.key(here / "a")) is None


def test_rename_over_existing(here, space, bucket):
    """rename over existing: atomic for everyone on this mount."""
    write_all(here / "new", b"new")
    write_all(here / "old", b"old")
    held = os.open(here / "old", os.O_RDONLY)
    os.rename(here / "new", here / "old")
    assert read_all(here / "old") == b"new"
    assert os.pread(held, 10, 0) == b"old"
    os.close(held)
    assert os.listdir(here) == ["old"]
    assert bucket.get(space.key(here / "old")) == b"new"
    assert bucket.get(space.key(here / "new")) is None


def _look(path, stop):
    # Once at least: the renames may be through before this process has begun.
    looks = 0
    while not looks or not stop.exists():
        assert read_all(path) in (b"one", b"two")
        looks += 1
    return looks


def test_rename_over_existing_is_atomic(here):
    """rename over existing: atomic for everyone on this mount; there is never no file."""
    write_all(here / "name", b"one")
    watcher = Background(_look, here / "name", here / "stop")
    for number in range(20):
        write_all(here / "next", b"two" if number % 2 else b"one")
        os.rename(here / "next", here / "name")
    write_all(here / "stop", b"")
    assert watcher.result() > 0


def test_rename_noreplace(here):
    """RENAME_NOREPLACE: EEXIST where the name is taken."""
    write_all(here / "a", b"a")
    write_all(here / "b", b"b")
    with fails_with(errno.EEXIST):
        renameat2(here / "a", here / "b", RENAME_NOREPLACE)
    assert read_all(here / "a") == b"a" and read_all(here / "b") == b"b"
    renameat2(here / "a", here / "c", RENAME_NOREPLACE)
    assert sorted(os.listdir(here)) == ["b", "c"]


def test_rename_exchange(here, space, bucket):
    """RENAME_EXCHANGE: both names at once, also on S3."""
    write_all(here / "a", b"was a")
    write_all(here / "b", b"was b")
    renameat2(here / "a", here / "b", RENAME_EXCHANGE)
    assert read_all(here / "a") == b"was b" and read_all(here / "b") == b"was a"
    eventually(lambda: bucket.get(space.key(here / "a")) == b"was b" and bucket.get(space.key(here / "b")) == b"was a")
    with fails_with(errno.ENOENT):
        renameat2(here / "a", here / "nothing", RENAME_EXCHANGE)


def test_rename_exchange_of_file_and_directory(here, space, bucket):
    """RENAME_EXCHANGE as on ext4: also of a file and a directory."""
    write_all(here / "a", b"file")
    os.mkdir(here / "d")
    write_all(here / "d" / "in", b"in")
    renameat2(here / "a", here / "d", RENAME_EXCHANGE)
    assert read_all(here / "d") == b"file" and read_all(here / "a" / "in") == b"in"
    eventually(lambda: bucket.get(space.key(here / "d")) == b"file" and bucket.get(space.key(here / "a/in")) == b"in")


def test_rename_with_unknown_flags(here):
    """EINVAL for unknown flags."""
    write_all(here / "a", b"")
    for flags in (RENAME_EXCHANGE | RENAME_NOREPLACE, 1 << 10):
        with fails_with(errno.EINVAL):
            renameat2(here / "a", here / "b", flags)


def test_rename_rules_of_directories(here):
    """As on ext4: a directory replaces only an empty one, and does not go below itself."""
    for name in ("empty", "full", "moving", "moving/below"):
        os.mkdir(here / name)
    write_all(here / "full" / "x", b"")
    write_all(here / "file", b"")
    with fails_with(errno.ENOTEMPTY, errno.EEXIST):
        os.rename(here / "moving", here / "full")
    with fails_with(errno.ENOTDIR):
        os.rename(here / "moving", here / "file")
    with fails_with(errno.EISDIR):
        os.rename(here / "file", here / "empty")
    with fails_with(errno.EINVAL):
        os.rename(here / "moving", here / "moving" / "below" / "itself")
    os.rename(here / "moving", here / "empty")
    assert os.listdir(here / "empty") == ["below"]
    os.rename(here / "file", here / "file")
    assert sorted(os.listdir(here)) == ["empty", "file", "full"]


@pytest.mark.within(60)
def test_rename_of_a_directory_with_files(here, space, bucket):
    """rename directory, also non-empty: at once on this mount; the copies run in the background."""
    base, contents = space.key(here), {}
    for number in range(50):
        name = f"{'sub/' if number % 3 == 0 else ''}file {number}.jpg"
        contents[name] = random.Random(number).randbytes(1000 + number)
        bucket.put(f"{base}/old/{name}", contents[name], ContentType="image/jpeg", Metadata={"camera": "x100"})
    eventually(lambda: len(os.listdir(here / "old")) == 34)
    os.rename(here / "old", here / "new")
    assert os.listdir(here) == ["new"]
    for name, content in contents.items():
        assert read_all(here / "new" / name) == content
    write_all(here / "new" / "later", b"made while the copies run")
    space.person.run("sync", space.path, check=True)
    assert bucket.list(f"{base}/old/") == {}
    kept = bucket.list(f"{base}/new/")
    assert {f"{base}/new/{name}" for name in contents} <= set(kept)
    head = bucket.head(f"{base}/new/sub/file 0.jpg")
    assert head["ContentType"] == "image/jpeg" and head["Metadata"]["camera"] == "x100"
    assert bucket.get(f"{base}/new/file 1.jpg") == contents["file 1.jpg"]


def test_rename_of_an_open_file(here, space, bucket):
    """rename: the file stays open and writable; a file not yet uploaded costs no request."""
    descriptor = os.open(here / "temporary", os.O_CREAT | os.O_RDWR)
    os.write(descriptor, b"written before,")
    os.rename(here / "temporary", here / "final")
    os.write(descriptor, b" and after")
    os.close(descriptor)
    assert bucket.get(space.key(here / "final")) == b"written before, and after"
    assert bucket.versions(space.key(here / "temporary")) == []
    assert len(bucket.versions(space.key(here / "final"))) == 1


def test_rename_chain_keeps_the_bytes(here, space, bucket):
    """a to b to c: reads work before the copy has run, and the last name has the bytes."""
    content = random.Random(1).randbytes(200_000)
    bucket.put(space.key(here / "a"), content)
    eventually(lambda: (here / "a").exists())
    for old, new in ("ab", "bc", "cd"):
        os.rename(here / old, here / new)
        assert read_all(here / new) == content
    space.person.run("sync", space.path, check=True)
    assert set(bucket.list(space.key(here) + "/")) - {space.key(here) + "/"} == {space.key(here / "d")}


def test_swap_by_three_renames(here, space, bucket):
    """The order of changes is kept: swapping two names by a third mixes nothing up."""
    write_all(here / "a", b"was a")
    write_all(here / "b", b"was b")
    os.rename(here / "a", here / "t")
    os.rename(here / "b", here / "a")
    os.rename(here / "t", here / "b")
    assert read_all(here / "a") == b"was b" and read_all(here / "b") == b"was a"
    assert bucket.get(space.key(here / "a")) == b"was b" and bucket.get(space.key(here / "b")) == b"was a"


def test_unlink(here, space, bucket):
    """unlink: at once; on S3 when it returns (remote)."""
    write_all(here / "a", b"x")
    os.unlink(here / "a")
    with fails_with(errno.ENOENT):
        os.stat(here / "a")
    assert bucket.get(space.key(here / "a")) is None
    with fails_with(errno.ENOENT):
        os.unlink(here / "a")
    os.mkdir(here / "folder")
    with fails_with(errno.EISDIR):
        os.unlink(here / "folder")


def test_rmdir(here):
    """rmdir: ENOTEMPTY, ENOTDIR."""
    os.mkdir(here / "d")
    write_all(here / "d" / "x", b"")
    with fails_with(errno.ENOTEMPTY):
        os.rmdir(here / "d")
    with fails_with(errno.ENOTDIR):
        os.rmdir(here / "d" / "x")
    os.unlink(here / "d" / "x")
    os.rmdir(here / "d")
    with fails_with(errno.ENOENT):
        os.rmdir(here / "d")


def test_empty_directory_has_a_marker(here, space, bucket):
    """mkdir of a directory that is still empty when its turn comes writes a marker; rmdir removes it."""
    marker = space.key(here / "empty") + "/"
    os.mkdir(here / "empty")
    eventually(lambda: bucket.head(marker) is not None)
    assert bucket.head(marker)["ContentLength"] == 0
    os.rmdir(here / "empty")
    eventually(lambda: bucket.head(marker) is None)


def test_last_child_leaves_a_marker(here, space, bucket):
    """When the last child goes and the directory stays, its marker is written."""
    bucket.put(space.key(here / "d" / "only"), b"x")
    eventually(lambda: (here / "d" / "only").exists())
    assert bucket.head(space.key(here / "d") + "/") is None
    os.unlink(here / "d" / "only")
    eventually(lambda: bucket.head(space.key(here / "d") + "/") is not None)
    assert os.listdir(here / "d") == []


def test_removing_a_tree_without_markers(here, space, bucket):
    """rm -r never fails because a directory had no marker."""
    import shutil

    base = space.key(here)
    for tail in ("t/a/b/c/1", "t/a/b/2", "t/d/3", "t/4"):
        bucket.put(f"{base}/{tail}", b"x")
    eventually(lambda: (here / "t" / "a" / "b" / "c").is_dir())
    shutil.rmtree(here / "t")
    assert os.listdir(here) == []
    eventually(lambda: bucket.list(f"{base}/t") == {})


def test_copied_tree_has_no_markers(here, space, bucket):
    """Copying a tree in writes no marker."""
    for folder in ("t", "t/a", "t/a/b"):
        os.mkdir(here / folder)
        write_all(here / folder / "file", b"x")
    space.person.run("sync", space.path, check=True)
    base = space.key(here / "t")
    assert set(bucket.list(base + "/")) == {f"{base}/file", f"{base}/a/file", f"{base}/a/b/file"}


def test_symlink(here, space, bucket):
    """symlink, readlink: kept (object body = target, `mode` metadata says link)."""
    os.symlink("target with ü/../x", here / "link")
    assert os.readlink(here / "link") == "target with ü/../x"
    assert stat.S_ISLNK(os.lstat(here / "link").st_mode)
    assert os.lstat(here / "link").st_size == len("target with ü/../x".encode())
    eventually(lambda: bucket.get(space.key(here / "link")) == "target with ü/../x".encode())
    assert stat.S_ISLNK(int(bucket.head(space.key(here / "link"))["Metadata"]["mode"]))
    with fails_with(errno.ENOENT):
        os.stat(here / "link")
    write_all(here / "real", b"through")
    os.symlink("real", here / "good")
    assert read_all(here / "good") == b"through"
    os.rename(here / "good", here / "moved")
    assert os.readlink(here / "moved") == "real"
    with fails_with(errno.EINVAL):
        os.readlink(here / "real")


def test_hard_links_are_refused(here):
    """link: EPERM: S3 has no hard links."""
    write_all(here / "a", b"")
    with fails_with(errno.EPERM):
        os.link(here / "a", here / "b")


def test_special_files_are_refused(here):
    """mknod of fifo, socket, device: EPERM."""
    with fails_with(errno.EPERM):
        os.mkfifo(here / "fifo")
    with fails_with(errno.EPERM):
        os.mknod(here / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.chdir(here)
    with fails_with(errno.EPERM):
        socket.socket(socket.AF_UNIX).bind("socket")
    assert os.listdir(here) == []


def test_regular_file_by_mknod(here, space, bucket):
    """mknod of a regular file is a creation."""
    os.mknod(here / "a", stat.S_IFREG | 0o640)
    assert stat.S_IMODE(os.stat(here / "a").st_mode) == 0o640
    eventually(lambda: bucket.get(space.key(here / "a")) == b"")


def test_never_another_device(here):
    """EXDEV never."""
    os.makedirs(here / "x" / "y")
    write_all(here / "x" / "y" / "f", b"1")
    os.rename(here / "x" / "y" / "f", here / "f")
    os.rename(here / "x" / "y", here / "y")
    assert sorted(os.listdir(here)) == ["f", "x", "y"]
    with fails_with(errno.ENOENT):
        os.rename(here / "nothing", here / "something")
