"""A person at a machine: an account, a home of their own, the program, and mounts."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from . import child, places, sweep


def toml(sections):
    """A mount.conf from {section: {key: value}}."""

    def value(v):
        return json.dumps(v, ensure_ascii=False) if isinstance(v, str) else str(v).lower() if isinstance(v, bool) else repr(v)

    lines = []
    for section, keys in sections.items():
        lines += [f"[{section}]"] + [f"{key} = {value(v)}" for key, v in keys.items()] + [""]
    return "\n".join(lines)


class Person:
    """Who runs the program. Everything it may write lies below `root`, and everything it starts bears its mark."""

    made = []
    """All of this run."""

    def __init__(self, aws, account, root, uid=0, gid=0, wire=None, **settings):
        self.made.append(self)
        self.aws, self.account, self.uid, self.gid, self.wire = aws, account, uid, gid, wire
        self.root = root
        self.state, self.cache, self.runtime = self.root / "state", self.root / "cache", self.root / "run"
        self.conf = self.root / "mount.conf"
        for directory in (self.root / "home", self.runtime):
            directory.mkdir(mode=0o700, exist_ok=True)
            os.chown(directory, uid, gid)
        # The checkout may lie where only root may look.
        self.binary = places.binary() if not uid else shutil.copy(places.binary(), self.root / "cognitofs")
        if aws is not None:
            self.write_conf(**settings)
        self.count = 0

    @classmethod
    def sync_all(cls):
        """Has everything that is mounted, by whatever program, brought to S3, as far as that goes."""
        for person in cls.made:
            for entry in sweep.mounts_below(person.root):
                if entry[1] == "fuse.cognitofs":
                    person.run("sync", entry[0], "--state-dir", person.state)

    @property
    def privileges(self):
        """Popen's arguments that make a process this person's."""
        if not self.uid or os.geteuid() == self.uid:
            return {}
        return dict(user=self.uid, group=self.gid, extra_groups=[])

    def become(self):
        if self.uid:
            os.setgroups([])
            os.setresgid(self.gid, self.gid, self.gid)
            os.setresuid(self.uid, self.uid, self.uid)

    @property
    def environment(self):
        base = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "AWS_", "COGNITOFS_", "DBUS_"))}
        return base | {
            "HOME": str(self.root / "home"),
            "XDG_CONFIG_HOME": str(self.root / "home/.config"),
            "XDG_DATA_HOME": str(self.root / "home/.local/share"),
            "XDG_STATE_HOME": str(self.root / "xdg-state"),
            "XDG_CACHE_HOME": str(self.root / "xdg-cache"),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "COGNITOFS_RUN_DIR": str(self.runtime / "cognitofs"),
            places.MARKER: str(self.root.parent),
            "LC_ALL": "C.UTF-8",
        }

    def write_conf(self, **settings):
        """The app's configuration as the local AWS wrote it, with folders of this person and `section__key` changes."""
        sections = {name: dict(keys) for name, keys in self.aws.conf.items()}
        if self.wire:
            for name, endpoint in sections["app"].items():
                if isinstance(endpoint, str):
                    sections["app"][name] = re.sub(rf"(127\.0\.0\.1|localhost):{self.aws.port}", f"127.0.0.1:{self.wire.port}", endpoint)
        sections.setdefault("cache", {}).update(directory=str(self.cache), state_directory=str(self.state))
        # Most tests look at S3 as soon as a call has returned.
        sections.setdefault("mount", {}).setdefault("durability", places.DURABILITY)
        for name, value in settings.items():
            section, key = name.split("__")
            sections.setdefault(section, {})[key] = value
        self.conf.write_text(toml(sections))
        os.chown(self.conf, self.uid, self.gid)

    def run(self, *arguments, input=None, within=30, check=False, environment=None, **more):
        """The program with these arguments, as this person, bounded in time."""
        done = bounded(
            [self.binary, *arguments], input=input, within=within,
            environment=environment or self.environment, **self.privileges, **more,
        )  # fmt: skip
        if check:
            succeeded(done, f"cognitofs {' '.join(map(str, arguments))}")
        return done

    def login(self, password=None, check=True):
        return self.run(
            "login", "--config", self.conf, "--username", self.account.name, "--password-stdin",
            input=(password or self.account.password) + "\n", check=check,
        )  # fmt: skip

    def mount(self, where=None, within=30, **options):
        """A new daemon in the foreground, its log in a file; returns when the directory answers."""
        self.count += 1
        where = Path(where or self.root / f"m{self.count}")
        command = [self.binary, "mount", where, "--config", self.conf, "--foreground"]
        for name, value in options.items():
            command += ["-o", f"{name}={str(value).lower() if isinstance(value, bool) else value}"]
        return self.start(command, where, within)

    def start(self, command, where, within=30, environment=None, prefix=None):
        # Asked of the folder above: a dead mount point, or another user's, does not answer.
        if where.name not in os.listdir(where.parent):
            where.mkdir()
            os.chown(where, self.uid, self.gid)
        log = self.root / f"mount{self.count}.log"
        with open(log, "ab") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
                env=environment or self.environment, **self.privileges,
            )  # fmt: skip
        mounted = Mounted(self, where, process, log, prefix or (self.account and self.account.prefix))
        mounted.wait_ready(within)
        return mounted


