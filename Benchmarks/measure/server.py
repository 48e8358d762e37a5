"""SeaweedFS with one user: the S3 that everything is measured against."""

import itertools
import json
import re
import signal
import subprocess
import time
import urllib.request
from collections import Counter
from pathlib import Path

from .line import Line
from .programs import cpu_seconds, daemon, free_ports, program
from .s3 import ACCESS, SECRET, Client, Refused, Request

READ = "read/"
PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port.grpc", "metricsPort")


class Server:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.port, *others = free_ports(1 + len(PORTS))
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._metrics = f"http://127.0.0.1:{others[-1]}/metrics"
        user = {"name": "bench", "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        (self.folder / "s3.json").write_text(json.dumps({"identities": [user]}))
        self._process = daemon(
            [program("weed"), "-logtostderr=true", "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
             f"-s3.port={self.port}", f"-s3.config={self.folder}/s3.json", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
             "-master.volumeSizeLimitMB=1024", "-volume.max=60", "-volume.minFreeSpace=2GiB", "-metricsIp=127.0.0.1",
             *(f"-{name}={port}" for name, port in zip(PORTS, others))],
            cwd=self.folder, stdout=open(self.folder / "log", "ab"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.s3 = self.client(self.port)
        self._numbers, self._lines = itertools.count(1), {}
        self._wait()

    def _wait(self):
        limit = time.monotonic() + 90
        while True:
            try:
                self.s3.send(Request("PUT", ""))
                self.s3.send(Request("PUT", "probe"), b"x")
                return
            except (OSError, Refused) as reason:
                self.s3 = self.client(self.port)
                if time.monotonic() > limit or self._process.poll() is not None:
                    self.stop()
                    raise SystemExit(f"bench: SeaweedFS did not start, see {self.folder}/log") from reason
                time.sleep(0.5)

    def client(self, port):
        return Client(port, program("replay"), self.folder)

    def line(self, round_trip_ms, megabits=0, wire=False):
        """A line of this kind to the S3 port; None where it would do nothing, unless `wire`: then it counts bytes."""
        if not (round_trip_ms or megabits or wire):
            return None
        kind = (round_trip_ms, megabits)
        if kind not in self._lines:
            self._lines[kind] = Line(self.folder, self.port, *kind)
        return self._lines[kind]

    def fresh_prefix(self):
        """A place to write to that never was before: SeaweedFS still tidies up where something was just deleted."""
        prefix = f"write{next(self._numbers)}/"
        self.s3.send(Request("PUT", prefix))
        return prefix

    def requests(self):
        """{kind: how many S3 requests it has answered}, as the server counts them; a HEAD counts as GET."""
        time.sleep(0.05)  # a request is counted a moment after it was answered
        counts = Counter()
        text = urllib.request.urlopen(self._metrics, timeout=10).read().decode()
        for kind, count in re.findall(r'^SeaweedFS_s3_request_total\{.*type="(\w+)"\} (\S+)$', text, re.MULTILINE):
            counts[kind] += int(float(count))
        return counts

    def cpu_seconds(self):
        return cpu_seconds(self._process.pid)

    def wipe(self, prefix):
        self.s3.delete(self.s3.keys(prefix))

    def stop(self):
        for line in self._lines.values():
            line.stop()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
