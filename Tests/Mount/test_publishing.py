"""When and how a file becomes visible on S3: once, whole, under its own key, and nothing else is asked for."""

import os
import random
import re
import threading
import time

import pytest

from harness.child import Background, eventually
from harness.person import People, shell
from harness.syscalls import read_all, write_all


@pytest.fixture(scope="module")
def space(aws, wire):
    """A mount whose requests are noted on the way."""
    made = People(aws)
    try:
        mounted = made(wire=wire, mount__freshness=1).mount()
        mounted.people = made
        yield mounted
    finally:
        made.leave()


def test_nothing_before_close(here, space, bucket):
    """A file whose writer has not closed it is never published."""
    descriptor = os.open(here / "a", os.O_CREAT | os.O_WRONLY)
    for _ in range(40):
        os.write(descriptor, bytes(1 << 20))
    time.sleep(1)
    assert bucket.head(space.key(here / "a")) is None
    os.close(descriptor)
    assert bucket.versions(space.key(here / "a")) == [40 << 20]


def test_nothing_after_a_crash_before_close(people, bucket):
    """A file whose writer has not closed it is never published, not after a crash either."""
    person = people()
    mounted = person.mount()
    write_all(mounted.path / "kept", b"closed before")
    descriptor = os.open(mounted.path / "a", os.O_CREAT | os.O_WRONLY)
    os.write(descriptor, bytes(20 << 20))
    mounted.kill()
    mounted.detach()
    again = person.mount()
    assert read_all(again.path / "kept") == b"closed before"
    again.unmount()
    assert bucket.list(person.account.prefix + "a") == {}


def test_an_overwrite_is_never_seen_empty(here, space, bucket):
    """An overwrite never shows another client an empty or partial object in between."""
    key, old, new = space.key(here / "a"), b"old" * 100_000, b"new" * 200_000
    write_all(here / "a", old)
    seen, done = [], threading.Event()

    def poll():
        while not done.is_set():
            seen.append(bucket.get(key))

    poller = threading.Thread(target=poll)
    poller.start()
    number = 0
    while number < 6 or len(seen) <= 20:
        descriptor = os.open(here / "a", os.O_WRONLY | os.O_TRUNC)
        body = new if number % 2 == 0 else old
        for at in range(0, len(body), 100_000):
            os.write(descriptor, body[at : at + 100_000])
            time.sleep(0.02)
        os.close(descriptor)
        number += 1
    done.set()
    poller.join()
    assert len(seen) > 20
    assert all(body in (old, new) for body in seen), f"somebody saw {sorted({len(b or b'') for b in seen})} bytes"
    assert set(bucket.versions(key)) == {len(old), len(new)}


def test_one_version_for_one_save(here, space, bucket):
    """Many writes between open and close are one PUT."""
    descriptor = os.open(here / "a", os.O_CREAT | os.O_WRONLY)
    for _ in range(100):
        os.write(descriptor, b"line\n")
    os.close(descriptor)
    assert bucket.versions(space.key(here / "a")) == [500]


def test_duplicated_descriptor(here, space, bucket):
    """Several `flush` calls for one file (dup): commit at the last writer's close, once."""
    first = os.open(here / "a", os.O_CREAT | os.O_WRONLY)
    second = os.dup(first)
    os.write(first, b"one ")
    os.close(first)
    os.write(second, b"two")
    os.close(second)
    assert bucket.get(space.key(here / "a")) == b"one two"
    eventually(lambda: bucket.versions(space.key(here / "a")) == [7], within=5)


def _use_inherited(descriptor):
    os.write(descriptor, b"child ")
    os.close(descriptor)


def test_forked_writer(here, space, bucket):
    """Several `flush` calls for one file (fork): commit at the last writer's close, once."""
    descriptor = os.open(here / "a", os.O_CREAT | os.O_WRONLY)
    Background(_use_inherited, descriptor).result()
    os.write(descriptor, b"parent")
    os.close(descriptor)
    assert bucket.get(space.key(here / "a")) == b"child parent"
    eventually(lambda: bucket.versions(space.key(here / "a")) == [12], within=5)


def test_shell_redirection(here, space, bucket):
    """Several `flush` calls for one file (shell redirection): commit at the last writer's close, once."""
    shell("{ /bin/echo one; /bin/echo two; (/bin/echo three); } > out", here)
    eventually(lambda: bucket.get(space.key(here / "out")) == b"one\ntwo\nthree\n")
    shell("echo four >> out", here)
    eventually(lambda: bucket.get(space.key(here / "out")) == b"one\ntwo\nthree\nfour\n")
    assert bucket.versions(space.key(here / "out")) == [14, 19]


