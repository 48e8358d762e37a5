"""Where things are: the checkout, the program under test, ports and folders of a run."""

import os
import random
import shutil
import socket
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
MARKER = "COGNITOFS_TEST_ROOT"
"""Environment variable of every process that a test starts: the folder of the test it belongs to."""

DURABILITY = os.environ.get("COGNITOFS_TEST_DURABILITY", "remote")
"""Of the mounts of a run. With "local", who looks at S3 waits for `cognitofs sync` first."""


def binary():
    """The program under test. That there is none is an error, never a reason to skip."""
    named = os.environ.get("COGNITOFS_BINARY")
    candidates = [Path(named)] if named else [CHECKOUT / "dist/cognitofs", CHECKOUT / ".build/release/cognitofs"]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate.resolve()
    raise FileNotFoundError(f"no cognitofs to test: build it, or set COGNITOFS_BINARY (looked at {candidates})")


_claims = []
"""Held until the run ends; a child that is executed does not inherit them."""


def free_port():
    """A port of 127.0.0.1 that nobody listens on, and that no other run of these tests is given while this one lasts.

    Inside COGNITOFS_TEST_PORTS (`first-last`) if that is set, else below those that the kernel gives to connections: one
    of these may be taken again before the server that it is for listens.
    """
    given = os.environ.get("COGNITOFS_TEST_PORTS")
    first, last = map(int, given.split("-")) if given else (12000, 32000)
    count = last - first + 1
    start = random.randrange(count)
    for port in (first + (start + step) % count for step in range(count)):
        claim, probe = socket.socket(socket.AF_UNIX), socket.socket()
        with probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                claim.bind(f"\0cognitofs-test-port-{port}")
                probe.bind(("127.0.0.1", port))
            except OSError:
                claim.close()
                continue
        _claims.append(claim)
        return port
    raise OSError(f"no free port from {first} to {last}")


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
