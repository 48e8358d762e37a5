"""login, logout, whoami, config import."""

import errno
import json
import os
import pty
import select
import time

import pytest

from harness.aws import SHORT
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


def test_logout(aws, people):
    """`logout` revokes the refresh token: a copy of the session that somebody kept is worth nothing once its tokens have ended."""
    one = people(signed_in=False)
    aws.settings(credential_seconds=SHORT, token_seconds=SHORT)
    try:
        one.login()
        mounted = one.mount()
        write_all(mounted.path / "a", b"x" * 100_000)
        mounted.unmount()
        # The session and its key, not what is known of the space: that would be shown, as to anybody who has both.
        kept = {p: p.read_bytes() for p in one.state.rglob("*") if p.is_file() and "journal" not in p.parts}
        one.run("logout", "--config", one.conf, check=True)
        assert one.run("whoami", "--config", one.conf).returncode != 0
        for path, content in kept.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o600)
        time.sleep(SHORT + 1)
        (one.root / "m").mkdir()
        one_sentence(one.run("mount", one.root / "m", "--config", one.conf))
    finally:
        aws.settings(credential_seconds=0, token_seconds=0)


def test_logout_destroys_the_key(people):
    """`logout` destroys the key, which makes the cache unreadable: after it the cache is as good as empty, and nothing else is lost."""
    one = people()
    mounted = one.mount()
    write_all(mounted.path / "a", b"x" * 100_000)
    mounted.unmount()
    before = {p.read_bytes() for p in one.state.rglob("*") if p.is_file() and p.stat().st_size >= 16}
    one.run("logout", "--config", one.conf, check=True)
    after = {p.read_bytes() for p in one.state.rglob("*") if p.is_file()}
    assert before - after, "nothing was destroyed"
    one.login()
    assert read_all(one.mount().path / "a") == b"x" * 100_000


def test_logout_without_a_session(people):
    """logout twice is no accident."""
    one = people()
    one.run("logout", "--config", one.conf, check=True)
    again = one.run("logout", "--config", one.conf)
    assert "Fatal" not in again.stderr


def at_a_terminal(person, arguments, answers):
    """Runs the program at a terminal and answers each question by the first word of `answers` that it contains."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(person.binary, [str(person.binary), *map(str, arguments)], person.environment)
    shown, asked, limit = b"", 0, time.monotonic() + 20
    while time.monotonic() < limit:
        if not select.select([terminal], [], [], 0.2)[0]:
            question = shown[asked:].decode(errors="replace").lower()
            if question.rstrip().endswith(":"):
                answer = next(answer for word, answer in answers if word in question)
                asked = len(shown)
                os.write(terminal, answer.encode() + b"\r")
            continue
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode(errors="replace")


def test_login_at_a_terminal(people):
    """`login` asks on the terminal without echo."""
    one = people(signed_in=False)
    questions = [("password", one.account.password), ("", one.account.name)]
    code, shown = at_a_terminal(one, ["login", "--config", one.conf], questions)
    assert code == 0, shown
    assert one.account.password not in shown
    one.run("whoami", "--config", one.conf, check=True)


def test_new_password_required(aws, people):
    """The challenge NEW_PASSWORD_REQUIRED: a first sign-in asks for a new password, without echo."""
    one = people(signed_in=False)
    aws.admin("cognito-idp").admin_set_user_password(UserPoolId=aws.pool, Username=one.account.name, Password="Temporary-Pass-123", Permanent=False)
    one_sentence(one.login(password="Temporary-Pass-123", check=False))
    login = ["login", "--config", one.conf, "--username", one.account.name]
    code, shown = at_a_terminal(one, login, [("new", "Brand-New-Pass-456"), ("again", "Brand-New-Pass-456"), ("password", "Temporary-Pass-123")])
    assert code == 0, shown
    assert "Brand-New-Pass-456" not in shown and "Temporary-Pass-123" not in shown
    one.run("logout", "--config", one.conf, check=True)
    one.login(password="Brand-New-Pass-456")


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
    one.run("sync", mounted.path, check=True)
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
    one = people(signed_in=False, mount__durability="remote")
    bucket.put(one.account.prefix + "old", b"old")
    aws.settings(credential_seconds=SHORT, token_seconds=SHORT)
    try:
        one.login()
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


@pytest.mark.within(60)
def test_somebody_else_while_changes_wait(people, wire, bucket):
    """With changes in the queue of a running mount, signing in as somebody else is refused until S3 has them; nothing is mixed."""
    one = people(wire=wire)
    anna, bert = one.account, one.aws.account()
    mounted = one.mount(durability="local", freshness=1)
    wire.order("refuse")
    try:
        write_all(mounted.path / "of anna", b"a")
        one.account = bert
        refused = one.login(check=False)
        assert refused.returncode == 77 and anna.name in one_sentence(refused) and str(mounted.path) in refused.stderr
        write_all(mounted.path / "more of anna", b"a")
    finally:
        wire.order("pass")
    assert json.loads(one.run("whoami", "--json", "--config", one.conf, check=True).stdout)["identityID"] == anna.identity_id
    one.run("sync", mounted.path, check=True)
    one.login()
    assert bucket.list(bert.prefix) == {}
    assert set(bucket.list(anna.prefix)) == {anna.prefix + name for name in ("of anna", "more of anna")}


@pytest.mark.within(90)
def test_signed_in_as_somebody_else_while_mounted(aws, people, bucket):
    """Another user's session is not used by a running mount: what needs S3 fails with EKEYEXPIRED until its own user is back."""
    one = people(signed_in=False, mount__durability="remote")
    anna, bert = one.account, aws.account()
    aws.settings(credential_seconds=SHORT, token_seconds=SHORT)
    try:
        one.login()
        mounted = one.mount(freshness=1)
        write_all(mounted.path / "of anna", b"a")
        one.account = bert
        one.login()

        def expired():
            try:
                write_all(mounted.path / "more of anna", b"a")
            except OSError as error:
                assert error.errno == errno.EKEYEXPIRED, error
                return True
            return False

        eventually(expired, within=25, every=0.5)
        told = one.run("sync", mounted.path)
        assert told.returncode == 77 and "cognitofs login" in told.stderr
    finally:
        aws.settings(credential_seconds=0, token_seconds=0)
    assert bucket.as_it_is.list(bert.prefix) == {}
    one.account = anna
    one.login()
    one.run("sync", mounted.path, check=True)
    assert bucket.list(bert.prefix) == {}
    assert set(bucket.list(anna.prefix)) == {anna.prefix + name for name in ("of anna", "more of anna")}
