"""What writers on a mount were told is safe, noted outside it, and what must be there after a crash.

Each writer works below a folder of its own. Before a step it notes what the step will do, and after the step returned
that it has. After a crash the last step may have happened or not; all before it have.
"""

import errno
import hashlib
import json
import os
import random
import stat
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from .syscalls import read_all

GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENOTDIR, errno.ENOENT)
"""What a step may fail with when the daemon has died under it, and its mount point may have been taken away."""

EMPTY = hashlib.sha256(b"").hexdigest()

MADE_WITH = 0o600
"""The mode of the files that are made here, for every usual umask."""


def differences(seen, wanted):
    """What is there, and what should be, both as `Tree.state`, in words."""
    (files, folders, modes), (of_files, of_folders, of_modes) = seen, wanted
    both = sorted(set(files) & set(of_files))
    return (
        f"missing {sorted(set(of_files) - set(files))}, too many {sorted(set(files) - set(of_files))}, "
        f"other bytes {[p for p in both if files[p] != of_files[p]]}, "
        f"folders missing {sorted(of_folders - folders)}, too many {sorted(folders - of_folders)}, "
        f"other modes {[f'{p} {modes[p]:o}, not {of_modes[p]:o}' for p in both if modes[p] != of_modes[p]]}"
    )


@dataclass
class Ended:
    """How the work of one who works until the daemon is gone came to its end."""

    steps: int
    error: int
    """The errno."""
    at: float
    """time.monotonic() when it came: the clock of the whole machine."""

    def check(self, died):
        """A daemon that lived, at `died` it was killed, has no right to such an error."""
        assert self.at >= died, f"{errno.errorcode[self.error]} from a daemon that lived, {died - self.at:.3f} s before its death"


def reason(told):
    """The errno that a program names in the first line of its complaint, `cp: error writing 'x': No space left on device`."""
    line = told.split("\n", 1)[0]
    for number in errno.errorcode:
        if line.endswith(": " + os.strerror(number)):
            return number
    raise AssertionError(f"a program failed without saying why: {told!r}")


def digest(body):
    return hashlib.sha256(body).hexdigest()


@dataclass
class Tree:
    """Files (bytes) and folders below a writer's folder, by relative path, and the modes of the files."""

    files: dict = field(default_factory=dict)
    folders: set = field(default_factory=set)
    modes: dict = field(default_factory=dict, compare=False)

    @classmethod
    def read(cls, root):
        found = cls()
        for folder, below, names in os.walk(root):
            inside = os.path.relpath(folder, root)
            at = "" if inside == "." else inside + "/"
            found.folders |= {at + name for name in below}
            found.files |= {at + name: read_all(os.path.join(folder, name)) for name in names}
        found.look(root)
        return found

    def look(self, root):
        self.modes = {path: stat.S_IMODE(os.lstat(os.path.join(root, path)).st_mode) for path in self.files}

    def is_one_of(self, states, root, within=5.0):
        """A file's mode, which no listing tells, is known a moment after S3 was asked for what is kept beside the bytes."""
        if self.state() in states:
            return True
        if self.state()[:2] not in [state[:2] for state in states]:
            return False
        for path in self.files:
            os.listxattr(os.path.join(root, path))
        limit = time.monotonic() + within
        while self.state() not in states and time.monotonic() < limit:
            time.sleep(0.05)
            self.look(root)
        return self.state() in states

    def hashes(self):
        return {path: digest(body) for path, body in self.files.items()}

    def state(self):
        return self.hashes(), set(self.folders), dict(self.modes)


def applied(step, files, folders, modes):
    """What (files by hash, folders, modes of the files) become by a noted step."""
    files, folders, modes = dict(files), set(folders), dict(modes)
    verb, path = step["do"], step["path"]
    if verb == "put":
        files[path] = step["sha"]
        modes.setdefault(path, MADE_WITH)
    elif verb == "chmod":
        modes[path] = step["mode"]
    elif verb == "mkdir":
        folders.add(path)
    elif verb == "unlink":
        files.pop(path)
        modes.pop(path)
    elif verb == "rmdir":
        folders.remove(path)
    elif verb == "rename":
        files[step["to"]] = files.pop(path)
        modes[step["to"]] = modes.pop(path)
    elif verb == "move":
        to, below = step["to"], path + "/"

        def moved(p):
            return to + "/" + p[len(below) :] if p.startswith(below) else to if p == path else p

        files, modes = ({moved(p): value for p, value in of.items()} for of in (files, modes))
        folders = {moved(p) for p in folders}
    return files, folders, modes


def expected(ledger, before):
    """The states, as `Tree.state`, of which one must be there: what was told, and that with the step under way."""
    state, open_step = before.state(), None
    for line in Path(ledger).read_text().splitlines():
        if line == "ok":
            state, open_step = applied(open_step, *state), None
        else:
            open_step = json.loads(line)
    states = [state]
    if open_step:
        states.append(applied(open_step, *state))
        if open_step["do"] == "put" and open_step["path"] not in state[0]:
            states.append(applied(open_step | {"sha": EMPTY}, *state))
    return states


