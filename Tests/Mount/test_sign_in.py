"""login, logout, whoami, config import."""

import errno
import json
import os

import pytest

from harness.child import eventually
from harness.syscalls import fails_with, read_all, write_all


def one_sentence(done):
    """What a person is told: on standard error, one line, and no trace of the inside."""
    lines = done.stderr.strip().splitlines()
    assert done.returncode != 0
    assert len(lines) == 1 and 10 < len(lines[0]) < 500, done.stderr
    assert "Error(" not in lines[0] and "Fatal" not in lines[0], lines[0]
    return lines[0]


def test_login_and_whoami(people):
    """`whoami`: user, identity id, space, how long the session and credentials last."""
    one = people()
    told = one.run("whoami", "--config", one.conf, check=True).stdout
    for fact in (one.account.name, one.account.identity_id, one.account.prefix):
        assert fact in told, told
    facts = json.loads(one.run("whoami", "--config", one.conf, "--json", check=True).stdout)
    text = json.dumps(facts)
    assert one.account.name in text and one.account.identity_id in text
    assert "eyJ" not in text and "SecretKey" not in text


def test_wrong_password(people):
    """A wrong password is refused in one sentence, and an unknown user with the same."""
    one = people(signed_in=False)
    wrong = one.login(password="Not-The-Password-1", check=False)
    assert "Not-The-Password-1" not in wrong.stderr
    one_sentence(wrong)
    unknown = one.run("login", "--config", one.conf, "--username", "nobody@example.com", "--password-stdin", input="Not-The-Password-1\n")
    assert one_sentence(unknown) == one_sentence(wrong) and unknown.returncode == wrong.returncode
    assert one.run("whoami", "--config", one.conf).returncode != 0


def test_not_signed_in(people):
    """Nobody signed in: whoami and mount say so and what to do."""
    one = people(signed_in=False)
    assert "login" in one_sentence(one.run("whoami", "--config", one.conf))
    (one.root / "m").mkdir()
    assert "login" in one_sentence(one.run("mount", one.root / "m", "--config", one.conf))


def test_logout(people):
    """`logout` revokes the refresh token and destroys the key, which makes the cache unreadable."""
    one = people()
    mounted = one.mount()
    write_all(mounted.path / "a", b"x" * 100_000)
    assert read_all(mounted.path / "a")
    mounted.unmount()
    kept = {p: p.read_bytes() for base in (one.state, one.root / "xdg-state") for p in base.rglob("*") if p.is_file()}
    one.run("logout", "--config", one.conf, check=True)
    assert one.run("whoami", "--config", one.conf).returncode != 0
    # Putting back the files from before does not bring the session back: the refresh token is revoked.
    for path, content in kept.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)
    (one.root / "m").mkdir()
    one_sentence(one.run("mount", one.root / "m", "--config", one.conf))
    one.run("logout", "--config", one.conf)
    one.login()
    again = one.mount()
    assert read_all(again.path / "a") == b"x" * 100_000


def test_logout_without_a_session(people):
    """logout twice is no accident."""
    one = people()
    one.run("logout", "--config", one.conf, check=True)
    again = one.run("logout", "--config", one.conf)
    assert "Fatal" not in again.stderr


def test_new_password_required(aws, people):
    """The challenge NEW_PASSWORD_REQUIRED: a first sign-in asks for a new password."""
    one = people(signed_in=False)
    aws.admin("cognito-idp").admin_set_user_password(UserPoolId=aws.pool, Username=one.account.name, Password="Temporary-Pass-123", Permanent=False)
    done = one.run(
        "login", "--config", one.conf, "--username", one.account.name, "--password-stdin",
        input="Temporary-Pass-123\nBrand-New-Pass-456\n",
    )  # fmt: skip
    if done.returncode:
        assert "new password" in one_sentence(done).lower()
    else:
        one.run("whoami", "--config", one.conf, check=True)


def test_config_import(aws, people, bucket):
    """`cognitofs config import FILE` writes a commented mount.conf from the app's own configuration, fit for login and mount."""
    one = people(signed_in=False)
    one.conf = one.root / "imported.conf"
    one.run("config", "import", aws.state / "amplify_outputs.json", "--output", one.conf, check=True)
    text = one.conf.read_text()
    assert any(line.startswith("#") for line in text.splitlines())
    for value in (aws.pool, aws.client, aws.identities, bucket.name):
        assert value in text
    folders = f'directory = "{one.cache}"\nstate_directory = "{one.state}"\n'
    one.conf.write_text(text.replace("[cache]\n", "[cache]\n" + folders) if "\n[cache]\n" in text else f"{text}\n[cache]\n{folders}")
    one.login()
    mounted = one.mount()
    write_all(mounted.path / "a", b"x")
    assert bucket.get(one.account.prefix + "a") == b"x"


def test_config_import_of_nothing(people):
    """A file that is not there is told, and nothing is written."""
    one = people(signed_in=False)
    one_sentence(one.run("config", "import", one.root / "nothing.json", "--output", one.root / "x.conf"))
    assert not (one.root / "x.conf").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"version": "1"}', "hello", ""])
def test_config_import_of_something_else(people, text):
    """A file that is no app's configuration is refused in one sentence."""
    one = people(signed_in=False)
    (one.root / "other.json").write_text(text)
    one_sentence(one.run("config", "import", one.root / "other.json", "--output", one.root / "x.conf"))


@pytest.mark.within(60)
def test_session_revoked_while_mounted(aws, people, bucket):
    """When sign-in is needed again what needs S3 fails with EKEYEXPIRED; `cognitofs login` revives the running mount."""
    one = people()
    bucket.put(one.account.prefix + "old", b"old")
    aws.settings(credential_seconds=4, token_seconds=4)
    try:
        mounted = one.mount(freshness=1)
        write_all(mounted.path / "before", b"before")
        aws.admin("cognito-idp").admin_user_global_sign_out(UserPoolId=aws.pool, Username=one.account.name)

        def refused():
            try:
                write_all(mounted.path / "during", b"during")
                os.unlink(mounted.path / "during")
            except OSError as error:
                return error.errno == errno.EKEYEXPIRED
            return False

        eventually(refused, within=25, every=0.5)
        with fails_with(errno.EKEYEXPIRED):
            read_all(mounted.path / "old")
        aws.settings(credential_seconds=0, token_seconds=0)
        one.login()
        eventually(lambda: timed_write(mounted.path / "after") and bucket.get(one.account.prefix + "after") == b"after", within=15)
        assert read_all(mounted.path / "old") == b"old"
    finally:
        aws.settings(credential_seconds=0, token_seconds=0)


def timed_write(path):
    try:
        write_all(path, b"after")
        return True
    except OSError:
        return False


def test_signed_in_as_somebody_else_while_mounted(people, bucket):
    """Signed in as somebody else: refused, nothing mixed."""
    anna, bert = people(), people(signed_in=False)
    mounted = anna.mount(freshness=1)
    write_all(mounted.path / "of anna", b"a")
    anna.run("login", "--config", anna.conf, "--username", bert.account.name, "--password-stdin", input=bert.account.password + "\n")
    try:
        write_all(mounted.path / "more of anna", b"a")
    except OSError:
        pass
    assert bucket.list(bert.account.prefix) == {}
    assert set(bucket.list(anna.account.prefix)) <= {anna.account.prefix + n for n in ("of anna", "more of anna")}
