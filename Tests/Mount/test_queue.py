"""Changes that S3 does not have yet: shown, tried again, given up, waited for, and left to the next mount."""

import errno
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness import sweep
from harness.aws import SHORT
from harness.child import eventually
from harness.person import shell
from harness.syscalls import fails_with, read_all, write_all


def local(person, where=None, **options):
    return person.mount(where, durability="local", **options)


def status(person, mounted):
    return json.loads(person.run("status", "--json", mounted.path, check=True).stdout)


def pending(person, mounted):
    return status(person, mounted)["pending"]


@pytest.fixture
def offline(wire):
    """Cuts the wire, and joins it again after the test."""
    yield lambda: wire.order("refuse")
    wire.order("pass")


@pytest.fixture
def refusing(aws):
    """Has the app refuse to store and to delete what users change, and allow it again."""
    _, allowed = aws.policy()
    without = json.loads(
        json.dumps(allowed).replace('"s3:PutObject"', '"s3:PutNothing"').replace('"s3:DeleteObject"', '"s3:DeleteNothing"')
    )

    class Refusal:
        begin = staticmethod(lambda: aws.set_policy(without))
        end = staticmethod(lambda: aws.set_policy(allowed))

    yield Refusal
    aws.set_policy(allowed)


@pytest.mark.within(90)
def test_refused_retried_discarded(people, bucket, refusing):
    """A change that S3 refuses for good is failed: kept, shown by `status`, with `retry` and `discard`."""
    one = people()
    bucket.put(one.account.prefix + "old", b"theirs")
    mounted = local(one)
    refusing.begin()
    write_all(mounted.path / "old", b"ours")
    write_all(mounted.path / "a", b"A")
    write_all(mounted.path / "b", b"B")
    synced = one.run("sync", mounted.path)
    assert synced.returncode == 73 and "S3 refuses 3 changes" in synced.stderr
    told = status(one, mounted)
    assert sorted(change["path"] for change in told["failed"]) == ["a", "b", "old"] and told["failedCount"] == 3
    assert all(change["reason"] for change in told["failed"])
    # Only a path that failed ends badly.
    one.run("sync", mounted.path / "nothing-here", check=True)
    assert one.run("sync", mounted.path / "a").returncode == 73

    assert one.run("discard", mounted.path / "b").returncode == 64
    given = one.run("discard", "--yes", mounted.path / "b", check=True).stdout
    assert "contents, 1 B  b" in given
    one.run("discard", "--yes", mounted.path / "old", check=True)
    assert sorted(os.listdir(mounted.path)) == ["a", "old"]
    assert read_all(mounted.path / "old") == b"theirs"

    mounted.kill()
    mounted.detach()
    mounted = local(one)
    # The new mount has tried it again: a request under way would be refused after the end of the refusal.
    eventually(lambda: [change["path"] for change in status(one, mounted)["failed"]] == ["a"])
    refusing.end()
    one.run("retry", mounted.path / "a", check=True)
    one.run("sync", mounted.path, check=True)
    assert bucket.get(one.account.prefix + "a") == b"A" and bucket.get(one.account.prefix + "old") == b"theirs"
    assert bucket.get(one.account.prefix + "b") is None


