"""A tree of a thousand photographs, in and out, and the same tree put by the app."""

import concurrent.futures
import os
import stat
from decimal import Decimal

import pytest

from harness.child import eventually
from harness.person import shell
from harness.pictures import album

COUNT = 1000


@pytest.fixture(scope="module")
def photographs():
    return album(COUNT)


def lay_out(photographs, folder):
    """The pictures as files with times and modes of their own."""
    for number, picture in enumerate(photographs):
        path = folder / picture.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.content)
        os.chmod(path, 0o640 if number % 4 == 0 else 0o600)
        os.utime(path, ns=(10**18, 1_400_000_000_000_000_000 + number * 1_000_000_007))
    return folder


def test_pictures_are_pictures(photographs):
    """The generated photographs are what they say: the test stands on real JPEG and PNG bytes."""
    assert len(photographs) >= COUNT
    assert {p.content[:3] for p in photographs} == {b"\xff\xd8\xff", b"\x89PN"}
    assert all(p.content[-2:] == b"\xff\xd9" or p.content[-8:-4] == b"IEND" for p in photographs)
    assert min(len(p.content) for p in photographs) < 3_000 and max(len(p.content) for p in photographs) > 290_000
    names = "".join(p.path for p in photographs)
    assert all(mark in names for mark in (" ", "+", "%", "🏖️", "\u00e9", "e\u0301"))


@pytest.mark.within(150)
def test_copied_in_and_read_after_remount(people, bucket, photographs):
    """cp -r in, diff -r equal after remount with an empty cache; each object has its bytes, key, Content-Type and metadata."""
    one = people()
    source = lay_out(photographs, one.root / "source")
    first = one.mount()
    shell(f"cp -r source/. {first.path}/", one.root, within=120)
    facts = {picture.path: os.stat(first.path / picture.path) for picture in photographs}
    first.unmount()

    listed = bucket.list(one.account.prefix)
    assert set(listed) == {one.account.prefix + p.path for p in photographs}

    def check(picture):
        answer = bucket.s3.get_object(Bucket=bucket.name, Key=one.account.prefix + picture.path)
        assert answer["Body"].read() == picture.content
        assert answer["ContentType"] == picture.content_type
        found, kept = facts[picture.path], answer["Metadata"]
        assert int(kept["mode"]) == found.st_mode and stat.S_ISREG(int(kept["mode"]))
        assert (int(kept["uid"]), int(kept["gid"])) == (found.st_uid, found.st_gid)
        assert Decimal(kept["mtime"]) * 10**9 == found.st_mtime_ns

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(check, photographs))

    again = people(account=one.account).mount()
    shell(f"diff -r {source} {again.path}", one.root, within=120)
    assert shell("find . -type f | wc -l", again.path).stdout.strip() == str(len(photographs))


@pytest.mark.within(120)
def test_put_by_the_app_and_read_here(people, aws, bucket, photographs):
    """Objects put as an Amplify app would: read on the mount, byte for byte."""
    one = people()
    app, some = aws.phone(one.account), photographs[: COUNT // 2]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda p: app.put(one.account.prefix + p.path, p.content, ContentType=p.content_type), some))
    source = lay_out(some, one.root / "source")
    mounted = one.mount()
    shell(f"diff -r {source} {mounted.path}", one.root, within=90)
    shell(f"cp -r {mounted.path} {one.root}/out && diff -r {source} {one.root}/out", one.root, within=60)
    assert set(bucket.list(one.account.prefix)) == {one.account.prefix + p.path for p in some}, "reading changed the bucket"


def test_the_app_sees_what_is_saved_here(people, aws):
    """What the mount shows is what the app shows, and the other way round."""
    one = people()
    app, mounted = aws.phone(one.account), one.mount(freshness=1)
    (mounted.path / "from here.jpg").write_bytes(b"here")
    assert app.get(one.account.prefix + "from here.jpg") == b"here"
    app.put(one.account.prefix + "from phone.jpg", b"phone", ContentType="image/jpeg")
    eventually(lambda: sorted(os.listdir(mounted.path)) == ["from here.jpg", "from phone.jpg"], within=5)
    app.delete(one.account.prefix + "from here.jpg")
    eventually(lambda: os.listdir(mounted.path) == ["from phone.jpg"], within=5)
