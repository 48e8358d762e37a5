"""The server stops answering in the middle of work: bounded waits, Ctrl-C works, then all goes on."""

import errno
import hashlib
import os
import random
import signal
import subprocess
import time

import pytest

from harness.child import Background, eventually
from harness.syscalls import fails_with, read_all, write_all

METADATA, DATA = 10, 30  # seconds: what is not there fails inside these
SLACK = 4  # seconds, for a busy machine


def filled(bucket, account, count=12, length=400_000):
    """Files of the app: folders that were never listed here and bytes that were never read here."""
    contents = {f"folder{n}/picture {n}.jpg": random.Random(n).randbytes(length) for n in range(count)}
    for name, body in contents.items():
        bucket.put(account.prefix + name, body)
    bucket.put(account.prefix + "long", random.Random(99).randbytes(24 << 20))
    return contents


def timed(step, *arguments):
    """(seconds, what came of it): a value, or the name of an errno."""
    began = time.monotonic()
    try:
        result = step(*arguments)
    except OSError as error:
        result = errno.errorcode[error.errno]
    return time.monotonic() - began, result


def digest_of(path):
    return hashlib.sha256(read_all(path)).hexdigest()


def keep(step, names, limit):
    """Does `step(name)` again and again until `limit`, and tells how long each took and what came of it."""
    told, number = [], 0
    while time.monotonic() < limit:
        told.append((names[number % len(names)], *timed(step, names[number % len(names)])))
        number += 1
        time.sleep(0.1)
    return told


@pytest.mark.parametrize("fault, seconds", [("hang", 20), ("refuse", 8)])
@pytest.mark.within(120)
def test_server_stopped_in_the_middle(people, wire, bucket, fault, seconds):
    """The server stopped for 20 s in the middle of reading, listing and writing: bounded waits, then all goes on without remount."""
    one = people(wire=wire, mount__freshness=1, cache__size=4 << 20)
    contents = filled(bucket, one.account)
    mounted = one.mount()
    names = list(contents)
    written = {}

    def write(name):
        write_all(mounted.path / f"new {name.replace('/', ' ')}", contents[name])

    begin = time.monotonic()
    stop = begin + 3 + seconds + 4
    reading = Background(keep, lambda name: digest_of(mounted.path / name), names, stop)
    listing = Background(keep, lambda name: sorted(os.listdir(mounted.path / name.split("/")[0])), names, stop)
    writing = Background(keep, write, names, stop)
    time.sleep(3)
    wire.order(fault)
    time.sleep(seconds)
    wire.order("pass")
    read, listed, wrote = (work.result(within=DATA + 40) for work in (reading, listing, writing))

    refusals = ("ENETUNREACH", "EBUSY")
    for name, took, result in read:
        assert took < DATA + SLACK, f"reading {name} took {took:.0f} s"
        assert result in refusals or result == hashlib.sha256(contents[name]).hexdigest(), f"{name}: {result}"
    for name, took, result in listed:
        assert took < METADATA + SLACK, f"listing {name} took {took:.0f} s"
        assert result in refusals or result == [name.split("/")[1]], f"{name}: {result}"
    for name, took, result in wrote:
        assert took < DATA + SLACK + METADATA, f"writing {name} took {took:.0f} s"
        assert result is None or result in refusals, f"{name}: {result}"
        written[name] = result
    for work in (read, listed, wrote):
        assert work[0][2] not in refusals, "nothing worked before the outage: it was not in the middle of anything"

    def all_well():
        assert [timed(digest_of, mounted.path / name)[1] for name in names] == [hashlib.sha256(contents[n]).hexdigest() for n in names]
        write_all(mounted.path / "after", b"after")
        return bucket.get(one.account.prefix + "after") == b"after"

    eventually(all_well, within=20)
    for name, result in written.items():
        if result is None:
            assert bucket.get(one.account.prefix + f"new {name.replace('/', ' ')}") == contents[name]