def test_nothing_for_a_file_only_read(here, space, bucket, wire):
    """Opening for writing without a change, or closing without a write, sends nothing."""
    bucket.put(space.key(here / "a"), b"content")
    eventually(lambda: (here / "a").exists())
    mark = wire.mark()
    os.close(os.open(here / "a", os.O_RDWR))
    assert read_all(here / "a") == b"content"
    time.sleep(0.5)
    assert [r.method for r in wire.requests(mark) if r.method in ("PUT", "POST", "DELETE")] == []
    assert bucket.versions(space.key(here / "a")) == [7]


@pytest.mark.parametrize(
    "name, kind",
    [("a.jpg", "image/jpeg"), ("a.JPEG", "image/jpeg"), ("a.png", "image/png"), ("a.txt", "text/plain"), ("a.html", "text/html"),
     ("a.pdf", "application/pdf"), ("a.mp4", "video/mp4"), ("a.json", "application/json"), ("a.webp", "image/webp"), ("a.heic", "image/heic")],
)  # fmt: skip
def test_content_type_by_extension(here, space, bucket, name, kind):
    """A right `Content-Type`."""
    write_all(here / name, b"content")
    assert bucket.head(space.key(here / name))["ContentType"].split(";")[0] == kind


def test_content_type_without_extension(here, space, bucket):
    """A name that tells nothing has the type of plain bytes."""
    write_all(here / "a", b"content")
    assert bucket.head(space.key(here / "a"))["ContentType"] in ("application/octet-stream", "binary/octet-stream")


def test_what_the_app_set_survives(here, space, bucket):
    """Content-Type is kept when a file is rewritten; other metadata and headers survive a rewrite, a chmod and a rename."""
    said = dict(
        ContentType="image/x-own", CacheControl="max-age=77", ContentDisposition='inline; filename="x.jpg"',
        ContentLanguage="fr", Metadata={"album": "Summer", "face-count": "3"},
    )  # fmt: skip
    bucket.put(space.key(here / "a.jpg"), b"from the app", **said)
    eventually(lambda: (here / "a.jpg").exists())

    def holds(path):
        head = bucket.head(space.key(path))
        assert head is not None
        assert head["Metadata"].items() >= said["Metadata"].items()
        assert {name: head.get(name) for name in said if name != "Metadata"} == {n: v for n, v in said.items() if n != "Metadata"}
        return True

    write_all(here / "a.jpg", b" and more", flags=os.O_APPEND)
    assert bucket.get(space.key(here / "a.jpg")) == b"from the app and more"
    assert holds(here / "a.jpg")
    write_all(here / "a.jpg", b"all new", flags=os.O_TRUNC)
    assert bucket.get(space.key(here / "a.jpg")) == b"all new"
    assert holds(here / "a.jpg")
    os.chmod(here / "a.jpg", 0o640)
    eventually(lambda: bucket.head(space.key(here / "a.jpg"))["Metadata"].get("mode") == str(0o100640))
    assert holds(here / "a.jpg")
    os.rename(here / "a.jpg", here / "b.png")
    eventually(lambda: holds(here / "b.png"))


def test_save_by_rename_keeps_the_type_of_its_name(here, space, bucket):
    """A file written under a temporary name and renamed has the right `Content-Type` of its final name."""
    write_all(here / ".a.jpg.tmp~", b"picture")
    os.rename(here / ".a.jpg.tmp~", here / "a.jpg")
    eventually(lambda: (bucket.head(space.key(here / "a.jpg")) or {}).get("ContentType") == "image/jpeg")


def test_whole_copy_stays_on_the_server(here, space, bucket, wire):
    """copy_file_range of a whole clean file: a server-side copy, no bytes over the wire."""
    content = random.Random(10).randbytes(2 << 20)
    bucket.put(space.key(here / "from.jpg"), content, ContentType="image/jpeg")
    eventually(lambda: (here / "from.jpg").exists())
    mark = wire.mark()
    source, target = os.open(here / "from.jpg", os.O_RDONLY), os.open(here / "to.jpg", os.O_CREAT | os.O_WRONLY)
    while os.copy_file_range(source, target, 1 << 30):
        pass
    os.close(target)
    assert bucket.get(space.key(here / "to.jpg")) == content
    after = wire.requests(mark)
    assert [r for r in after if r.method == "PUT" and r.key == space.key(here / "to.jpg") and "x-amz-copy-source" in r.headers]
    assert not [r for r in after if r.method == "GET" and r.key == space.key(here / "from.jpg")]


