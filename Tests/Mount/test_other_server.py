"""A mount by access keys on another S3 server (SeaweedFS), and a very large file."""

import hashlib
import os
import random

import pytest

from harness import places
from harness.child import eventually
from harness.person import People, shell
from harness.pictures import album
from harness.seaweed import ACCESS, SECRET, SeaweedFS
from harness.syscalls import read_all, write_all


@pytest.fixture(scope="module")
def seaweed():
    folder = places.folder()
    server = SeaweedFS(folder)
    server.start()
    yield server
    server.stop()
    places.remove(folder)


@pytest.fixture
def keyholder(binary):
    """Somebody with access keys and no account."""
    made = People(None)
    yield made()
    made.leave()


def test_access_keys_from_the_environment(seaweed, keyholder):
    """For servers and other S3 stores: `cognitofs mount s3://BUCKET/PREFIX DIR --credentials environment`."""
    mounted = seaweed.mount(keyholder, prefix="keys/")
    seaweed.bucket.put("keys/by other.jpg", b"other", ContentType="image/jpeg")
    eventually(lambda: os.listdir(mounted.path) == ["by other.jpg"], within=10)
    write_all(mounted.path / "own é.txt", b"own")
    assert seaweed.bucket.get("keys/own é.txt") == b"own"
    assert seaweed.bucket.head("keys/own é.txt")["ContentType"].startswith("text/plain")
    assert read_all(mounted.path / "by other.jpg") == b"other"
    os.mkdir(mounted.path / "folder")
    os.rename(mounted.path / "own é.txt", mounted.path / "folder" / "moved.txt")
    assert seaweed.bucket.get("keys/folder/moved.txt") == b"own"
    os.chmod(mounted.path / "folder" / "moved.txt", 0o640)
    eventually(lambda: seaweed.bucket.head("keys/folder/moved.txt")["Metadata"].get("mode") == str(0o100640))
    os.unlink(mounted.path / "folder" / "moved.txt")
    os.rmdir(mounted.path / "folder")
    assert seaweed.bucket.get("keys/folder/moved.txt") is None
    mounted.unmount()


@pytest.mark.within(90)
def test_tree_on_another_server(seaweed, keyholder):
    """cp -r in, diff -r equal after remount with an empty cache, on another server."""
    source = keyholder.root / "source"
    for picture in album(200, seed=5):
        (source / picture.path).parent.mkdir(parents=True, exist_ok=True)
        (source / picture.path).write_bytes(picture.content)
    mounted = seaweed.mount(keyholder, prefix="tree/")
    shell(f"cp -r source/. {mounted.path}/", keyholder.root)
    mounted.unmount()
    shell(f"rm -rf {keyholder.cache}", keyholder.root)
    again = seaweed.mount(keyholder, prefix="tree/")
    shell(f"diff -r source {again.path}", keyholder.root)


@pytest.mark.within(240)
def test_two_gibibytes(seaweed, keyholder):
    """A 2 GiB file: written, read back after remount with an empty cache, equal by SHA-256."""
    pieces, piece = 128, 16 << 20
    pattern = random.Random(1).randbytes(piece)
    written = hashlib.sha256()
    mounted = seaweed.mount(keyholder, prefix="large/")
    descriptor = os.open(mounted.path / "large.bin", os.O_CREAT | os.O_WRONLY)
    for number in range(pieces):
        body = b"%016d" % number + pattern[16:]
        written.update(body)
        view = memoryview(body)
        while view:
            view = view[os.write(descriptor, view[: 1 << 20]) :]
    os.close(descriptor)
    assert seaweed.bucket.head("large/large.bin")["ContentLength"] == 2 << 30
    mounted.unmount()
    shell(f"rm -rf {keyholder.cache}", keyholder.root)
    again = seaweed.mount(keyholder, prefix="large/", cache_size=512 << 20)
    read = hashlib.sha256()
    with open(again.path / "large.bin", "rb", buffering=0) as file:
        while part := file.read(4 << 20):
            read.update(part)
        assert os.pread(file.fileno(), 16, (2 << 30) - piece) == b"%016d" % (pieces - 1)
    assert read.hexdigest() == written.hexdigest()


def test_statfs_shows_the_quota(seaweed, keyholder):
    """statfs: `quota` setting."""
    mounted = seaweed.mount(keyholder, prefix="quota/", quota=5 << 30)
    found = os.statvfs(mounted.path)
    assert found.f_frsize * found.f_blocks == 5 << 30


def refused(seaweed, person, source, **environment):
    """The sentence with which a mount of `source` ends."""
    where = person.root / "m"
    where.mkdir(exist_ok=True)
    done = person.run(
        "mount", source, where, "--endpoint", seaweed.endpoint, "--region", "us-east-1", "--credentials", "environment",
        "--cache-dir", person.cache, "--state-dir", person.state,
        environment=person.environment | {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET} | environment,
    )  # fmt: skip
    lines = done.stderr.strip().splitlines()
    assert done.returncode != 0 and len(lines) == 1, done.stderr
    return lines[0]


def test_wrong_keys_are_told(seaweed, keyholder):
    """Mounting returns with one sentence that says what is wrong."""
    sentence = refused(seaweed, keyholder, "s3://space/x/", AWS_ACCESS_KEY_ID="wrongwrong", AWS_SECRET_ACCESS_KEY="wrongwrongwrong")
    assert "wrongwrongwrong" not in sentence


def test_wrong_bucket_is_told(seaweed, keyholder):
    """A bucket that is not there is named."""
    assert "no-such-bucket-here" in refused(seaweed, keyholder, "s3://no-such-bucket-here/x/")


def test_missing_keys_are_told(seaweed, keyholder):
    """Without keys in the environment the variables are named."""
    assert "AWS_ACCESS_KEY_ID" in refused(seaweed, keyholder, "s3://space/x/", AWS_ACCESS_KEY_ID="")