@pytest.mark.within(90)
def test_silent_server(people, wire, bucket):
    """What is not there fails with ENETUNREACH inside 10 s (metadata) or 30 s (data); statfs answers at once; Ctrl-C ends every wait."""
    one = people(wire=wire, mount__freshness=30, mount__durability="remote")
    contents = filled(bucket, one.account)
    mounted = one.mount()
    os.listdir(mounted.path)
    os.listdir(mounted.path / "folder1")
    cached = digest_of(mounted.path / "folder1/picture 1.jpg")
    assert cached == hashlib.sha256(contents["folder1/picture 1.jpg"]).hexdigest()
    wire.order("hang")
    try:
        interrupted = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            for command in (["cat", mounted.path / "long"], ["ls", mounted.path / "folder3"], ["cp", "/bin/true", mounted.path / "copy"])
        ]
        reading = Background(timed, digest_of, mounted.path / "long")
        listing = Background(timed, os.listdir, mounted.path / "folder4")
        writing = Background(timed, write_all, mounted.path / "new", b"x")
        took, _ = timed(os.statvfs, mounted.path)
        assert took < 5
        took, seen = timed(os.listdir, mounted.path / "folder1")
        assert took < 5 and seen == ["picture 1.jpg"]
        took, seen = timed(digest_of, mounted.path / "folder1/picture 1.jpg")
        assert took < 5 and seen == cached
        time.sleep(1.5)
        for waiting in interrupted:
            assert waiting.poll() is None, f"{waiting.args[0]} did not wait for anything"
            waiting.send_signal(signal.SIGINT)
            assert waiting.wait(3) == -signal.SIGINT
        for work, bound in ((listing, METADATA), (reading, DATA), (writing, DATA + METADATA)):
            took, result = work.result(within=bound + 10)
            assert took < bound + SLACK
            assert result == "ENETUNREACH"
    finally:
        wire.order("pass")
    eventually(lambda: os.listdir(mounted.path / "folder4") == ["picture 4.jpg"], within=15)
    eventually(lambda: timed(digest_of, mounted.path / "long")[1] == hashlib.sha256(random.Random(99).randbytes(24 << 20)).hexdigest(), within=15)


@pytest.mark.within(60)
def test_connections_that_break(people, wire, bucket):
    """A remote failure is retried: connections that are cut again and again lose and mix nothing."""
    one = people(wire=wire)
    contents = filled(bucket, one.account, count=6)
    mounted = one.mount()
    names = list(contents)

    def copy():
        for number, name in enumerate(names * 3):
            write_all(mounted.path / f"copy {number}", read_all(mounted.path / name))
        return True

    working = Background(copy)
    for _ in range(8):
        time.sleep(0.4)
        wire.order("refuse")
        wire.order("pass")
    assert working.result(within=40)
    for number, name in enumerate(names * 3):
        assert bucket.get(one.account.prefix + f"copy {number}") == contents[name]
        assert bucket.versions(one.account.prefix + f"copy {number}")[-1] == len(contents[name])
    assert not [name for name in os.listdir(mounted.path) if "conflict" in name], "a retried request was taken for a conflict"


@pytest.fixture
def three_actions(aws):
    """The role of the article: GetObject, PutObject, DeleteObject on the own prefix, and nothing to list with."""
    _, before = aws.policy()
    own = f"arn:aws:s3:::{aws.bucket.name}/private/${{cognito-identity.amazonaws.com:sub}}"
    actions = ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"]
    aws.set_policy({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": [own, own + "/*"]}]})
    aws.settings(missing_is_403=True)
    yield
    aws.settings(missing_is_403=False)
    aws.set_policy(before)


def test_policy_without_listing(three_actions, people, bucket):
    """The policy with only the article's three actions (no ListBucket): readdir says EACCES, known names open."""
    one = people()
    bucket.put(one.account.prefix + "known.jpg", b"picture")
    bucket.put(one.account.prefix + "folder/inside.jpg", b"inside")
    mounted = one.mount()
    with fails_with(errno.EACCES):
        os.listdir(mounted.path)
    assert read_all(mounted.path / "known.jpg") == b"picture"
    assert os.stat(mounted.path / "known.jpg").st_size == 7
    with fails_with(errno.EACCES):
        os.stat(mounted.path / "unknown.jpg")
    assert bucket.list(one.account.prefix) == {one.account.prefix + n: s for n, s in (("known.jpg", 7), ("folder/inside.jpg", 6))}


def test_policy_that_denies_one_key(aws, people, bucket):
    """An object under a key that is denied is listed; open says EACCES."""
    one = people()
    bucket.put(one.account.prefix + "free", b"free")
    bucket.put(one.account.prefix + "denied", b"denied")
    one.run("whoami", "--config", one.conf, check=True)
    denial = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket.name}/{one.account.prefix}denied"}],
    }
    import json

    bucket.s3.put_bucket_policy(Bucket=bucket.name, Policy=json.dumps(denial))
    try:
        mounted = one.mount()
        assert sorted(os.listdir(mounted.path)) == ["denied", "free"]
        assert read_all(mounted.path / "free") == b"free"
        assert os.stat(mounted.path / "denied").st_size == 6
        with fails_with(errno.EACCES):
            read_all(mounted.path / "denied")
    finally:
        bucket.s3.delete_bucket_policy(Bucket=bucket.name)
