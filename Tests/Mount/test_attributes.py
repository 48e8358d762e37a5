"""Permissions, owners, times, inode numbers, extended attributes, statfs."""

import errno
import os
import stat
import time
from decimal import Decimal

import pytest

from harness.child import Background, eventually
from harness.syscalls import fails_with, statx, write_all


def metadata(bucket, key):
    head = bucket.head(key)
    return head["Metadata"] if head else {}


def test_defaults(here, space, bucket):
    """The owner is who mounted, files 0600 and directories 0700 unless metadata says otherwise."""
    bucket.put(space.key(here / "d" / "f"), b"x")
    eventually(lambda: (here / "d" / "f").exists())
    for path, mode in ((here / "d", 0o40700), (here / "d" / "f", 0o100600), (space.path, 0o40700)):
        found = os.stat(path)
        assert (found.st_mode, found.st_uid, found.st_gid) == (mode, space.person.uid, space.person.gid)


def test_time_of_an_object_of_the_app(here, space, bucket):
    """mtime = the stored mtime if known, else LastModified."""
    bucket.put(space.key(here / "plain"), b"x")
    bucket.put(space.key(here / "stamped"), b"x", Metadata={"mtime": "1500000000.25"})
    eventually(lambda: (here / "stamped").exists())
    assert int(os.stat(here / "plain").st_mtime) == int(bucket.head(space.key(here / "plain"))["LastModified"].timestamp())
    os.close(os.open(here / "stamped", os.O_RDONLY))
    eventually(lambda: os.stat(here / "stamped").st_mtime == 1500000000.25)


def test_umask_and_mode_of_new_files(here, space, bucket):
    """New files belong to the caller and have the mode asked for, less the umask."""
    os.umask(0o027)
    os.close(os.open(here / "f", os.O_CREAT | os.O_WRONLY, 0o666))
    os.mkdir(here / "d", 0o777)
    assert stat.S_IMODE(os.stat(here / "f").st_mode) == 0o640
    assert stat.S_IMODE(os.stat(here / "d").st_mode) == 0o750
    assert os.stat(here / "f").st_uid == os.geteuid() and os.stat(here / "f").st_gid == os.getegid()
    stored = metadata(bucket, space.key(here / "f"))
    assert int(stored["mode"]) == 0o100640
    assert (int(stored["uid"]), int(stored["gid"])) == (os.geteuid(), os.getegid())


def test_chmod(here, space, bucket):
    """chmod: kept in object metadata `mode` without sending the body again."""
    write_all(here / "f", b"body")
    etag = bucket.head(space.key(here / "f"))["ETag"]
    os.chmod(here / "f", 0o754)
    assert os.stat(here / "f").st_mode == 0o100754
    eventually(lambda: metadata(bucket, space.key(here / "f")).get("mode") == str(0o100754))
    assert bucket.get(space.key(here / "f")) == b"body" and bucket.head(space.key(here / "f"))["ETag"] == etag


def test_utimens(here, space, bucket):
    """utimens, mtime ns: kept in object metadata `mtime`, in seconds with a fraction."""
    write_all(here / "f", b"body")
    moment = 1_234_567_890_123_456_789
    os.utime(here / "f", ns=(moment, moment))
    assert os.stat(here / "f").st_mtime_ns == moment
    eventually(lambda: Decimal(metadata(bucket, space.key(here / "f")).get("mtime", "0")) == Decimal("1234567890.123456789"))
    assert bucket.get(space.key(here / "f")) == b"body"


@pytest.mark.parametrize("moment", [-(2**31) * 10**9, -1, 0, 1, 4_294_967_296 * 10**9 + 999_999_999, 15_000_000_000 * 10**9])
def test_any_time_from_1901(here, space, bucket, moment):
    """utimens: any time from 1901 on."""
    write_all(here / "f", b"")
    os.utime(here / "f", ns=(moment, moment))
    assert os.stat(here / "f").st_mtime_ns == moment
    eventually(lambda: "mtime" in metadata(bucket, space.key(here / "f")) and Decimal(metadata(bucket, space.key(here / "f"))["mtime"]) * 10**9 == moment)


