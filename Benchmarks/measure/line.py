"""A line to the server that is as slow as asked for, and counts what it carries: Benchmarks/programs/line.c."""

import socket
import struct
import time
from pathlib import Path

from .programs import daemon, free_ports, program


class Line:
    def __init__(self, folder, target, round_trip_ms, megabits=0):
        (self.port,) = free_ports(1)
        self.round_trip_ms = round_trip_ms
        self._counts = Path(folder) / f"line-{self.port}"
        self._process = daemon(
            [program("line"), "--listen", str(self.port), "--to", str(target), "--counts", self._counts,
             "--round-trip", str(round_trip_ms), "--megabits", str(megabits)],
        )  # fmt: skip
        self._wait()

    def _wait(self):
        limit = time.monotonic() + 10
        while time.monotonic() < limit:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise SystemExit("bench: the line to the server did not start")

    def carried(self):
        """Bytes to the server, and bytes from it, so far."""
        return struct.unpack_from("2Q", self._counts.read_bytes())

    def stop(self):
        self._process.terminate()
        self._process.wait(10)
