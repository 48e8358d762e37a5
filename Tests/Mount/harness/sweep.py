"""Finds and removes from outside what a test has left: mounts and processes."""

import os
import signal
import subprocess
import time
from pathlib import Path

from .places import MARKER


def mount_table():
    """(mount point, type, source, options) of every mount this process sees."""
    table = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        front, back = line.split(" - ", 1)
        fields, kind = front.split(" "), back.split(" ")
        point = fields[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
        table.append((point, kind[0], kind[1], fields[5] + "," + kind[2], fields[2]))
    return table


def mounts_below(root):
    root = str(root).rstrip("/")
    return [entry for entry in mount_table() if entry[0] == root or entry[0].startswith(root + "/")]


def mounts_at(point):
    return [entry for entry in mount_table() if entry[0] == str(point)]


def is_mounted(point):
    return bool(mounts_at(point))


def processes_of(root):
    """Processes that a test with this folder has started, by the mark in their environment."""
    mark = f"{MARKER}={root}".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                # To read the environment of a process that hangs in an exec hangs too: only this run's own are asked.
                if _started(name) < _BEGAN:
                    continue
                if mark in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                    found.append(int(name))
            except OSError:
                pass
    return found


_BEGAN = time.clock_gettime(time.CLOCK_BOOTTIME)


def _started(number):
    """When a process began, seconds since the machine did."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


def abort(entry):
    """Ends a FUSE connection whose daemon does not answer; everybody who waits gets an error."""
    minor = entry[4].split(":")[1]
    try:
        Path(f"/sys/fs/fuse/connections/{minor}/abort").write_text("1")
    except OSError:
        pass


def sweep(root, patience=5.0):
    """Unmounts everything below `root` and ends every process marked with it. Returns what had to be forced."""
    forced = []
    for entry in reversed(mounts_below(root)):
        if entry[1].startswith("fuse"):
            abort(entry)
        subprocess.run(["umount", "-l", entry[0]], capture_output=True, timeout=20)
        forced.append(entry[0])
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = processes_of(root)
        for pid in left:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        limit = time.monotonic() + patience
        while left and time.monotonic() < limit:
            for pid in left:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
            left = processes_of(root)
            time.sleep(0.05)
        if left:
            forced += left
    return forced
