"""Names: what a directory shows, what is refused, what is hidden."""

import errno
import os
import unicodedata

import pytest

from harness.child import eventually
from harness.syscalls import fails_with, read_all, write_all


def test_absent_name(here):
    """lookup, stat: ENOENT."""
    with fails_with(errno.ENOENT):
        os.stat(here / "nothing")
    with fails_with(errno.ENOENT):
        os.open(here / "no" / "way", os.O_RDONLY)


def test_file_is_not_a_directory(here):
    """ENOTDIR below a file, EISDIR for writing to a directory."""
    write_all(here / "file", b"x")
    with fails_with(errno.ENOTDIR):
        os.stat(here / "file" / "below")
    with fails_with(errno.ENOTDIR):
        os.scandir(here / "file")
    with fails_with(errno.EISDIR):
        os.open(here, os.O_WRONLY)


def test_component_over_255_bytes(here):
    """ENAMETOOLONG (component over 255 bytes)."""
    write_all(here / ("n" * 255), b"fits")
    assert read_all(here / ("n" * 255)) == b"fits"
    for name in ("n" * 256, "é" * 128):
        with fails_with(errno.ENAMETOOLONG):
            os.open(here / name, os.O_CREAT | os.O_WRONLY)
        with fails_with(errno.ENAMETOOLONG):
            os.stat(here / name)
        with fails_with(errno.ENAMETOOLONG):
            os.mkdir(here / name)


def test_key_over_1024_bytes(here, space):
    """ENAMETOOLONG (key over 1024 with the prefix)."""
    deep = here
    while len(space.key(deep).encode()) + 1 + 200 + 100 < 1024:
        deep = deep / ("d" * 200)
        os.mkdir(deep)
    room = 1024 - len(space.key(deep).encode()) - 1
    longest = deep / ("f" * min(room, 255))
    while len(space.key(longest).encode()) < 1024:
        os.mkdir(deep / "e")
        deep = deep / "e"
        longest = deep / ("f" * min(1024 - len(space.key(deep).encode()) - 1, 255))
    write_all(longest, b"just fits")
    assert space.person.aws.bucket.get(space.key(longest)) == b"just fits"
    with fails_with(errno.ENAMETOOLONG):
        write_all(str(longest)[:-1] + "ff", b"")
    with fails_with(errno.ENAMETOOLONG):
        os.rename(longest, str(longest)[:-1] + "ff")


def test_name_that_is_not_utf8(here):
    """EILSEQ for a name that is not UTF-8."""
    for name in (b"latin-\xe9", b"\xff", b"cut-\xe2\x82", b"\xed\xa0\x80", b"\xc0\xaf"):
        path = os.fsencode(here) + b"/" + name
        with fails_with(errno.EILSEQ):
            os.open(path, os.O_CREAT | os.O_WRONLY)
        with fails_with(errno.EILSEQ):
            os.mkdir(path)
        with fails_with(errno.EILSEQ):
            os.stat(path)


@pytest.mark.parametrize(
    "name", ["a b", "a+b", "50%", "%41", "%2F", "a&b=c", "?", "#1", "ü", "日本", "🏖️", "'", '"', "<x>", "\\", "\t", "~", "*", "soap", "-", " "]
)
def test_name_survives(here, space, bucket, name):
    """One file is one plain object, key = prefix + path."""
    write_all(here / name, name.encode())
    assert bucket.get(space.key(here / name)) == name.encode()
    assert os.listdir(here) == [name]
    bucket.put(space.key(here / (name + ".from-app")), b"app")
    eventually(lambda: name + ".from-app" in os.listdir(here))
    assert read_all(here / (name + ".from-app")) == b"app"
    os.rename(here / name, here / (name + "2"))
    assert bucket.get(space.key(here / (name + "2"))) == name.encode()


def test_both_spellings_of_unicode(here, space, bucket):
    """A name is bytes: NFC and NFD are two files."""
    names = {unicodedata.normalize(form, "Café élan"): form.encode() for form in ("NFC", "NFD")}
    for name, content in names.items():
        write_all(here / name, content)
    assert sorted(os.listdir(here)) == sorted(names)
    for name, content in names.items():
        assert read_all(here / name) == content
        assert bucket.get(space.key(here / name)) == content