class Writer:
    """Works below `root` until the daemon is gone, as programs do: copies, saves, appends, moves, removes."""

    def __init__(self, root, ledger, tree, seed, largest=120_000, most=14, synced=False):
        self.root, self.tree, self.random, self.synced = Path(root), tree, random.Random(seed), synced
        self.largest, self.most = largest, most
        self.ledger, self.source = Path(ledger), Path(f"{ledger}.source")
        self.ledger.write_bytes(b"")

    def run(self):
        done, self.notes = 0, os.open(self.ledger, os.O_WRONLY | os.O_APPEND)
        try:
            while True:
                self.step()
                done += 1
        except OSError as error:
            at = time.monotonic()
            if error.errno not in GONE:
                raise
            return Ended(done, error.errno, at)
        finally:
            os.close(self.notes)

    def note(self, **step):
        os.write(self.notes, json.dumps(step).encode() + b"\n")

    def noted(self, action, **step):
        self.note(**step)
        action()
        os.write(self.notes, b"ok\n")

    def step(self):
        pick = self.random.choice
        steps = [self.copy, self.copy, self.save, self.save, self.append, self.patch, self.remove, self.move_file, self.move_folder, self.make_folder]
        steps += [self.remove_folder, self.change_mode]
        if len(self.tree.files) > self.most:
            steps += [self.remove] * 8
        pick(steps)()

    def body(self):
        return self.random.randbytes(int(self.largest ** self.random.random()))

    def new_path(self):
        folder = self.random.choice(["", *sorted(self.tree.folders)])
        return (folder + "/" if folder else "") + f"f{self.random.randrange(1000)}.jpg"

    def some_file(self):
        return self.random.choice(sorted(self.tree.files)) if self.tree.files else None

    def put(self, path, body, flags):
        def write():
            descriptor = os.open(self.root / path, os.O_WRONLY | flags, MADE_WITH)
            try:
                view = memoryview(body)
                while view:
                    view = view[os.write(descriptor, view[: 1 << 16]) :]
                if self.synced:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

        whole = self.tree.files.get(path, b"") + body if flags & os.O_APPEND else body
        self.noted(write, do="put", path=path, sha=digest(whole))
        self.tree.files[path] = whole

    def copy(self):
        path, body = self.new_path(), self.body()
        if self.synced or path in self.tree.folders:
            return self.put(path, body, os.O_CREAT | os.O_TRUNC)
        self.source.write_bytes(body)
        self.source.chmod(MADE_WITH)
        self.noted(lambda: self._cp(path), do="put", path=path, sha=digest(body))
        self.tree.files[path] = body

    def _cp(self, path):
        done = subprocess.run(["cp", self.source, self.root / path], capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"})
        if done.returncode:
            raise OSError(reason(done.stderr), done.stderr)

    def save(self):
        """As an editor: a temporary file, then its rename over the file."""
        path = self.some_file() or self.new_path()
        temporary = path + ".tmp"
        self.put(temporary, self.body(), os.O_CREAT | os.O_TRUNC)
        self.rename(temporary, path)

    def append(self):
        if path := self.some_file():
            self.put(path, self.body()[:5000], os.O_APPEND)

    def patch(self):
        """Changes bytes in the middle: the rest is the former version's."""
        path = self.some_file()
        if not path or len(self.tree.files[path]) < 2:
            return
        body = self.tree.files[path]
        at = self.random.randrange(len(body))
        piece = self.random.randbytes(min(3000, len(body) - at))
        whole = body[:at] + piece + body[at + len(piece) :]

        def write():
            descriptor = os.open(self.root / path, os.O_WRONLY)
            try:
                os.pwrite(descriptor, piece, at)
                if self.synced:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

        self.noted(write, do="put", path=path, sha=digest(whole))
        self.tree.files[path] = whole

    def rename(self, path, to):
        self.noted(lambda: self._rename(path, to), do="rename", path=path, to=to)
        self.tree.files[to] = self.tree.files.pop(path)

    def _rename(self, path, to):
        os.rename(self.root / path, self.root / to)
        if self.synced:
            self.sync_folder(os.path.dirname(self.root / to))

    @staticmethod
    def sync_folder(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self):
        if path := self.some_file():
            self.noted(lambda: os.unlink(self.root / path), do="unlink", path=path)
            del self.tree.files[path]

    def move_file(self):
        if path := self.some_file():
            to = self.new_path()
            if to != path:
                self.rename(path, to)

    def make_folder(self):
        if len(self.tree.folders) >= 5:
            return
        path = f"d{self.random.randrange(1000)}"
        if path not in self.tree.folders:
            self.noted(lambda: os.mkdir(self.root / path), do="mkdir", path=path)
            self.tree.folders.add(path)

    def remove_folder(self):
        empty = [folder for folder in sorted(self.tree.folders) if not any(p.startswith(folder + "/") for p in self.tree.files)]
        if empty:
            path = self.random.choice(empty)
            self.noted(lambda: os.rmdir(self.root / path), do="rmdir", path=path)
            self.tree.folders.remove(path)

    def change_mode(self):
        if path := self.some_file():
            mode = self.random.choice([0o600, 0o640, 0o644, 0o755])
            self.noted(lambda: os.chmod(self.root / path, mode), do="chmod", path=path, mode=mode)

    def move_folder(self):
        if not self.tree.folders:
            return
        path, to = self.random.choice(sorted(self.tree.folders)), f"d{self.random.randrange(1000)}"
        if to in self.tree.folders:
            return
        self.noted(lambda: os.rename(self.root / path, self.root / to), do="move", path=path, to=to)
        below = path + "/"
        moved = {p: to + "/" + p[len(below) :] for p in self.tree.files if p.startswith(below)}
        for old, new in moved.items():
            self.tree.files[new] = self.tree.files.pop(old)
        self.tree.folders = {to if p == path else p for p in self.tree.folders}
