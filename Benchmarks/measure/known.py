"""What a space costs that is known already: `scripts/bench known [--objects N]`.

Stores so many small objects, walks them once on the mount, and takes the server away. Then, from the disk alone: how long a
mount takes until the directory answers, how long the names take, how long a rename of a directory of 10,000 takes to return,
and how much memory the daemon has had.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from .s3 import Slice, put
from .server import Server
from .systems import Cognitofs, Mount

PREFIX, BIG = "known/", 10_000


def names(count):
    """A directory of 10,000, the others of 1,000."""
    return [f"big/{n:05}.jpg" if n < BIG else f"d{n // 1000:04}/{n % 1000:03}.jpg" for n in range(count)]


def store_all(server, folder, all_names):
    body = folder / "body"
    body.write_bytes(b"x")
    server.s3.replay([put(PREFIX + name, Slice(0, 1)) for name in all_names], body, 16)


def clock(what, body):
    began = time.perf_counter()
    value = body()
    print(f"{what}: {(time.perf_counter() - began) * 1000:.0f} ms", flush=True)
    return value


def count(where):
    found = subprocess.run(["find", where, "-type", "f"], check=True, capture_output=True, text=True, timeout=600)
    return found.stdout.count("\n")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench known")
    parser.add_argument("--objects", type=int, default=100_000)
    objects = parser.parse_args().objects
    folder = Path(tempfile.mkdtemp(prefix="cognitofs-known."))
    server = Server(folder / "server")
    stopped = False
    try:
        store_all(server, folder, names(objects))
        mount = Mount(Cognitofs(), server.endpoint, folder / "client")
        with mount.start(PREFIX, cold=True):
            found = clock(f"find of {objects}, cold", lambda: count(mount.where))
            if found != objects:
                raise SystemExit(f"bench: {found} names were found, not {objects}")
            print(f"memory: {mount.peak_mib():.0f} MiB at most")
        server.stop()
        stopped = True
        began = time.perf_counter()
        with mount.start(PREFIX, cold=False):
            os.listdir(mount.where)
            print(f"mount and first listing without the server: {(time.perf_counter() - began) * 1000:.0f} ms")
            print(f"memory: {mount.peak_mib():.0f} MiB at most")
            clock("find again, without the server", lambda: count(mount.where))
            clock("rename of a directory of 10,000", lambda: os.rename(mount.where / "big", mount.where / "renamed"))
            if len(os.listdir(mount.where / "renamed")) != BIG:
                raise SystemExit("bench: the renamed directory is not complete")
            subprocess.run(["umount", "-l", mount.where], check=True)
            mount.process.kill()
    finally:
        if not stopped:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