def test_utimens_now_and_omit(here):
    """utimens as on ext4: now."""
    write_all(here / "f", b"")
    os.utime(here / "f", ns=(1, 1))
    before = time.time()
    os.utime(here / "f")
    assert before - 1 <= os.stat(here / "f").st_mtime <= time.time() + 1


def test_a_write_moves_the_time(here):
    """mtime and ctime follow writes, as on ext4."""
    write_all(here / "f", b"1")
    os.utime(here / "f", ns=(10**18, 10**18))
    write_all(here / "f", b"2", flags=os.O_APPEND)
    assert os.stat(here / "f").st_mtime_ns > 10**18 + 10**17


def test_time_set_before_close_stays(here, space, bucket):
    """utimens on an open file (cp -p, tar, rsync): the time given is the one that stays."""
    descriptor = os.open(here / "f", os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, b"content")
    os.utime(descriptor, ns=(10**18, 1_111_111_111_000_000_001))
    os.fchmod(descriptor, 0o604)
    os.close(descriptor)
    assert os.stat(here / "f").st_mtime_ns == 1_111_111_111_000_000_001
    eventually(lambda: Decimal(metadata(bucket, space.key(here / "f")).get("mtime", "0")) == Decimal("1111111111.000000001"))
    assert int(metadata(bucket, space.key(here / "f"))["mode"]) == 0o100604
    assert len(bucket.versions(space.key(here / "f"))) == 1


def test_attributes_of_a_directory(here, space, bucket):
    """chmod, utimens for a directory: in its marker, which is then made."""
    bucket.put(space.key(here / "d" / "f"), b"x")
    eventually(lambda: (here / "d" / "f").exists())
    os.chmod(here / "d", 0o2751)
    os.utime(here / "d", ns=(10**18, 10**18))
    assert os.stat(here / "d").st_mode == 0o42751 and os.stat(here / "d").st_mtime_ns == 10**18
    marker = space.key(here / "d") + "/"
    eventually(lambda: metadata(bucket, marker).get("mode") == str(0o42751))
    eventually(lambda: Decimal(metadata(bucket, marker).get("mtime", "0")) == 10**9)


def test_metadata_of_s3fs_is_understood(here, space, bucket):
    """`mode`, `uid`, `gid`, `mtime`: the spelling s3fs uses."""
    uid, gid = space.person.uid, space.person.gid
    kept = {"mode": str(0o100640), "uid": str(uid), "gid": str(gid), "mtime": "1600000000"}
    bucket.put(space.key(here / "f"), b"x", Metadata=kept)
    eventually(lambda: (here / "f").exists())
    os.close(os.open(here / "f", os.O_RDONLY))
    eventually(lambda: os.stat(here / "f").st_mode == 0o100640)
    assert os.stat(here / "f").st_mtime == 1600000000


def test_chown_to_nobody_else(here):
    """chown as on ext4: an own group is fine, another owner needs privilege."""
    write_all(here / "f", b"")
    os.chown(here / "f", os.geteuid(), os.getegid())
    if os.geteuid():
        with fails_with(errno.EPERM):
            os.chown(here / "f", 0, 0)
    else:
        os.chown(here / "f", 12345, 23456)
        assert (os.stat(here / "f").st_uid, os.stat(here / "f").st_gid) == (12345, 23456)


def test_set_id_bits(here):
    """A set-gid directory passes its group on."""
    os.mkdir(here / "d")
    os.chmod(here / "d", 0o2770)
    os.mkdir(here / "d" / "below")
    assert os.stat(here / "d" / "below").st_mode & stat.S_ISGID
    write_all(here / "d" / "f", b"")
    assert os.stat(here / "d" / "f").st_gid == os.stat(here / "d").st_gid


def test_inode_numbers(here, space):
    """One per file, the same across rename, chmod and upload, until unmount."""
    descriptor = os.open(here / "a", os.O_CREAT | os.O_RDWR)
    number = os.fstat(descriptor).st_ino
    os.write(descriptor, b"x")
    assert os.stat(here / "a").st_ino == number
    os.close(descriptor)
    assert os.stat(here / "a").st_ino == number
    os.chmod(here / "a", 0o640)
    os.rename(here / "a", here / "b")
    assert os.stat(here / "b").st_ino == number
    write_all(here / "b", b"rewritten", flags=os.O_TRUNC)
    assert os.stat(here / "b").st_ino == number
    assert next(e.inode() for e in os.scandir(here) if e.name == "b") == number
    os.mkdir(here / "d")
    folder = os.stat(here / "d").st_ino
    os.rename(here / "b", here / "d" / "b")
    os.rename(here / "d", here / "e")
    assert os.stat(here / "e").st_ino == folder and os.stat(here / "e" / "b").st_ino == number
    assert folder != number
    time.sleep(2.5)  # longer than `freshness`: the listing is looked at again
    assert os.stat(here / "e" / "b").st_ino == number


