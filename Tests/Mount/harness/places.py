"""Where things are: the checkout, the program under test, ports and folders of a run."""

import itertools
import os
import shutil
import socket
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
MARKER = "COGNITOFS_TEST_ROOT"
"""Environment variable of every process that a test starts: the folder of the test it belongs to."""


def binary():
    """The program under test. That there is none is an error, never a reason to skip."""
    named = os.environ.get("COGNITOFS_BINARY")
    candidates = [Path(named)] if named else [CHECKOUT / "dist/cognitofs", CHECKOUT / ".build/release/cognitofs"]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate.resolve()
    raise FileNotFoundError(f"no cognitofs to test: build it, or set COGNITOFS_BINARY (looked at {candidates})")


_given = os.environ.get("COGNITOFS_TEST_PORTS", "")
_range = itertools.count(int(_given.split("-")[0])) if _given else None


def free_port():
    """A port of 127.0.0.1 that nobody listens on, inside COGNITOFS_TEST_PORTS (`first-last`) if that is set."""
    if _range is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]
    for port in _range:
        if port > int(_given.split("-")[1]):
            raise OSError(f"no free port in {_given}")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


made = []
"""The folders of this run."""


def folder(uid=0, gid=0):
    """A new private folder with a short name: a control socket's path may not exceed 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="cfs."))
    os.chown(path, uid, gid)
    made.append(path)
    return path


def remove(path):
    """Removes a folder of a test, but never through a file system that is still mounted in it."""
    from .sweep import mounts_below

    assert not mounts_below(path), f"still mounted below {path}"
    shutil.rmtree(path, ignore_errors=True)