def test_rename_is_a_copy_on_the_server(here, space, bucket, wire):
    """rename: the object follows as server-side copy + delete."""
    bucket.put(space.key(here / "a.jpg"), bytes(3 << 20))
    eventually(lambda: (here / "a.jpg").exists())
    mark = wire.mark()
    os.rename(here / "a.jpg", here / "b.jpg")
    assert bucket.head(space.key(here / "b.jpg"))["ContentLength"] == 3 << 20
    after = wire.requests(mark)
    assert [r.key for r in after if "x-amz-copy-source" in r.headers] == [space.key(here / "b.jpg")]
    assert not [r for r in after if r.method == "GET" and r.key]


def test_metadata_without_the_body(here, space, bucket, wire):
    """chmod, utimens: without sending the body again."""
    write_all(here / "a", random.Random(2).randbytes(1 << 20))
    assert bucket.head(space.key(here / "a"))["ContentLength"] == 1 << 20
    mark = wire.mark()
    os.chmod(here / "a", 0o640)
    eventually(lambda: bucket.head(space.key(here / "a"))["Metadata"]["mode"] == str(0o100640))
    sent = [int(r.headers.get("content-length", 0)) for r in wire.requests(mark) if r.method == "PUT"]
    assert sent and sum(sent) < 10_000


def test_a_directory_is_not_asked_for_entry_by_entry(here, space, bucket, wire):
    """Never a HEAD per entry: `ls -l` of a directory of objects is a listing."""
    for number in range(100):
        bucket.put(space.key(here / f"{number}"), b"x")
    eventually(lambda: len(os.listdir(here)) == 100)
    mark = wire.mark()
    shell("ls -l | wc -l", here)
    assert len([r for r in wire.requests(mark) if r.key]) < 10


def test_an_idle_mount_is_silent(space, wire):
    """An idle mount sends no requests."""

    def is_silent():
        mark = wire.mark()
        time.sleep(5)
        return wire.requests(mark) == []

    # What the tests before have begun may still go on.
    eventually(is_silent, within=5)


def test_uploads_carry_checksum_and_precondition(here, space, bucket, wire):
    """An upload is checked end to end; every overwrite, create and delete is conditional on the version this device saw."""
    mark = wire.mark()
    for content in (b"one", b"two"):
        write_all(here / "a", content)
        assert bucket.get(space.key(here / "a")) == content
    puts = [r for r in wire.requests(mark) if r.method == "PUT" and r.key == space.key(here / "a")]
    assert len(puts) == 2
    assert puts[0].headers.get("if-none-match") == "*" and "if-match" in puts[1].headers
    for put in puts:
        assert [name for name in put.headers if name.startswith("x-amz-checksum-")], put.headers


def test_nothing_outside_the_prefix(here, space, wire):
    """Nothing outside the prefix is ever requested, listed or probed. The bucket root is never listed or HEADed."""
    write_all(here / "a", bytes(20 << 20))
    os.rename(here / "a", here / "b")
    os.unlink(here / "b")
    shell("find . | wc -l; df . ; ls -la; stat .", space.path)
    asked = [r for r in wire.requests() if not r.target and not r.path.startswith("/_")]
    assert len(asked) > 20, "the wire saw no requests of this module"
    for request in asked:
        place = request.key if request.key is not None else request.query.get("prefix")
        assert place is not None and place.startswith(space.prefix), f"{request.method} {request.path} {request.query}"
        source = request.headers.get("x-amz-copy-source")
        assert source is None or re.sub("%([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), source).split("/", 2 if source.startswith("/") else 1)[-1].startswith(space.prefix)
        assert request.method != "HEAD" or request.key


@pytest.mark.within(90)
def test_large_file_in_parts(here, space, bucket, wire):
    """One PUT up to 16 MiB; above, multipart: the object is whole, and has one version."""
    source, mark = random.Random(12), wire.mark()
    content = source.randbytes(45 << 20)
    write_all(here / "large", content)
    assert bucket.get(space.key(here / "large")) == content
    assert bucket.versions(space.key(here / "large")) == [len(content)]
    parts = {r.query["partNumber"] for r in wire.requests(mark) if "partNumber" in r.query}
    assert len(parts) > 1
    descriptor = os.open(here / "large", os.O_RDWR)
    os.pwrite(descriptor, b"middle", 30 << 20)
    os.close(descriptor)
    changed = content[: 30 << 20] + b"middle" + content[(30 << 20) + 6 :]
    assert bucket.get(space.key(here / "large")) == changed
    assert read_all(here / "large") == changed