@pytest.mark.within(90)
def test_refused_names_and_attributes(people, bucket, refusing):
    """What S3 refuses to delete, rename, chmod or make stays failed over a crash, until it is tried again or given up."""
    one = people()
    for name in ("gone", "back", "old", "undone", "mode"):
        bucket.put(one.account.prefix + name, name.encode())
    mounted = local(one)
    os.listdir(mounted.path)
    refusing.begin()
    for name in ("gone", "back"):
        os.unlink(mounted.path / name)
    for old, new in (("old", "new"), ("undone", "made")):
        os.rename(mounted.path / old, mounted.path / new)
    os.chmod(mounted.path / "mode", 0o640)
    os.mkdir(mounted.path / "d")
    assert one.run("sync", mounted.path).returncode == 73

    def failed():
        return sorted((change["kind"], change["path"]) for change in status(one, mounted)["failed"])

    six = [("attributes", "mode"), ("deletion", "back"), ("deletion", "gone"), ("directory", "d/"), ("name", "made"), ("name", "new")]
    assert failed() == six
    told = one.run("status", mounted.path, check=True).stdout
    assert "deletion of gone: " in told and "new name new, which was old: " in told
    mounted.kill()
    mounted.detach()
    mounted = local(one)
    assert sorted(os.listdir(mounted.path)) == ["d", "made", "mode", "new"]
    assert os.stat(mounted.path / "mode").st_mode & 0o777 == 0o640
    assert one.run("sync", mounted.path).returncode == 73 and failed() == six

    one.run("discard", "--yes", mounted.path / "back", check=True)
    one.run("discard", "--yes", mounted.path / "made", check=True)
    assert sorted(os.listdir(mounted.path)) == ["back", "d", "mode", "new", "undone"]
    assert read_all(mounted.path / "back") == b"back" and read_all(mounted.path / "undone") == b"undone"
    refusing.end()
    one.run("retry", mounted.path, check=True)
    one.run("sync", mounted.path, check=True)
    assert failed() == []
    assert sorted(bucket.list(one.account.prefix)) == [one.account.prefix + n for n in ("back", "d/", "mode", "new", "undone")]
    assert bucket.get(one.account.prefix + "new") == b"old"


@pytest.mark.within(90)
def test_offline_from_cold(people, wire, bucket, offline):
    """Mounting works without a network where the space was mounted before; what is changed then reaches S3 later."""
    one = people(wire=wire)
    bucket.put(one.account.prefix + "d/known", b"known")
    mounted = local(one)
    assert os.listdir(mounted.path) == ["d"] and os.listdir(mounted.path / "d") == ["known"]
    assert read_all(mounted.path / "d/known") == b"known"
    mounted.unmount()
    offline()
    began = time.monotonic()
    mounted = local(one)
    assert time.monotonic() - began < 8
    assert os.listdir(mounted.path / "d") == ["known"]
    assert read_all(mounted.path / "d/known") == b"known"
    write_all(mounted.path / "d/new", b"new")
    os.rename(mounted.path / "d", mounted.path / "e")
    assert status(one, mounted)["state"] == "offline"
    wire.order("pass")
    one.run("sync", mounted.path, check=True)
    keys = bucket.list(one.account.prefix)
    assert sorted(keys) == [one.account.prefix + name for name in ("e/known", "e/new")]


def test_offline_unknown_space(people, wire, offline):
    """A first mount of a space without a network fails, with the network's exit code."""
    one = people(wire=wire)
    offline()
    (one.root / "m").mkdir()
    assert one.run("mount", one.root / "m", "--config", one.conf).returncode == 69


