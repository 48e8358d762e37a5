"""Where the programs are that measuring needs, and what a process has cost."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / ".build/bench"
"""Where scripts/setup --bench puts what it compiles."""


def program(name):
    """What was compiled here first, then what is beside this Python: the PyPI packages put their programs there."""
    found = shutil.which(name, path=os.pathsep.join([str(BUILT), os.path.dirname(sys.executable), os.environ["PATH"]]))
    if not found:
        raise SystemExit(f"bench: {name} is not installed; run scripts/setup --bench")
    return found


def free_ports(count):
    """Ports that nobody listens at, from BENCH_PORTS (as 47000-47999) if that is set."""
    first, last = (int(end) for end in os.environ.get("BENCH_PORTS", "0-0").split("-"))
    candidates, probes = iter(range(first, last + 1) if first else [0] * count), []
    while len(probes) < count:
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", next(candidates)))
        except OSError:
            probe.close()
            continue
        probes.append(probe)
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def cpu_seconds(process):
    """User and system time of a process so far, and of its children that have ended."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def peak_mib(process):
    """The most memory the process has had so far."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[1]) / 1024


def prepare():
    """Before anything is started: SIGTERM tidies up too, and as many files may be open as the machine lets us have.

    passthrough_ll keeps one open for each name.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    prefer("self")


def prefer(process):
    """Puts a process and those of its session above or below other work, as BENCH_NICE (-20 to 19) says."""
    if nice := os.environ.get("BENCH_NICE"):
        Path(f"/proc/{process}/autogroup").write_text(nice)


def daemon(command, **more):
    """Starts what stays while other things are measured. In a session of its own: Ctrl-C ends it not before its mount."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **more)
    prefer(process.pid)
    return process


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {os.uname().release.split('-')[0]}"
