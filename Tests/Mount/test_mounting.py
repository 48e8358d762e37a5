"""Mounting and unmounting: commands, mount(8), fstab, signals, and what is said when it does not work."""

import errno
import json
import os
import signal
import time
from pathlib import Path

import pytest

from harness import places, sweep
from harness.child import Background, eventually
from harness.person import bounded, shell
from harness.syscalls import fails_with, read_all, write_all


def status_of(person, *more):
    return json.loads(person.run("status", "--json", *more, check=True).stdout)


def test_mount_in_the_background(people, bucket):
    """`cognitofs mount` returns when the directory answers; `cognitofs umount` waits until S3 has everything."""
    one = people()
    where = one.root / "m"
    where.mkdir()
    bucket.put(one.account.prefix + "here.jpg", b"picture")
    one.run("mount", where, "--config", one.conf, check=True)
    assert os.listdir(where) == ["here.jpg"]
    write_all(where / "new", b"x")
    one.run("umount", where, check=True, within=60)
    assert not sweep.is_mounted(where) and os.listdir(where) == []
    eventually(lambda: sweep.processes_of(one.root.parent) == [], within=10)


def test_what_the_mount_table_shows(people):
    """The mount is of type fuse.cognitofs, and df and findmnt show it."""
    one = people()
    mounted = one.mount()
    entry = next(e for e in sweep.mount_table() if e[0] == str(mounted.path))
    assert entry[1] == "fuse.cognitofs"
    assert "default_permissions" in entry[3] and "nosuid" in entry[3] and "nodev" in entry[3]
    shell(f"df -h {mounted.path} && findmnt {mounted.path} && stat -f {mounted.path}", "/")


def test_status(people, bucket):
    """`cognitofs status`: mounts, user, space, cache use, what is being uploaded, last error."""
    one = people()
    mounted = one.mount()
    write_all(mounted.path / "a", b"x")
    for facts in (status_of(one), status_of(one, mounted.path)):
        text = json.dumps(facts)
        for fact in (str(mounted.path), one.account.name, one.account.identity_id, bucket.name, str(mounted.process.pid)):
            assert fact in text, text
    told = one.run("status", check=True).stdout
    assert str(mounted.path) in told and one.account.name in told
    mounted.unmount()
    assert str(mounted.path) not in json.dumps(status_of(one))
    assert one.run("status", mounted.path).returncode != 0


@pytest.mark.within(60)
def test_status_while_uploading(people, wire):
    """`status`: what is being uploaded, and `sync` waits for it."""
    one = people(wire=wire)
    mounted = one.mount()
    wire.order("rate 2000000")
    try:
        writing = Background(write_all, mounted.path / "large one.bin", os.urandom(12 << 20))
        eventually(lambda: "large one.bin" in json.dumps(status_of(one)), within=15)
        one.run("sync", mounted.path, check=True, within=40)
        writing.result(within=30)
    finally:
        wire.order("rate 0")


def test_plain_umount(people, bucket):
    """plain `umount`: works, and the daemon ends."""
    one = people()
    mounted = one.mount()
    write_all(mounted.path / "a", b"x")
    shell(f"umount {mounted.path}", "/")
    mounted.wait_end(10)
    assert bucket.get(one.account.prefix + "a") == b"x"


@pytest.mark.within(60)
def test_plain_umount_keeps_draining(people, wire, bucket):
    """plain `umount`: the daemon stays for `drain` to empty the queue."""
    one = people(wire=wire)
    for number in range(30):
        bucket.put(one.account.prefix + f"old/{number}", b"x" * 1000)
    mounted = one.mount()
    assert len(os.listdir(mounted.path / "old")) == 30
    wire.order("rate 20000")
    os.rename(mounted.path / "old", mounted.path / "new")
    shell(f"umount {mounted.path}", "/")
    wire.order("rate 0")
    mounted.wait_end(30)
    assert len([k for k in bucket.list(one.account.prefix + "new/")]) == 30
    assert bucket.list(one.account.prefix + "old/") == {}


def test_umount_of_a_busy_directory(people):
    """A mount in use is not unmounted: the command says so, and the mount goes on."""
    one = people()
    mounted = one.mount()
    write_all(mounted.path / "a", b"x")
    held = os.open(mounted.path / "a", os.O_RDONLY)
    refused = one.run("umount", mounted.path)
    assert refused.returncode != 0 and refused.stderr.strip()
    assert os.pread(held, 1, 0) == b"x"
    os.close(held)
    mounted.unmount()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_mount(people, bucket, number):
    """SIGTERM, SIGINT: what was closed is on S3, the directory is unmounted, the daemon ends well."""
    one = people()
    mounted = one.mount()
    write_all(mounted.path / "a", b"x")
    mounted.process.send_signal(number)
    assert mounted.wait_end(15) == 0
    assert not sweep.is_mounted(mounted.path)
    assert bucket.get(one.account.prefix + "a") == b"x"