def test_link_counts_and_blocks(here):
    """stat and statx as programs expect: one link, blocks that match the size."""
    write_all(here / "f", b"x" * 10_000)
    assert os.stat(here / "f").st_nlink == 1
    assert os.stat(here / "f").st_blocks * 512 >= 10_000
    seen = statx(here / "f")
    assert seen.size == 10_000 and seen.links == 1 and seen.inode == os.stat(here / "f").st_ino
    assert os.stat(here).st_nlink >= 1


def test_extended_attributes(here, space, bucket):
    """setxattr, getxattr, listxattr, removexattr (`user.*`): kept in metadata."""
    write_all(here / "f", b"body")
    os.setxattr(here / "f", "user.title", "Sommer äöü 🏖️".encode())
    os.setxattr(here / "f", "user.Binary", bytes(range(256)))
    os.setxattr(here / "f", "user.empty", b"")
    assert os.getxattr(here / "f", "user.title") == "Sommer äöü 🏖️".encode()
    assert os.getxattr(here / "f", "user.Binary") == bytes(range(256))
    assert {"user.title", "user.Binary", "user.empty"} <= set(os.listxattr(here / "f"))
    with fails_with(errno.EEXIST):
        os.setxattr(here / "f", "user.title", b"", os.XATTR_CREATE)
    with fails_with(errno.ENODATA):
        os.setxattr(here / "f", "user.nothing", b"", os.XATTR_REPLACE)
    os.removexattr(here / "f", "user.empty")
    with fails_with(errno.ENODATA):
        os.getxattr(here / "f", "user.empty")
    with fails_with(errno.ENODATA):
        os.removexattr(here / "f", "user.empty")
    space.person.run("sync", space.path, check=True)
    assert bucket.get(space.key(here / "f")) == b"body"
    assert metadata(bucket, space.key(here / "f")), "nothing was stored with the object"


def test_extended_attributes_are_bounded(here):
    """2 KB in all: ENOSPC past it."""
    write_all(here / "f", b"")
    os.setxattr(here / "f", "user.one", b"x" * 900)
    with fails_with(errno.ENOSPC):
        os.setxattr(here / "f", "user.two", b"x" * 2100)
    assert os.getxattr(here / "f", "user.one") == b"x" * 900
    with fails_with(errno.ENODATA):
        os.getxattr(here / "f", "user.two")


def test_other_namespaces(here):
    """ENOTSUP outside `user.`."""
    write_all(here / "f", b"")
    if os.geteuid() == 0:
        with fails_with(errno.ENOTSUP):
            os.setxattr(here / "f", "trusted.x", b"1")
    with fails_with(errno.ENOTSUP):
        os.setxattr(here / "f", "system.cognitofs", b"1")
    with fails_with(errno.ENOTSUP, errno.ENODATA):
        os.getxattr(here / "f", "security.nothing")


def test_facts_as_attributes(here, space, bucket):
    """`user.cognitofs.*`: read-only facts: key, etag, content-type, state."""
    write_all(here / "f.jpg", b"x")

    def fact(name):
        return os.getxattr(here / "f.jpg", "user.cognitofs." + name).decode()

    assert fact("key") == space.key(here / "f.jpg")
    eventually(lambda: fact("state") == "synced")
    assert fact("etag").strip('"') == bucket.head(space.key(here / "f.jpg"))["ETag"].strip('"')
    assert fact("content-type") == "image/jpeg"
    with fails_with(errno.EPERM):
        os.setxattr(here / "f.jpg", "user.cognitofs.key", b"other")
    with fails_with(errno.EPERM):
        os.removexattr(here / "f.jpg", "user.cognitofs.state")
    descriptor = os.open(here / "f.jpg", os.O_WRONLY)
    os.write(descriptor, b"y")
    assert fact("state") in ("pending", "uploading")
    os.close(descriptor)
    eventually(lambda: fact("state") == "synced")