@pytest.mark.within(90)
def test_environment_offline_and_wrong(aws, people, wire, offline):
    """With credentials from the environment too; and what is wrong is said: a bucket that is gone is no missing network."""
    one, s3 = people(wire=wire), aws.admin("s3")
    s3.create_bucket(Bucket="for-a-while")
    s3.put_object(Bucket="for-a-while", Key="p/known", Body=b"known")
    environment = one.environment | {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": aws.region}
    where = one.root / "m"
    where.mkdir()
    command = [
        "mount", "s3://for-a-while/p", where, "--credentials", "environment", "--endpoint", f"http://127.0.0.1:{wire.port}",
        "--config", one.conf, "--state-dir", one.state,
    ]  # fmt: skip

    def mount():
        return one.run(*command, environment=environment)

    assert mount().returncode == 0
    one.run("umount", where, "--state-dir", one.state, check=True)
    offline()
    assert mount().returncode == 0
    assert os.listdir(where) == ["known"]
    one.run("umount", where, "--state-dir", one.state, check=True)
    wire.order("pass")
    s3.delete_object(Bucket="for-a-while", Key="p/known")
    s3.delete_bucket(Bucket="for-a-while")
    gone = mount()
    assert gone.returncode == 78 and "for-a-while" in gone.stderr

    # What S3 says too late for the command, a known space being mounted without it, `status` shows.
    wire.order("hang")
    assert mount().returncode == 0

    def told():
        return json.loads(one.run("status", "--json", where, "--state-dir", one.state, check=True).stdout).get("lastError") or ""

    assert "for-a-while" not in told()
    wire.order("pass")
    eventually(lambda: "for-a-while" in told(), within=30)
    one.run("umount", where, "--state-dir", one.state, check=True)


@pytest.mark.within(90)
def test_lazy_umount(people, wire, bucket, offline):
    """`umount --lazy` detaches at once and leaves the queue to the next mount."""
    one = people(wire=wire)
    mounted = local(one)
    offline()
    for number in range(20):
        write_all(mounted.path / f"{number}", b"x" * number)
    one.run("umount", "--lazy", mounted.path, check=True, within=10)
    assert mounted.wait_end(5) == 75
    assert "20" in mounted.log.read_text()
    mounted = local(one)
    assert len(os.listdir(mounted.path)) == 20
    wire.order("pass")
    mounted.unmount()
    assert mounted.process.returncode == 0
    assert len(bucket.list(one.account.prefix)) == 20


@pytest.mark.within(90)
def test_sync_of_what_nothing_mounts(people, wire, bucket, offline):
    """`sync` says what waits in the journal of a mount that has ended, and what to do, and does not end well."""
    one = people(wire=wire)
    mounted = local(one)
    offline()
    (mounted.path / "d").mkdir()
    write_all(mounted.path / "d/a", b"A")
    state = ("--state-dir", one.state)
    mounted.kill()
    for path in (mounted.path, mounted.path / "d/a"):
        dead = one.run("sync", path, *state)
        assert dead.returncode == 66 and f"The mount on {mounted.path} doesn't answer" in dead.stderr
    mounted.detach()
    told = one.run("sync", *state)
    assert told.returncode == 75 and "2 changes of" in told.stderr and "which nothing mounts" in told.stderr
    assert one.account.name in told.stderr and "cognitofs mount" in told.stderr
    elsewhere = one.run("sync", mounted.path, *state)
    assert elsewhere.returncode == 66 and "is in no mount of cognitofs" in elsewhere.stderr and "2 changes" in elsewhere.stderr
    assert "2 changes" in one.run("status", *state, check=True).stderr
    # The usual configuration tells where to look, too.
    usual = one.root / "home/.config/cognitofs"
    usual.mkdir(parents=True)
    (usual / "mount.conf").write_text(one.conf.read_text())
    assert one.run("sync").returncode == 75
    wire.order("pass")
    mounted = local(one)
    one.run("sync", *state, check=True)
    mounted.unmount()
    one.run("sync", *state, check=True)
    assert one.run("status", *state, check=True).stderr == ""
    assert bucket.get(one.account.prefix + "d/a") == b"A"


@pytest.mark.within(90)
def test_umount_that_is_interrupted(people, wire, bucket, offline):
    """`umount` waits and says for what; Ctrl-C unmounts and leaves the rest to the next mount, and says so."""
    one = people(wire=wire)
    mounted = local(one)
    offline()
    write_all(mounted.path / "a", b"A")
    command = subprocess.Popen(
        [one.binary, "umount", mounted.path], env=one.environment, stderr=subprocess.PIPE, text=True
    )
    assert "1 change to go, 1 B" in command.stderr.readline()
    eventually(lambda: "waiting for the network" in command.stderr.readline(), within=20)
    assert sweep.is_mounted(mounted.path)
    command.send_signal(signal.SIGINT)
    told = command.stderr.read()
    assert command.wait(10) == 130 and "next mount goes on" in told
    assert mounted.wait_end(5) == 75
    wire.order("pass")
    mounted = local(one)
    mounted.unmount()
    assert bucket.get(one.account.prefix + "a") == b"A"


@pytest.mark.within(90)
def test_next_mount_takes_over_from_a_draining_one(people, wire, bucket, offline):
    """After a plain umount the daemon sends what is left; a new mount of the space takes that over, on the same directory or another."""
    one = people(wire=wire)
    mounted = local(one)
    offline()
    write_all(mounted.path / "a", b"A")
    for where in (mounted.path, one.root / "elsewhere"):
        shell(f"umount {mounted.path}", "/")
        eventually(lambda: any(m["state"] == "draining" for m in json.loads(one.run("status", "--json").stdout)))
        former = mounted
        mounted = local(one, where)
        assert former.wait_end(5) == 75
        assert read_all(where / "a") == b"A"
    wire.order("pass")
    mounted.unmount()
    assert bucket.get(one.account.prefix + "a") == b"A"


def test_second_mount_is_refused(people):
    """One mount of a space at a time on a machine: the second is refused with a sentence that names the first."""
    one = people()
    mounted = local(one)
    (one.root / "second").mkdir()
    began = time.monotonic()
    refused = one.run("mount", one.root / "second", "--config", one.conf)
    assert refused.returncode == 71 and f"is mounted on {mounted.path} already" in refused.stderr
    assert time.monotonic() - began < 8
    write_all(mounted.path / "a", b"A")
    mounted.unmount()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.within(60)
def test_signals_drain(people, bucket, number):
    """SIGTERM, SIGINT: unmounted, and what was closed reaches S3 before the daemon ends."""
    one = people()
    mounted = local(one)
    for name in range(10):
        write_all(mounted.path / f"{name}", b"x")
    mounted.process.send_signal(number)
    assert mounted.wait_end(30) == 0
    assert not sweep.is_mounted(mounted.path)
    assert len(bucket.list(one.account.prefix)) == 10


@pytest.mark.within(60)
def test_end_of_drain(people, wire, bucket, offline):
    """What is left after `drain` is named in the log and goes on at the next mount."""
    one = people(wire=wire)
    mounted = local(one, drain=1)
    offline()
    write_all(mounted.path / "left-over", b"A")
    mounted.process.send_signal(signal.SIGTERM)
    assert mounted.wait_end(10) == 75
    assert "left-over" in mounted.log.read_text()
    wire.order("pass")
    local(one).unmount()
    assert bucket.get(one.account.prefix + "left-over") == b"A"


@pytest.mark.within(60)
def test_logout_with_changes(people, wire, offline):
    """`logout` with changes queued, of a mount or of one that has ended, refuses unless `--discard`."""
    one = people(wire=wire)
    mounted = local(one)
    offline()
    write_all(mounted.path / "a", b"A")
    refused = one.run("logout", "--config", one.conf)
    assert refused.returncode == 75 and str(mounted.path) in refused.stderr and "--discard" in refused.stderr
    one.run("umount", "--lazy", mounted.path, check=True)
    mounted.wait_end(5)
    refused = one.run("logout", "--config", one.conf)
    assert refused.returncode == 75 and "which nothing mounts" in refused.stderr
    one.run("logout", "--discard", "--config", one.conf, check=True)
    wire.order("pass")
    one.login()
    mounted = local(one)
    assert os.listdir(mounted.path) == []
    # Nothing lies about that nobody could read any more.
    assert status(one, mounted)["asides"] == []


@pytest.mark.within(60)
def test_synced_and_never_closed(people, bucket):
    """`status` names what a crash kept from being closed; it is sent when somebody closes it, and given up when asked."""
    one = people()
    mounted = local(one)
    held = [os.open(mounted.path / name, os.O_WRONLY | os.O_CREAT) for name in ("base.db", "log")]
    for descriptor in held:
        os.write(descriptor, b"0123456789" * 200)
        os.fsync(descriptor)
    assert status(one, mounted)["unclosed"] == []
    mounted.kill()
    mounted.detach()
    refused = one.run("logout", "--config", one.conf)
    assert refused.returncode == 75 and "2 files that no program has closed" in refused.stderr
    mounted = local(one)
    one.run("sync", mounted.path, check=True)
    assert [(f["path"], f["bytes"]) for f in status(one, mounted)["unclosed"]] == [("base.db", 2000), ("log", 2000)]
    told = one.run("status", mounted.path, check=True).stdout
    assert "base.db  2.0 KiB" in told and "cognitofs discard FILE" in told and ": >> FILE" in told
    refused = one.run("logout", "--config", one.conf)
    assert refused.returncode == 75 and f"2 files that no program has closed of the mount on {mounted.path}" in refused.stderr
    shell(": >> base.db", mounted.path)
    one.run("discard", "--yes", mounted.path / "log", check=True)
    assert status(one, mounted)["unclosedCount"] == 0
    one.run("sync", mounted.path, check=True)
    assert os.listdir(mounted.path) == ["base.db"]
    assert bucket.get(one.account.prefix + "base.db") == b"0123456789" * 200


@pytest.mark.within(60)
def test_damaged_journal(people, wire, bucket, offline):
    """What a damaged disk cuts off from the queue is put aside and named until somebody removes it; the rest goes on."""
    one = people(wire=wire)
    mounted = local(one)
    offline()
    write_all(mounted.path / "a", b"A")
    journal = Path(status(one, mounted)["journal"])
    size = (journal / "rows.log").stat().st_size
    for name in ("b", "c"):
        write_all(mounted.path / name, name.encode())
    mounted.kill()
    mounted.detach()
    with open(journal / "rows.log", "r+b") as log:
        log.seek(size + 70)
        log.write(b"damaged")
    mounted = local(one)
    assert os.listdir(mounted.path) == ["a"]
    (aside,) = status(one, mounted)["asides"]
    assert aside["path"] in mounted.log.read_text() and "damaged" in mounted.log.read_text()
    assert len(os.listdir(Path(aside["path"]) / "staged")) == 3
    told = one.run("status", mounted.path, check=True).stdout
    assert aside["path"] in told and "rm -r PATH" in told
    wire.order("pass")
    one.run("sync", mounted.path, check=True)
    shutil.rmtree(aside["path"])
    assert status(one, mounted)["asides"] == []
    mounted.unmount()
    assert list(bucket.list(one.account.prefix)) == [one.account.prefix + "a"]


@pytest.mark.within(60)
def test_sign_in_as_somebody_else(aws, people, wire, bucket, offline):
    """Signing in as somebody else while changes are queued is refused, and nothing is mixed."""
    one = people(wire=wire)
    mounted = local(one)
    wire.order("refuse")
    write_all(mounted.path / "a", b"A")
    one.run("umount", "--lazy", mounted.path, check=True)
    mounted.wait_end(5)
    wire.order("pass")
    former, other = one.account, aws.account()
    one.account = other
    # Before anybody is asked: the password does not matter.
    for password in (None, "wrong"):
        refused = one.login(password, check=False)
        assert refused.returncode == 77 and former.name in refused.stderr and "doesn't have everything" in refused.stderr
    one.account = former
    assert json.loads(one.run("whoami", "--json", "--config", one.conf, check=True).stdout)["identityID"] == former.identity_id
    local(one).unmount()
    assert bucket.get(former.prefix + "a") == b"A" and bucket.list(other.prefix) == {}
    one.account = other
    one.login()


@pytest.mark.within(60)
def test_sign_in_as_a_namesake(aws, people, wire, bucket, offline):
    """A user of the same name who is somebody else is found out after signing in, and refused before anything is stored."""
    one = people(wire=wire)
    mounted = local(one)
    offline()
    write_all(mounted.path / "a", b"A")
    one.run("umount", "--lazy", mounted.path, check=True)
    mounted.wait_end(5)
    wire.order("pass")
    former = one.account
    aws.admin("cognito-idp").admin_delete_user(UserPoolId=aws.pool, Username=former.name)
    one.account = aws.account(former.name)
    assert one.account.identity_id != former.identity_id
    refused = one.login(check=False)
    assert refused.returncode == 77 and "doesn't have everything" in refused.stderr
    assert json.loads(one.run("whoami", "--json", "--config", one.conf, check=True).stdout)["identityID"] == former.identity_id
    # What the former user wrote is still there to be asked about.
    assert one.run("logout", "--config", one.conf).returncode == 75
    one.run("logout", "--discard", "--config", one.conf, check=True)
    one.login()
    assert os.listdir(local(one).path) == [] and bucket.list(one.account.prefix) == {}


@pytest.mark.within(120)
def test_cold_mount_with_the_session_over(aws, people, bucket):
    """With the session over a known space is mounted with what this machine knows; `login` revives it, and the queue goes on."""
    one, stranger = people(signed_in=False), people(signed_in=False)
    bucket.put(one.account.prefix + "d/known", b"known")
    aws.settings(credential_seconds=SHORT, token_seconds=SHORT)
    try:
        for person in (one, stranger):
            person.login()
        mounted = local(one)
        assert os.listdir(mounted.path / "d") == ["known"] and read_all(mounted.path / "d/known") == b"known"
        mounted.unmount()
        for person in (one, stranger):
            aws.admin("cognito-idp").admin_user_global_sign_out(UserPoolId=aws.pool, Username=person.account.name)
        time.sleep(SHORT + 1)
        where, first = one.root / "cold", stranger.root / "first"
        where.mkdir()
        first.mkdir()
        unknown = stranger.run("mount", first, "--config", stranger.conf)
        assert unknown.returncode == 77 and "cognitofs login" in unknown.stderr
        told = one.run("mount", where, "--config", one.conf, "-o", "durability=local", check=True)
        assert "The sign-in is over" in told.stderr and "cognitofs login" in told.stderr
        assert json.loads(one.run("status", "--json", where, check=True).stdout)["state"] == "needsSignIn"
        assert os.listdir(where) == ["d"] and os.listdir(where / "d") == ["known"]
        assert read_all(where / "d/known") == b"known"
        write_all(where / "d/new", b"new")
        os.rename(where / "d/known", where / "moved")
        assert sorted(os.listdir(where)) == ["d", "moved"] and read_all(where / "moved") == b"known"
        assert one.run("sync", where, within=60).returncode == 77
    finally:
        aws.settings(credential_seconds=0, token_seconds=0)
    one.login()
    one.run("sync", where, check=True, within=60)
    assert sorted(bucket.list(one.account.prefix)) == [one.account.prefix + n for n in ("d/new", "moved")]
    one.run("umount", where, check=True)


@pytest.mark.within(120)
def test_session_over_with_a_queue(aws, people, bucket):
    """With the session over all local changes go on; `login` revives the running mount, and the queue goes on."""
    one = people(signed_in=False)
    aws.settings(credential_seconds=SHORT, token_seconds=SHORT)
    try:
        one.login()
        mounted = local(one)
        write_all(mounted.path / "before", b"x")
        one.run("sync", mounted.path, check=True)
        aws.admin("cognito-idp").admin_user_global_sign_out(UserPoolId=aws.pool, Username=one.account.name)
        time.sleep(SHORT + 1)
        for name in ("a", "b"):
            write_all(mounted.path / name, b"x")
        os.rename(mounted.path / "a", mounted.path / "c")
        assert read_all(mounted.path / "c") == b"x"
        eventually(lambda: status(one, mounted)["state"] == "needsSignIn", within=30)
        told = one.run("sync", mounted.path, within=60)
        assert told.returncode == 77 and "cognitofs login" in told.stderr
        assert status(one, mounted)["failed"] == []
    finally:
        aws.settings(credential_seconds=0, token_seconds=0)
    one.login()
    one.run("sync", mounted.path, check=True, within=60)
    assert sorted(bucket.list(one.account.prefix)) == [one.account.prefix + n for n in ("b", "before", "c")]
