"""Nobody but the signed-in user reads the files: not on S3, not in the cache on disk, not in a log."""

import errno
import os
import stat

import pytest
from botocore.exceptions import ClientError

from harness.child import eventually
from harness.person import shell
from harness.syscalls import fails_with, read_all, write_all

SECRET = b"A-PICTURE-NOBODY-ELSE-MAY-SEE-" + b"0123456789abcdef" * 4
NAME = "a-name-nobody-else-may-see.jpg"


def refused(call, *arguments, **more):
    with pytest.raises(ClientError) as answer:
        call(*arguments, **more)
    assert answer.value.response["Error"]["Code"] in ("AccessDenied", "403")


def test_two_users_on_one_machine(people, aws, bucket):
    """One user's mount and credentials can't list, read or write another's space."""
    anna, bert = people(), people()
    of_anna, of_bert = anna.mount(), bert.mount()
    write_all(of_anna.path / NAME, SECRET)
    write_all(of_bert.path / "own.jpg", b"b")
    assert os.listdir(of_anna.path) == [NAME] and os.listdir(of_bert.path) == ["own.jpg"]
    credentials = aws.phone(bert.account)
    key = anna.account.prefix + NAME
    assert credentials.get(bert.account.prefix + "own.jpg") == b"b"
    for prefix in (anna.account.prefix, "private/", ""):
        refused(credentials.list, prefix)
    refused(credentials.get, key)
    refused(credentials.put, key, b"overwritten")
    refused(credentials.delete, key)
    refused(credentials.s3.copy_object, Bucket=bucket.name, Key=bert.account.prefix + "stolen", CopySource={"Bucket": bucket.name, "Key": key})
    assert bucket.get(key) == SECRET


def test_a_mount_of_somebody_elses_space(people, bucket):
    """One user's mount can't list, read or write another's space, whatever the configuration says."""
    anna, bert = people(), people()
    bucket.put(anna.account.prefix + NAME, SECRET)
    bert.write_conf(app__prefix=anna.account.prefix)
    try:
        mounted = bert.mount()
    except AssertionError as ended:
        assert "not mounted after" not in str(ended), "mounting neither worked nor failed"
        assert SECRET.decode() not in str(ended)
        return
    with fails_with(errno.EACCES):
        os.listdir(mounted.path)
    with fails_with(errno.EACCES, errno.ENOENT):
        os.open(mounted.path / NAME, os.O_RDONLY)
    with fails_with(errno.EACCES):
        write_all(mounted.path / "new", b"x")
    assert bucket.list(anna.account.prefix) == {anna.account.prefix + NAME: len(SECRET)}


def test_names_that_lead_out_of_the_space(people, bucket):
    """Nothing outside the prefix is ever requested: `..` and links do not lead there."""
    anna = people()
    mounted = anna.mount()
    outside = os.path.dirname(anna.account.prefix.rstrip("/")) + "/outside"
    bucket.put(outside, b"not in the space")
    assert os.stat(mounted.path / "..").st_dev != os.stat(mounted.path).st_dev
    os.symlink("../outside", mounted.path / "link")
    with fails_with(errno.ENOENT):
        os.stat(mounted.path / "link")


def test_cache_of_another_user(people, bucket):
    """The cache of one is unreadable to the other, also when both are given the same folder."""
    anna, bert = people(), people()
    key = bert.account.prefix + NAME
    bucket.put(anna.account.prefix + NAME, SECRET * 10_000)
    bucket.put(key, b"x" * len(SECRET * 10_000))
    of_anna = anna.mount()
    assert read_all(of_anna.path / NAME) == SECRET * 10_000
    of_anna.unmount()
    bert.write_conf(cache__directory=str(anna.cache))
    of_bert = bert.mount()
    assert read_all(of_bert.path / NAME) == b"x" * len(SECRET * 10_000)
    assert os.listdir(of_bert.path) == [NAME]


def tree_of(person):
    return [p for base in (person.state, person.cache, person.runtime, person.root / "xdg-state", person.root / "xdg-cache", person.root / "home") for p in base.rglob("*")]