class People:
    """Makes persons, and sees to it that nothing of them stays, also of those whom a test's child has made.

    Everything of them lies below one folder and bears its mark, so it is found without anybody having kept a list.
    """

    def __init__(self, aws):
        self._aws = aws
        self.root = places.folder()
        self.root.chmod(0o711)

    def __call__(self, account=None, signed_in=True, uid=0, gid=0, **more):
        account = account or (self._aws and self._aws.account())
        root = Path(tempfile.mkdtemp(prefix="", dir=self.root))
        os.chown(root, uid, gid)
        person = Person(self._aws, account, root, uid=uid, gid=gid, **more)
        if signed_in and self._aws:
            person.login()
        return person

    def logs(self):
        """The ends of the daemons' logs, for the report of a failed test."""
        return {str(p.relative_to(self.root)): p.read_text(errors="replace")[-6000:] for p in sorted(self.root.glob("*/*.log"))}

    def leave(self):
        """Ends everything that these persons have running and removes the folder."""
        for entry in reversed(sweep.mounts_below(self.root)):
            try:
                bounded(["umount", entry[0]], within=10)
            except AssertionError:
                pass  # what does not end by itself is swept away
        sweep.sweep(self.root)
        places.remove(self.root)


class Mounted:
    """One mount and its daemon."""

    def __init__(self, person, path, process, log, prefix):
        self.person, self.path, self.process, self.log, self.prefix = person, path, process, log, prefix

    def key(self, path):
        """The object key of a path on this mount."""
        return self.prefix + os.path.relpath(path, self.path)

    def wait_ready(self, within):
        """Until the directory answers; a dead mount may have been there before, which answers ENOTCONN until it is removed."""
        limit = time.monotonic() + within
        while not ((seen := sweep.mounts_at(self.path)) and self.answers(limit) and sweep.mounts_at(self.path) == seen):
            if self.process.poll() is not None:
                raise AssertionError(f"mount ended with {self.process.returncode}:\n{self.log.read_text(errors='replace')}")
            if time.monotonic() > limit:
                self.process.kill()
                raise AssertionError(f"not mounted after {within} s:\n{self.log.read_text(errors='replace')}")
            time.sleep(0.02)

    def answers(self, limit):
        """True if the daemon itself does: statfs is in no cache."""
        try:
            child.call(os.statvfs, self.path, within=max(1.0, limit - time.monotonic()), before=self.person.become)
        except child.Hung:
            raise
        except child.Failed:
            return False
        return True

    def unmount(self, within=60):
        """`cognitofs umount`, and the daemon is gone after it."""
        done = self.person.run("umount", self.path, within=within)
        succeeded(done, f"cognitofs umount {self.path}")
        assert not sweep.is_mounted(self.path)
        self.wait_end(10)

    def wait_end(self, within):
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon still runs {within} s after the unmount") from None

    def kill(self):
        """What a crash or the kernel's memory killer does. The dead mount point stays."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def detach(self):
        """Takes a dead mount point away."""
        subprocess.run(["umount", "-l", self.path], check=True, timeout=20)


def succeeded(done, command):
    """Complains of an exit code in few lines, of which the first tells most: where a log is cut, that is still seen."""
    if done.returncode:
        told = (done.stderr.strip() or done.stdout.strip()).splitlines()[-5:]
        first = f"exit {done.returncode}: {told[-1] if told else '(nothing was said)'}"
        raise AssertionError("\n".join([first, f"of {command}", *told[:-1]]))


def bounded(command, input=None, within=30, environment=None, cwd=None, **more):
    """A command with a deadline, in a session of its own so that all of it can be ended."""
    process = subprocess.Popen(
        [os.fspath(part) for part in command], stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=not isinstance(input, bytes), env=environment, cwd=cwd,
        start_new_session=True, errors=None if isinstance(input, bytes) else "replace", **more,
    )  # fmt: skip
    try:
        out, err = process.communicate(input, timeout=within)
    except subprocess.TimeoutExpired:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            out, err = process.communicate(timeout=3)
        except subprocess.TimeoutExpired:
            out = err = "(no output)"
        raise AssertionError(f"{command[0]} ... was not done after {within} s\n{out}\n{err}") from None
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def shell(script, cwd, within=60, check=True, environment=None, **more):
    """A shell script somewhere; it must succeed unless told otherwise."""
    done = bounded(["bash", "-euo", "pipefail", "-c", script], within=within, cwd=cwd, environment=environment, **more)
    if check:
        succeeded(done, script)
    return done