def test_keys_that_cannot_be_names_are_hidden(here, space, bucket):
    """Keys that cannot be names are hidden: an empty component, `.` or `..`, a component over 255 bytes."""
    base = space.key(here) + "/"
    hidden = ["a//b", "x/./y", "x/../y", "long/" + "n" * 256, "/lead"]
    for tail in hidden + ["a/seen", "x/seen", "long/seen", "top"]:
        bucket.put(base + tail, tail.encode())
    eventually(lambda: sorted(os.listdir(here)) == ["a", "long", "top", "x"])
    for folder in ("a", "x", "long"):
        assert os.listdir(here / folder) == ["seen"]
    # Hidden objects are never touched.
    for path in ("a/seen", "x/seen", "long/seen", "top"):
        os.unlink(here / path)
    left = bucket.list(base)
    assert {base + tail for tail in hidden} <= set(left)


def test_object_beside_a_directory_of_its_name(here, space, bucket):
    """An object `a` beside keys under `a/`: the directory has the name."""
    base = space.key(here)
    bucket.put(f"{base}/both", b"the object")
    bucket.put(f"{base}/both/below", b"below")
    eventually(lambda: os.listdir(here) == ["both"])
    assert os.path.isdir(here / "both")
    assert read_all(here / "both/below") == b"below"
    os.unlink(here / "both/below")
    assert bucket.get(f"{base}/both") == b"the object"


def test_directory_without_marker(here, space, bucket):
    """A directory exists when a key lies below it, or a marker object `path/` exists."""
    base = space.key(here)
    bucket.put(f"{base}/implied/deep/file", b"1")
    bucket.put(f"{base}/marked/", b"")
    eventually(lambda: sorted(os.listdir(here)) == ["implied", "marked"])
    assert os.path.isdir(here / "implied/deep") and os.path.isdir(here / "marked")
    assert os.listdir(here / "marked") == []
    assert os.listdir(here / "implied") == ["deep"]


def test_names_that_sort_between(here, space, bucket):
    """The keys `key-1`, `key.x`, `key 1` sort between `key` and `key/`: none hides another."""
    base = space.key(here)
    tails = ["key-1", "key.x", "key 1", "key!/in", "key/in", "key0"]
    for tail in tails:
        bucket.put(f"{base}/{tail}", tail.encode())
    eventually(lambda: sorted(os.listdir(here)) == sorted({t.split("/")[0] for t in tails}))
    for tail in tails:
        assert read_all(here / tail) == tail.encode()


@pytest.mark.within(60)
def test_long_directory_is_complete(here, space, bucket):
    """readdir: complete, each name once (more than one page of a listing)."""
    base = space.key(here)
    names = [f"{number:04}-{'pad' * 10}" for number in range(1203)]
    for name in names:
        bucket.put(f"{base}/{name}", b"x")
    eventually(lambda: len(os.listdir(here)) >= len(names))
    assert sorted(os.listdir(here)) == names
    assert [os.stat(here / name).st_size for name in names] == [1] * len(names)


@pytest.mark.within(60)
def test_stream_is_stable_while_the_directory_changes(here, space, bucket):
    """readdir: each name once, stable while one stream is read, whatever happens to the directory meanwhile."""
    base = space.key(here)
    names = [f"{number:03}-{'pad' * 60}" for number in range(400)]
    for name in names:
        bucket.put(f"{base}/{name}", b"x")
    eventually(lambda: len(os.listdir(here)) == len(names))
    gone, moved = set(names[::7]), set(names[3::11]) - set(names[::7])
    with os.scandir(here) as stream:
        seen = [next(stream).name for _ in range(20)]
        for name in gone:
            os.unlink(here / name)
        for name in moved:
            os.rename(here / name, here / ("renamed-" + name))
        for number in range(20):
            write_all(here / f"new-{number}", b"")
        seen += [entry.name for entry in stream]
    assert len(seen) == len(set(seen)), "a name came twice"
    assert set(names) - gone - moved <= set(seen), "a name that was there all the time was missed"
    after = set(os.listdir(here))
    assert after == (set(names) - gone - moved) | {"renamed-" + n for n in moved} | {f"new-{n}" for n in range(20)}


def test_dot_entries_and_types(here):
    """Entries bear their type, and `.` and `..` are there as on ext4."""
    os.mkdir(here / "folder")
    write_all(here / "file", b"")
    os.symlink("file", here / "link")
    kinds = {e.name: (e.is_dir(follow_symlinks=False), e.is_file(follow_symlinks=False), e.is_symlink()) for e in os.scandir(here)}
    assert kinds == {"folder": (True, False, False), "file": (False, True, False), "link": (False, False, True)}
    assert os.stat(here / ".").st_ino == os.stat(here).st_ino
    assert os.stat(here / "folder" / "..").st_ino == os.stat(here).st_ino
