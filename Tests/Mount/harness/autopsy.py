"""What a daemon was at when it was killed, seen from outside: it stands still while it is looked at, and never goes on."""

import contextlib
import os
import signal
import sqlite3
from pathlib import Path

from . import sweep


def freeze(process):
    """Stops a child of this process, all threads of it. False if it has ended."""
    process.send_signal(signal.SIGSTOP)
    seen = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    return seen.si_code == os.CLD_STOPPED


def open_files(process):
    """The paths that a process has open."""
    found, folder = set(), f"/proc/{process.pid}/fd"
    try:
        for number in os.listdir(folder):
            try:
                found.add(os.readlink(f"{folder}/{number}"))
            except FileNotFoundError:
                pass
    except OSError:
        pass
    return found


def staged(state):
    """The logs of changed files that lie in a state directory."""
    return {str(path) for path in Path(state).glob("**/staged/*.log")}


def has_journal(process):
    return any(path.endswith("/rows.log") for path in open_files(process))


def stage(process, state, where):
    """How far the start of a daemon that stands still has come.

    It keeps each changed file's log open from when it has read it. So with the journal open and not each of the logs, it is
    in the middle of the replay, as long as nothing can have been sent.
    """
    if sweep.is_mounted(where):
        return "mounted"
    if not has_journal(process):
        return "before the journal"
    return "in the replay" if staged(state) - open_files(process) else "after the replay"


def cached(cache):
    """The files of the block cache, one for each version, by their names in its index."""
    return {f"{top.name}{name}" for top in Path(cache).glob("*/g-*/??") for _, _, names in os.walk(top) for name in names}


def rows_without_files(cache):
    """(name, incarnation) of what an eviction had removed when it was cut off, and not yet told the index."""
    rows = set()
    for index in Path(cache).glob("*/g-*/index.sqlite"):
        try:
            with contextlib.closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as database:
                rows |= set(database.execute("SELECT hex(name), incarnation FROM files"))
        except sqlite3.Error:
            continue  # a new generation, which has no table yet
    there = cached(cache)
    return {(name, incarnation) for name, incarnation in rows if name.lower() not in there}