def test_statfs(here):
    """statfs: 1 PiB free without a quota."""
    found = os.statvfs(here)
    assert found.f_frsize * found.f_blocks == 1 << 50
    assert found.f_frsize * found.f_bavail > 1 << 49
    assert found.f_namemax == 255


def test_access_is_checked_by_the_mode(here):
    """Ownership as the kernel's `default_permissions`."""
    write_all(here / "secret", b"x")
    os.chmod(here / "secret", 0)
    if os.geteuid():
        with fails_with(errno.EACCES):
            os.open(here / "secret", os.O_RDONLY)
    os.chmod(here / "secret", 0o400)
    assert os.access(here / "secret", os.R_OK)
    assert not os.access(here / "secret", os.X_OK)


def _as(uid, body, *arguments):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    return body(*arguments)


def _names_of(path):
    try:
        return os.listdir(path)
    except OSError as error:
        return errno.errorcode[error.errno]


def test_others_see_nothing(here):
    """Nobody but the signed-in user reads the files: another user of the machine gets EACCES."""
    if os.geteuid() == 0:
        assert Background(_as, 65534, _names_of, here).result() == "EACCES"


def _write_to(path):
    with open(path, "ab", buffering=0) as file:
        file.write(b"more")
    return os.stat(path).st_mode


def _make(path):
    write_all(path, b"")
    return os.stat(path).st_uid, os.stat(path).st_gid


def test_several_users_of_one_mount(people):
    """Ownership as `default_permissions` and ext4: new files belong to the caller, a write clears set-id bits."""
    one = people()
    one.root.chmod(0o755)
    shared = one.mount(allow_other=True).path
    os.chmod(shared, 0o777)
    os.mkdir(shared / "d")
    os.chmod(shared / "d", 0o2777)
    os.chown(shared / "d", 0, 777)
    os.chmod(shared / "d", 0o2777)
    assert Background(_as, 65534, _make, shared / "theirs").result() == (65534, 65534)
    assert Background(_as, 65534, _make, shared / "d" / "theirs").result() == (65534, 777)
    write_all(shared / "program", b"#!")
    os.chmod(shared / "program", 0o4777)
    mode = Background(_as, 65534, _write_to, shared / "program").result()
    assert not mode & stat.S_ISUID
    write_all(shared / "mine", b"x")
    os.chmod(shared / "mine", 0o600)

    def open_it(path):
        with fails_with(errno.EACCES):
            os.open(path, os.O_RDONLY)

    Background(_as, 65534, open_it, shared / "mine").result()
    os.chmod(shared, 0o1777)

    def remove_it(path):
        with fails_with(errno.EPERM, errno.EACCES):
            os.unlink(path)

    Background(_as, 65534, remove_it, shared / "mine").result()


def test_stored_attributes_after_a_new_mount(people):
    """Kept in object metadata: mode, mtime, links and extended attributes are the same on another mount."""
    one = people()
    first = one.mount()
    write_all(first.path / "f", b"x")
    os.setxattr(first.path / "f", "user.k", b"v")
    os.chmod(first.path / "f", 0o751)
    os.utime(first.path / "f", ns=(0, 123_456_789_012_345_678))
    os.symlink("f", first.path / "l")
    os.mkdir(first.path / "d", 0o711)
    os.utime(first.path / "d", ns=(0, -5_000_000_000))
    first.unmount()
    again = people(account=one.account).mount()
    # A listing does not tell metadata: they are known once somebody has looked into the thing.
    for name in ("f", "l"):
        os.close(os.open(again.path / name, os.O_RDONLY))
    os.listdir(again.path / "d")
    eventually(lambda: os.stat(again.path / "f").st_mode == 0o100751)
    assert os.stat(again.path / "f").st_mtime_ns == 123_456_789_012_345_678
    assert os.getxattr(again.path / "f", "user.k") == b"v"
    eventually(lambda: (again.path / "l").is_symlink())
    assert os.readlink(again.path / "l") == "f"
    eventually(lambda: os.stat(again.path / "d").st_mode == 0o40711)
    assert os.stat(again.path / "d").st_mtime_ns == -5_000_000_000
