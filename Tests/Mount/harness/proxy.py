"""A wire between mount and server that can be slow, silent or cut, and that notes each request.

Runs as a process of its own (`python -m harness.proxy LISTEN UPSTREAM LOG`) and takes orders, one a line:
`pass` (as it is), `hang` (connections stay, no byte moves), `refuse` (all cut, none accepted),
`rate BYTES` (all connections together, so many bytes a second each way; 0: full speed).
"""

import asyncio
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from . import places

_HEAD = re.compile(rb"(GET|PUT|POST|HEAD|DELETE) (\S+) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)\r\n")


class _Wire:
    def __init__(self, listen, upstream, log):
        self.listen, self.upstream, self.log = listen, upstream, open(log, "ab", buffering=0)
        self.moving, self.rate, self.server, self.ends = asyncio.Event(), 0, None, set()
        self.free_at = [0.0, 0.0]
        self.moving.set()

    async def open(self):
        if self.server is None:
            self.server = await asyncio.start_server(self._accept, "127.0.0.1", self.listen, limit=1 << 20)

    async def obey(self, order):
        verb, *rest = order.split()
        if verb == "pass":
            self.moving.set()
            await self.open()
        elif verb == "hang":
            self.moving.clear()
        elif verb == "rate":
            self.rate = int(rest[0])
        elif verb == "refuse":
            if self.server:
                self.server.close()
                self.server = None
            for writer in list(self.ends):
                raw = writer.get_extra_info("socket")
                if raw is not None and raw.fileno() >= 0:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                writer.transport.abort()
            self.moving.set()

    async def _accept(self, reader, writer):
        await self.moving.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.upstream, limit=1 << 20)
        except OSError:
            writer.transport.abort()
            return
        self.ends |= {writer, far_writer}
        await asyncio.gather(self._pump(reader, far_writer, True), self._pump(far_reader, writer, False))
        self.ends -= {writer, far_writer}

    async def _pump(self, reader, writer, noting):
        tail = b""
        try:
            while data := await reader.read(1 << 18 if not self.rate else max(4096, self.rate // 20)):
                await self.moving.wait()
                if noting:
                    tail = self._note(tail + data)
                writer.write(data)
                await writer.drain()
                if self.rate:
                    await self._pace(noting, len(data))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            try:
                writer.close()
            except RuntimeError:
                pass

    async def _pace(self, way, length):
        now = time.monotonic()
        self.free_at[way] = max(now, self.free_at[way]) + length / self.rate
        await asyncio.sleep(self.free_at[way] - now)

    def _note(self, data):
        end = 0
        for found in _HEAD.finditer(data):
            end = found.end()
            headers = b"\t".join(found[3].replace(b"\t", b" ").split(b"\r\n")[:-1])
            self.log.write(b"%.3f\t%s\t%s\t%s\n" % (time.time(), found[1], found[2], headers))
        return data[max(end, len(data) - 8192) :]


async def _serve(listen, upstream, log):
    wire = _Wire(listen, upstream, log)
    await wire.open()
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print("ready", flush=True)
    while order := await orders.readline():
        await wire.obey(order.decode())
        print("done", flush=True)


@dataclass(frozen=True)
class Request:
    time: float
    method: str
    path: str
    query: dict = field(hash=False)
    headers: dict = field(hash=False)

    @property
    def key(self):
        """The object key, None for a request to the bucket or to another service."""
        parts = unquote(self.path).split("/", 2)
        return parts[2] if len(parts) == 3 and parts[2] else None

    @property
    def target(self):
        """What a request to Cognito asks for, e.g. `GetCredentialsForIdentity`."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]


class Proxy:
    def __init__(self, upstream, folder):
        self.port, self.log = places.free_port(), Path(folder) / f"requests-{upstream}"
        self.log.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.proxy", str(self.port), str(upstream), str(self.log)],
            cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        assert self._process.stdout.readline() == "ready\n"

    def order(self, text):
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"

    def close(self):
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait(10)

    def mark(self):
        """A place in the log: `requests(since=mark)` gives what came after."""
        return self.log.stat().st_size

    def requests(self, since=0):
        with open(self.log, "rb") as file:
            file.seek(since)
            lines = file.read().decode("utf-8", "replace").splitlines()
        return [self._parse(line) for line in lines]

    @staticmethod
    def _parse(line):
        moment, method, target, *headers = line.split("\t")
        split = urlsplit(target)
        return Request(
            float(moment), method, split.path,
            {name: values[0] for name, values in parse_qs(split.query, keep_blank_values=True).items()},
            {name.strip().lower(): value.strip() for name, _, value in (header.partition(":") for header in headers)},
        )  # fmt: skip


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
