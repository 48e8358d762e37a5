"""Ordinary programs at work in the directory."""

import os
import pty
import random
import re
import select
import sqlite3
import time
import zipfile

import pytest

from harness.child import eventually
from harness.person import shell
from harness.pictures import album
from harness.syscalls import read_all, write_all


@pytest.fixture
def files(tmp_path):
    """A small tree on the local disk, with modes, times, an empty folder and a link."""
    root = tmp_path / "files"
    for picture in album(40, seed=3, typical=8_000, largest=60_000):
        path = root / picture.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.content)
        os.utime(path, (1_500_000_000, 1_500_000_000 + len(picture.content)))
    (root / "empty folder").mkdir()
    (root / "script.sh").write_text("#!/bin/sh\n")
    os.chmod(root / "script.sh", 0o755)
    os.symlink("script.sh", root / "link")
    return root


def test_rsync_twice(here, files):
    """rsync -a twice: the second moves nothing."""
    shell(f"rsync -a '{files}/' copy/", here)
    shell(f"diff -r --no-dereference '{files}' copy", here)
    second = shell(f"rsync -a --itemize-changes --stats '{files}/' copy/", here).stdout
    assert "Number of regular files transferred: 0" in second
    assert re.findall(r"^[<>ch.*][fdLDS].{9} .*", second, re.MULTILINE) == []


def test_cp_keeps_times_and_modes(here, files):
    """cp -p: modes and times are kept."""
    shell(f"cp -a '{files}' copy", here)
    for path in [p for p in files.rglob("*") if not p.is_symlink()]:
        copy = here / "copy" / path.relative_to(files)
        assert os.stat(copy).st_mode == os.stat(path).st_mode
        if path.is_file():
            assert os.stat(copy).st_mtime_ns == os.stat(path).st_mtime_ns
    assert os.readlink(here / "copy" / "link") == "script.sh"


def test_tar(here, files, tmp_path):
    """tar x: what is unpacked is what was packed, as tar itself compares it."""
    shell(f"tar -C '{files}' -cf '{tmp_path}/t.tar' .", tmp_path)
    shell(f"mkdir out; tar -C out -xpf '{tmp_path}/t.tar'; tar -C out -df '{tmp_path}/t.tar'", here)
    shell("tar -C out -cf packed.tar . && tar -tf packed.tar | wc -l", here)


def test_unzip(here, files, tmp_path):
    """unzip: complete, and the archive's own check passes."""
    with zipfile.ZipFile(here / "a.zip", "w") as archive:
        for path in files.rglob("*.jpg"):
            archive.write(path, path.relative_to(files))
    shell("unzip -tq a.zip; unzip -q a.zip -d out", here)
    for path in files.rglob("*.jpg"):
        assert read_all(here / "out" / path.relative_to(files)) == path.read_bytes()


@pytest.mark.within(90)
def test_git(here):
    """git init, clone, commit, fsck."""
    shell(
        """
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com
        export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
        git init -q --template= -b main repo; cd repo
        for n in 1 2 3; do echo "$n" > "file $n"; head -c 20000 /dev/urandom > "blob$n"; done
        git add .; git commit -qm one
        echo more >> 'file 1'; git mv blob1 moved; git commit -qam two
        git checkout -qb side HEAD~1; echo side > side; git add side; git commit -qm side
        git checkout -q main; git merge -q side -m merge
        git fsck --strict; git gc -q; git fsck --strict
        git clone -q --template= . ../clone
        cd ../clone; git fsck --strict; echo x > new; git add new; git commit -qm three; git push -q origin HEAD:pushed
        git -C ../repo fsck --strict; test -z "$(git status --porcelain)"; test "$(git log --oneline | wc -l)" = 5
        """,
        here, within=80,
    )  # fmt: skip


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_sqlite(here, space, bucket, journal):
    """SQLite: write and integrity_check; the object is a whole database."""
    connection = sqlite3.connect(here / "a.db", isolation_level=None)
    assert connection.execute(f"pragma journal_mode={journal}").fetchone() == (journal,)
    connection.execute("create table t(id integer primary key, body blob)")
    for batch in range(8):
        connection.execute("begin")
        connection.executemany("insert into t(body) values (?)", [(os.urandom(3000),) for _ in range(30)])
        connection.execute("commit" if batch % 3 else "rollback")
    connection.execute("delete from t where id % 5 = 0")
    connection.execute("vacuum")
    count = connection.execute("select count(*) from t").fetchone()
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.close()
    assert [n for n in os.listdir(here) if n != "a.db"] == []

    def stored():
        beside = space.person.root / "home" / f"{here.name}.db"
        beside.write_bytes(bucket.get(space.key(here / "a.db")) or b"")
        copy = sqlite3.connect(beside)
        try:
            return copy.execute("pragma integrity_check").fetchone() == ("ok",) and copy.execute("select count(*) from t").fetchone() == count
        except sqlite3.DatabaseError:
            return False

    eventually(stored)


