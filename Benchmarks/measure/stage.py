"""What a workload works with: one system, mounted when asked, at one round trip; and what its measured part costs."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .s3 import Refused
from .server import READ
from .systems import Mount

PATIENCE = 150  # seconds for one step
QUIET = 2.5  # seconds after which nothing more is sent that belongs to a change


class Wrong(Exception):
    """Bytes or names that are not what they should be."""


FAILURES = (Wrong, Refused, OSError, RuntimeError, TimeoutError, subprocess.SubprocessError)
"""What a measurement may end with while the others go on."""


@dataclass
class Cost:
    """Of the measured part alone."""

    daemon_cpu: float = 0
    server_cpu: float = 0
    peak_mib: float = 0
    requests: dict = field(default_factory=dict)
    sent: int = 0
    received: int = 0
    """Bytes to and from the server, where a line carried them."""

    def changes(self):
        """Requests that change what is stored."""
        return sum(count for kind, count in self.requests.items() if kind not in ("GET", "HEAD", "LIST"))


def act(name, *arguments, **more):
    """What an action of measure.actions reports, run as a program of its own."""
    command = [sys.executable, "-m", "measure.actions", name, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **more)
    if done.returncode:
        raise OSError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def timed(*command):
    """Seconds until a program has ended."""
    began = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise OSError(done.stderr.strip().splitlines()[-1])
    return seconds


class Stage:
    def __init__(self, system, server, material, folder, line):
        """`line` is what is between the system and the server, or None."""
        self.system, self.server, self.material, self.sizes = system, server, material, material.sizes
        self._line = line
        self.round_trip_ms = line.round_trip_ms if line else 0
        port = line.port if line else server.port
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.client = server.client(port)
        """For `limit`: S3 at the end of the line. `server.s3` looks at the store without one."""
        self.mount = None if system.name == "limit" else Mount(system, f"http://127.0.0.1:{port}", self.folder)
        self.cost = Cost()
        self._used = []

    @contextmanager
    def mounted(self, prefix, cold=True):
        """Mounts, gives the directory, and unmounts."""
        if self.system.local and prefix == READ:
            self._lay_out()
        with self.mount.start(prefix, cold):
            yield self.mount.where

    def _lay_out(self):
        """The read-only files on the disk below a local system."""
        disk = self.folder / "disk" / READ
        if not disk.exists():
            kept = {name: part for name, part in self.material.stored().items() if not name.startswith("pictures/")}
            self.material.write(disk, kept)
        self.mount.cold_files = [disk / "large.bin", *(disk / "many").iterdir()]

    @contextmanager
    def metered(self):
        """What happens inside is what is measured; several parts add up."""
        requests, server = self._requests(), self.server.cpu_seconds()
        daemon = self.mount.cpu_seconds() if self.mount else 0
        sent, received = self._line.carried() if self._line else (0, 0)
        yield
        if self.mount:
            self.cost.daemon_cpu += self.mount.cpu_seconds() - daemon
            self.cost.peak_mib = max(self.cost.peak_mib, self.mount.peak_mib())
        self.cost.server_cpu += self.server.cpu_seconds() - server
        for kind, count in (self._requests() - requests).items():
            self.cost.requests[kind] = self.cost.requests.get(kind, 0) + count
        if self._line:
            now_sent, now_received = self._line.carried()
            self.cost.sent += now_sent - sent
            self.cost.received += now_received - received

    def _requests(self):
        """Without those of `server.s3`, which only looks."""
        return self.server.requests() - self.server.s3.asked

    def fresh(self, files=None):
        """A new prefix that holds these files, {name: slice}, and nothing else."""
        files = files or {}
        prefix = self.server.fresh_prefix()
        self._used.append(prefix)
        if self.system.local:
            folder = self.folder / "disk" / prefix
            folder.mkdir(parents=True)
            self.material.write(folder, files)
        elif files:
            self.material.upload(self.server.s3, prefix, files)
        return prefix

    def wait(self, began, condition):
        """Seconds from `began` until the store is as wanted; none where there is no store."""
        if self.system.local:
            return None
        limit, pause = time.perf_counter() + PATIENCE, 0.01
        while not condition():
            if time.perf_counter() > limit:
                raise TimeoutError("it never was on S3")
            time.sleep(pause)
            pause = min(pause * 1.2, 0.05)
        return time.perf_counter() - began

    def quiet(self):
        """Waits until nothing more is sent: what comes late counts too."""
        if not self.system.local:
            time.sleep(QUIET)

    def check(self, prefix, name, part):
        """That a written file holds exactly this slice, as the store has it."""
        if self.system.local:
            right = act("sha256", self.folder / "disk" / prefix / name)["sha256"] == self.material.sha256(part)
        else:
            size = self.server.s3.size(prefix + name)
            right = size == part.size and self.server.s3.sha256(prefix + name, size) == self.material.sha256(part)
        if not right:
            raise Wrong(f"{name} was written wrongly")

    def check_some(self, prefix, files):
        for name in sorted(files)[:: max(1, len(files) // 20)]:
            self.check(prefix, name, files[name])

    def tidy(self):
        """Removes what was written."""
        for prefix in self._used:
            if self.system.local:
                subprocess.run(["rm", "-rf", self.folder / "disk" / prefix], check=True)
            else:
                self.server.wipe(prefix)

    def scratch(self, name):
        """A place on the local disk where nothing is."""
        path = self.folder / name
        subprocess.run(["rm", "-rf", path], check=True)
        return path

    def best(self, counts, body):
        """The quickest of several numbers of connections: a limit knows what suits the server."""
        return min(body(count) for count in counts)


def given(**figures):
    """Figures without those that do not apply."""
    return {name: figure for name, figure in figures.items() if figure is not None}


def names_in(folder):
    return len(os.listdir(folder))