def test_hangup_does_not_end_the_mount(people):
    """SIGHUP: a mount in the background goes on."""
    one = people()
    where = one.root / "m"
    where.mkdir()
    one.run("mount", where, "--config", one.conf, check=True)
    os.kill(status_of(one, where)["pid"], signal.SIGHUP)
    time.sleep(1)
    write_all(where / "a", b"x")
    assert read_all(where / "a") == b"x"


def test_closed_terminal_does_not_end_the_mount(people):
    """A daemon in the background outlives the terminal that it was started from."""
    one = people()
    where = one.root / "m"
    where.mkdir()
    bounded(["setsid", "bash", "-c", f"'{places.binary()}' mount {where} --config {one.conf}; kill -HUP 0"], environment=one.environment)
    time.sleep(0.5)
    write_all(where / "a", b"x")
    assert read_all(where / "a") == b"x"


def test_read_only(people, bucket):
    """`read_only`: every change is refused with EROFS."""
    one = people()
    bucket.put(one.account.prefix + "a", b"x")
    mounted = one.mount(read_only=True)
    assert read_all(mounted.path / "a") == b"x"
    for change in (
        lambda: write_all(mounted.path / "new", b""), lambda: os.unlink(mounted.path / "a"), lambda: os.mkdir(mounted.path / "d"),
        lambda: os.open(mounted.path / "a", os.O_RDWR), lambda: os.chmod(mounted.path / "a", 0o600),
    ):  # fmt: skip
        with fails_with(errno.EROFS):
            change()
    assert bucket.list(one.account.prefix) == {one.account.prefix + "a": 1}


def test_umask_uid_gid(people, bucket):
    """`umask`, `uid`, `gid` say what is shown where nothing is stored."""
    one = people()
    bucket.put(one.account.prefix + "d/a", b"x")
    mounted = one.mount(umask="027", uid=1234, gid=2345)
    assert os.stat(mounted.path / "d").st_mode & 0o777 == 0o750
    found = os.stat(mounted.path / "d" / "a")
    assert (found.st_mode & 0o777, found.st_uid, found.st_gid) in [(0o640, 1234, 2345), (0o750, 1234, 2345)]


# What is said when it does not work.


def failure(person, *arguments, **more):
    done = person.run(*arguments, **more)
    lines = done.stderr.strip().splitlines()
    assert done.returncode != 0, done.stdout
    assert len(lines) == 1 and 10 < len(lines[0]) < 500, done.stderr
    assert "Error(" not in lines[0] and "Fatal" not in lines[0], lines[0]
    return done.returncode, lines[0]


@pytest.mark.within(120)
def test_errors_are_sentences_with_codes(people, aws):
    """Mounting returns with one sentence that says what is wrong and what to do, and an exit code per kind."""
    one, stranger = people(), people(signed_in=False)
    where = one.root / "m"
    where.mkdir()
    (stranger.root / "m").mkdir()
    dead = places.free_port()
    codes = {"not signed in": failure(stranger, "mount", stranger.root / "m", "--config", stranger.conf)[0]}

    one.write_conf(mount__freshness="soon")
    codes["configuration"], sentence = failure(one, "mount", where, "--config", one.conf)
    assert "freshness" in sentence
    one.write_conf()
    code, sentence = failure(one, "mount", where, "--config", one.root / "none.conf")
    assert code == codes["configuration"] and "none.conf" in sentence

    codes["mount point"], sentence = failure(one, "mount", one.root / "not there", "--config", one.conf)
    assert "not there" in sentence
    (one.root / "file").write_text("")
    assert failure(one, "mount", one.root / "file", "--config", one.conf)[0] == codes["mount point"]

    one.write_conf(app__s3_endpoint=f"http://127.0.0.1:{dead}")
    codes["network"], sentence = failure(one, "mount", where, "--config", one.conf, within=60)
    assert str(dead) in sentence
    assert len(set(codes.values())) == len(codes), codes
    assert all(0 < code < 126 for code in codes.values()), codes
    assert not sweep.is_mounted(where)
    one.write_conf()
    one.mount(where).unmount()


def test_unknown_options_are_told(people):
    """A misspelt option is named, with what it may have meant."""
    one = people()
    (one.root / "m").mkdir()
    _, sentence = failure(one, "mount", one.root / "m", "--config", one.conf, "-o", "freshnes=3")
    assert "freshnes" in sentence and "freshness" in sentence
    assert one.run("mont").returncode != 0
    assert one.run("umount", one.root / "m").returncode != 0