def test_modes_of_what_is_kept(people):
    """The session file and the cache are sealed and 0600/0700."""
    anna = people()
    old = os.umask(0)
    mounted = anna.mount()
    os.umask(old)
    write_all(mounted.path / NAME, SECRET)
    assert read_all(mounted.path / NAME) == SECRET
    kept = tree_of(anna)
    assert any(p.is_file() for p in kept)
    for path in [anna.state, anna.cache, *kept]:
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode):
            assert stat.S_IMODE(found.st_mode) == 0o700, path
        elif not stat.S_ISLNK(found.st_mode):
            assert stat.S_IMODE(found.st_mode) & 0o177 == 0, path
        assert found.st_uid == anna.uid


def test_nothing_in_plain_on_disk(aws, people, bucket):
    """Plaintext of a picture or its name is not found anywhere in the cache and state folders."""
    anna = people()
    token = aws.tokens(anna.account.name, anna.account.password)["IdToken"].split(".")[0].encode()
    assert len(token) > 15
    bucket.put(anna.account.prefix + "read-" + NAME, SECRET * 40_000)
    mounted = anna.mount()
    os.mkdir(mounted.path / ("folder-" + NAME))
    write_all(mounted.path / ("folder-" + NAME) / ("written-" + NAME), SECRET * 1000)
    eventually(lambda: (mounted.path / ("read-" + NAME)).exists())
    assert read_all(mounted.path / ("read-" + NAME)) == SECRET * 40_000
    writing = os.open(mounted.path / ("open-" + NAME), os.O_CREAT | os.O_WRONLY)
    os.write(writing, SECRET * 40_000)

    def search():
        sizes = 0
        for path in tree_of(anna) + [anna.root / f"mount{anna.count}.log"]:
            assert NAME[:-4] not in str(path.relative_to(anna.root)), f"a name is shown by {path}"
            if path.is_file():
                content = path.read_bytes()
                sizes += len(content)
                assert SECRET[:20] not in content, f"a picture is in {path}"
                assert NAME.encode()[:-4] not in content or path.suffix == ".log", f"a name is in {path}"
                assert anna.account.password.encode() not in content, f"the password is in {path}"
                assert b"eyJhbGciOi" not in content and token not in content, f"a token is in {path}"
        return sizes

    assert search() > 2_000_000, "the cache holds nothing: the search has met nothing"
    mounted.kill()
    search()
    mounted.detach()
    anna.mount().unmount()
    search()


def words_of_a_session(aws, person):
    """What a session holds and the test knows too. All are long: sealed bytes, which look random, hold short ones by chance."""
    account = person.account
    token = aws.tokens(account.name, account.password)["IdToken"]
    words = [account.name, account.password, account.identity_id, aws.pool, aws.client, token.split(".")[0]]
    assert min(map(len, words)) > 15
    return [word.encode() for word in [*words, "idToken", "accessToken", "refreshToken", "secretAccessKey", "identityID"]]


def test_session_is_sealed(aws, people):
    """A changed byte of the session is noticed; it never signs anybody in as somebody else."""
    anna = people()
    sealed = [p for p in anna.state.rglob("*") if p.is_file() and p.stat().st_size > 100]
    before = {p: p.read_bytes() for p in sealed}
    assert any(len(content) > 1000 for content in before.values()), "no session with its tokens is kept"
    words = words_of_a_session(aws, anna)
    for path, content in before.items():
        assert [word for word in words if word in content] == [], f"{path} shows what it holds"
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    answer = anna.run("whoami", "--config", anna.conf)
    assert answer.returncode != 0
    assert answer.stderr.strip() and "Fatal error" not in answer.stderr
    for path, content in before.items():
        path.write_bytes(content)
    assert anna.run("whoami", "--config", anna.conf).returncode == 0


def test_session_readable_by_others_is_refused(people):
    """Wrong owner, wider mode: a clear refusal."""
    anna = people()
    for path in [p for p in anna.state.rglob("*") if p.is_file()]:
        path.chmod(0o644)
    answer = anna.run("whoami", "--config", anna.conf)
    assert answer.returncode != 0 and answer.stderr.strip()


def test_other_users_of_the_machine(people, ordinary):
    """Another user of the machine reads neither mount nor folders."""
    anna = people()
    mounted = anna.mount()
    write_all(mounted.path / NAME, SECRET)
    for path in (mounted.path, anna.state, anna.cache):
        done = shell(f"ls -la '{path}'", "/", check=False, user=ordinary[0], group=ordinary[1], extra_groups=[])
        assert done.returncode != 0 and NAME not in done.stdout