def test_vim(here, space, bucket):
    """vim saves, with backup and swap file, and leaves nothing else behind."""
    write_all(here / "note.txt", b"second\n")
    os.chmod(here / "note.txt", 0o640)
    for options in ("backupcopy=no", "backupcopy=yes"):
        shell(f"vim -N -u NONE -es -c 'set writebackup swapfile directory=. {options}' -c 'call append(0, \"{options}\")' -c wq note.txt", here)
    assert read_all(here / "note.txt") == b"backupcopy=yes\nbackupcopy=no\nsecond\n"
    assert bucket.get(space.key(here / "note.txt")) == read_all(here / "note.txt")
    assert os.listdir(here) == ["note.txt"]
    assert os.stat(here / "note.txt").st_mode & 0o777 == 0o640


def test_nano(here, space, bucket):
    """nano saves what was typed."""
    write_all(here / "note.txt", b"old text\n")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(here)
        os.execvpe("nano", ["nano", "--ignorercfiles", "note.txt"], dict(os.environ, TERM="xterm", HOME="/nonexistent"))

    def drain(seconds):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    os.read(terminal, 65536)
                except OSError:
                    return

    drain(1)
    os.write(terminal, b"typed ")
    drain(0.3)
    os.write(terminal, b"\x0f\r")
    eventually(lambda: drain(0.1) or read_all(here / "note.txt") == b"typed old text\n")
    os.write(terminal, b"\x18")
    drain(1)
    os.waitpid(pid, 0)
    assert bucket.get(space.key(here / "note.txt")) == b"typed old text\n"
    assert os.listdir(here) == ["note.txt"]


def test_gio(here, space, bucket):
    """gio copy and gio trash."""
    write_all(here / "a.jpg", b"picture")
    environment = space.person.environment
    shell("gio copy a.jpg b.jpg; gio copy a.jpg c.jpg", here, environment=environment)
    assert bucket.get(space.key(here / "b.jpg")) == b"picture"
    shell("gio trash b.jpg", here, environment=environment)
    assert sorted(os.listdir(here)) == ["a.jpg", "c.jpg"]
    trashed = [p for p in space.path.glob(f".Trash-{os.geteuid()}/files/*")]
    assert [read_all(p) for p in trashed] == [b"picture"]
    assert "image/jpeg" in shell("gio info -a standard::content-type a.jpg", here, environment=environment).stdout


@pytest.mark.parametrize("engine", ["psync", "mmap", "libaio"])
@pytest.mark.within(60)
def test_fio(here, engine):
    """fio --verify: random writes are read back as they were written."""
    shell(
        f"fio --name=v --directory=. --size=12m --rw=randrw --bsrange=512-96k --bs_unaligned=1 --ioengine={engine} --numjobs=2 "
        f"--verify=crc32c --verify_fatal=1 --do_verify=1 --end_fsync=1 --randseed=5 --group_reporting --output=/dev/stdout"
        if engine != "libaio"
        else "fio --name=v --directory=. --size=12m --rw=randwrite --bs=16k --iodepth=8 --ioengine=libaio --verify=crc32c "
        "--verify_fatal=1 --do_verify=1 --end_fsync=1 --randseed=6 --output=/dev/stdout",
        here, within=55,
    )  # fmt: skip


def test_appending_shell(here, space, bucket):
    """`>>` appends."""
    shell("for n in $(seq 30); do echo \"line $n\" >> log; done", here)
    assert bucket.get(space.key(here / "log")) == b"".join(b"line %d\n" % n for n in range(1, 31))


def test_dd(here, space, bucket):
    """dd conv=fsync; dd conv=notrunc into the middle."""
    content = bytearray(random.Random(1).randbytes(3 << 20))
    write_all(here / "source", bytes(content))
    shell("dd if=source of=out bs=64k conv=fsync status=none", here)
    assert bucket.get(space.key(here / "out")) == content
    shell("printf middle | dd of=out bs=1 seek=1000000 conv=notrunc status=none", here)
    content[1_000_000:1_000_006] = b"middle"
    assert bucket.get(space.key(here / "out")) == content
    shell("dd if=source of=out bs=1M oflag=append conv=notrunc status=none", here)
    assert os.stat(here / "out").st_size == 6 << 20


def test_tools_that_replace_files(here, space, bucket):
    """sed -i, install, mv, shuf -o, patch-like tools: the usual ways of replacing a file."""
    write_all(here / "a", b"one\ntwo\n")
    shell("sed -i s/two/three/ a; install -m 640 a b; mv b c; sort -r c -o c; cp --reflink=auto a d; truncate -s 3 d; ln -s a e", here)
    assert bucket.get(space.key(here / "a")) == b"one\nthree\n"
    assert bucket.get(space.key(here / "c")) == b"three\none\n"
    assert sorted(os.listdir(here)) == ["a", "c", "d", "e"]
    assert os.stat(here / "c").st_mode & 0o777 == 0o640
    eventually(lambda: bucket.get(space.key(here / "d")) == b"one")


def test_find_du_and_rm(here, bucket, space):
    """find, du and rm -r of a tree that was just made."""
    shell("mkdir -p t/{a,b,c}/{d,e}; for d in t/*/*; do echo x > $d/f; done", here)
    assert shell("find t -type f | wc -l; find t -type d | wc -l", here).stdout.split() == ["6", "10"]
    shell("du -sh t; ls -lR t; rm -r t", here)
    assert os.listdir(here) == []
    eventually(lambda: [k for k in bucket.list(space.key(here) + "/t")] == [])