def test_http_to_another_machine_is_refused(people):
    """`http://` endpoints only for loopback unless `allow_insecure` is set."""
    one = people()
    (one.root / "m").mkdir()
    one.write_conf(app__s3_endpoint="http://192.0.2.1:9000")
    _, sentence = failure(one, "mount", one.root / "m", "--config", one.conf)
    assert "allow_insecure" in sentence or "https" in sentence


def test_mounting_twice_on_one_point(people):
    """A point that is a live mount already is told, and left alone."""
    one = people()
    mounted = one.mount()
    write_all(mounted.path / "a", b"x")
    failure(one, "mount", mounted.path, "--config", one.conf)
    assert read_all(mounted.path / "a") == b"x"


def test_mounting_over_files(people):
    """Files that the mount would hide stay, and are there again after it."""
    one = people()
    where = one.root / "m"
    where.mkdir()
    (where / "below").write_text("local")
    done = one.run("mount", where, "--config", one.conf)
    if done.returncode == 0:
        assert os.listdir(where) == []
        one.run("umount", where, check=True)
    assert (where / "below").read_text() == "local"


def test_help_and_version(people):
    """Each command explains itself."""
    one = people(signed_in=False)
    for command in ("mount", "umount", "status", "login", "logout", "whoami", "sync", "config"):
        assert command in one.run("--help", check=True).stdout
        assert one.run(command, "--help", check=True).stdout
    assert one.run("--version", check=True).stdout.strip()


# mount(8) and fstab.


@pytest.fixture
def installed(binary):
    """`cognitofs` and `mount.cognitofs` where mount(8) looks for them, for one test."""
    links = [Path("/usr/sbin/mount.cognitofs"), Path("/usr/local/bin/cognitofs")]
    before = {link: link.readlink() if link.is_symlink() else None for link in links}
    for link in links:
        assert link.is_symlink() or not link.exists(), f"{link} is there and is not ours"
        link.unlink(missing_ok=True)
        link.symlink_to(binary)
    yield
    for link in links:
        link.unlink()
        if before[link]:
            link.symlink_to(before[link])


def works(where, bucket, prefix):
    write_all(where / "by mount(8)", b"x")
    assert bucket.get(prefix + "by mount(8)") == b"x"


def test_mount_by_type(installed, people, bucket):
    """`mount -t cognitofs`."""
    one = people()
    where = one.root / "m"
    where.mkdir()
    bounded(["mount", "-t", "cognitofs", "cognitofs", where, "-o", f"config={one.conf},freshness=2"], environment=one.environment).check_returncode()
    works(where, bucket, one.account.prefix)
    shell(f"umount {where}", "/")


def test_mount_by_fuse_type(installed, people, bucket):
    """`mount -t fuse.cognitofs` too."""
    one = people()
    where = one.root / "m"
    where.mkdir()
    bounded(["mount", "-t", "fuse.cognitofs", "cognitofs", where, "-o", f"config={one.conf}"], environment=one.environment).check_returncode()
    works(where, bucket, one.account.prefix)
    shell(f"umount {where}", "/")


def test_mount_by_fstab(installed, people, bucket):
    """/etc/fstab (`noauto,user,_netdev`)."""
    one = people()
    where = one.root / "m"
    where.mkdir()
    fstab = one.root / "fstab"
    fstab.write_text(f"cognitofs {where} cognitofs noauto,user,_netdev,config={one.conf} 0 0\n")
    bounded(["mount", "-T", fstab, where], environment=one.environment).check_returncode()
    works(where, bucket, one.account.prefix)
    shell(f"umount {where}", "/")


def test_mount_by_type_that_fails(installed, people):
    """`mount -t cognitofs` fails with a sentence and a status that mount(8) passes on."""
    stranger = people(signed_in=False)
    where = stranger.root / "m"
    where.mkdir()
    done = bounded(["mount", "-t", "cognitofs", "cognitofs", where, "-o", f"config={stranger.conf}"], environment=stranger.environment)
    assert done.returncode != 0 and "login" in done.stderr
    assert not sweep.is_mounted(where)


def test_no_core_files_with_secrets(people, ordinary):
    """Secrets are in no core file: the daemon is not dumpable, so its /proc belongs to root whoever runs it."""
    one = people(uid=ordinary[0], gid=ordinary[1])
    mounted = one.mount()
    limits = Path(f"/proc/{mounted.process.pid}/limits").read_text().splitlines()
    core = next(line for line in limits if line.startswith("Max core file size")).split()
    assert core[4] == "0" or os.stat(f"/proc/{mounted.process.pid}/environ").st_uid == 0
