"""Rows 1, 2, 5, 8, 9, 14: reading."""

import subprocess
import time

from .actions import random_offsets
from .figures import Figure, Workload
from .s3 import Slice, get
from .server import READ
from .stage import PATIENCE, Wrong, act, timed

RANGE, BEGINNING, READERS = 8 << 20, 64 << 10, 4
SPREAD = (4, 8, 16)


def read_cold(stage):
    return read_file(stage, "large.bin", stage.material.large)


def read_file(stage, name, part):
    with stage.mounted(READ) as where:
        with stage.metered():
            seconds = act("read", where / name)["seconds"]
        if act("sha256", where / name)["sha256"] != stage.material.sha256(part):
            raise Wrong(f"{name} was read wrongly")
    return {"cold": seconds}


def limit_read_cold(stage):
    return limit_read_file(stage, "large.bin", stage.material.large)


def limit_read_file(stage, name, part):
    ranges = [get(READ + name, first, min(first + RANGE, part.size) - 1) for first in range(0, part.size, RANGE)]
    with stage.metered():
        return {"cold": stage.best(SPREAD, lambda count: stage.client.replay(ranges, stage.material.bodies, count)[0])}


def read_cached(stage):
    """Sequentially, then at random places, each after a remount of its own."""
    material = stage.material
    with stage.mounted(READ) as where:
        act("read", where / "large.bin")
        stage.mount.settle()
    with stage.mounted(READ, cold=False) as where:
        with stage.metered():
            figures = {"cached": act("read", where / "large.bin")["seconds"]}
        if act("sha256", where / "large.bin")["sha256"] != material.sha256(material.large):
            raise Wrong("the large file was read wrongly from the cache")
        stage.mount.settle()
    for name, block in (("cached_4k", 4096), ("cached_128k", 128 << 10)):
        with stage.mounted(READ, cold=False) as where:
            figures[name] = scattered(stage, where, block, stage.sizes.cached_randoms)
            stage.mount.settle()
    return figures


def scattered(stage, where, block, count):
    """Milliseconds a read, of reads of `block` bytes at random places."""
    count = min(count, stage.sizes.large // block)
    read = act("scattered", where / "large.bin", stage.sizes.large, block, count)
    if read["sha256"] != act("scattered", stage.material.bodies, stage.sizes.large, block, count)["sha256"]:
        raise Wrong("the large file was read wrongly at random places")
    return read["seconds"] / count * 1000


def read_scattered(stage):
    figures = {}
    for name, block in (("cold_4k", 4096), ("cold_128k", 128 << 10)):
        with stage.mounted(READ) as where, stage.metered():
            figures[name] = scattered(stage, where, block, stage.sizes.randoms)
    return figures


def limit_read_scattered(stage):
    figures, size = {}, stage.sizes.large
    for name, block in (("cold_4k", 4096), ("cold_128k", 128 << 10)):
        requests = [get(READ + "large.bin", offset, offset + block - 1) for offset in random_offsets(size, block, stage.sizes.randoms)]
        with stage.metered():
            figures[name] = stage.client.replay(requests, stage.material.bodies, 1)[0] / len(requests) * 1000
    return figures


def copy_out(stage):
    target = stage.scratch("copied")
    with stage.mounted(READ) as where, stage.metered():
        seconds = timed("cp", "-r", where / "many", target)
    if subprocess.run(["diff", "-r", stage.material.small, target], capture_output=True, timeout=PATIENCE).returncode:
        raise Wrong("the copied files differ")
    stage.scratch("copied")
    return {"cold": seconds}


def limit_copy_out(stage):
    requests = [get(f"{READ}many/{name}") for name in stage.material.many()]
    with stage.metered():
        return {"cold": stage.best((8, 16, 32), lambda count: stage.client.replay(requests, stage.material.bodies, count)[0])}


def pictures(stage):
    return {name: part for name, part in stage.material.stored().items() if name.startswith("pictures/")}


def beginnings(stage):
    with stage.mounted(READ) as where, stage.metered():
        read = act("beginnings", where / "pictures", BEGINNING, READERS)
    for name, part in pictures(stage).items():
        expected = stage.material.sha256(Slice(part.offset, BEGINNING))
        if read["sums"].get(name.removeprefix("pictures/")) != expected:
            raise Wrong(f"{name} was read wrongly")
    return {"cold": read["seconds"], "received": stage.cost.received / len(read["sums"])}


def limit_beginnings(stage):
    requests = [get(READ + name, 0, BEGINNING - 1) for name in pictures(stage)]
    with stage.metered():
        began = time.perf_counter()
        stage.client.keys(READ + "pictures/")
        listed = time.perf_counter() - began
        seconds = listed + stage.client.replay(requests, stage.material.bodies, READERS)[0]
    return {"cold": seconds, "received": stage.cost.received / len(requests)}


def first_byte(stage):
    """From starting the daemon, that has been mounted before, to the first byte of a file it never read."""
    with stage.mounted(READ) as where:
        act("read", where / "many" / next(iter(stage.material.many())))
    with stage.mounted(READ, cold=False) as where:
        name = list(stage.material.many())[-1]
        with open(where / "many" / name, "rb", buffering=0) as file:
            if len(file.read(1)) != 1:
                raise Wrong("there was no first byte")
        seconds = time.perf_counter() - stage.mount.began
    return {"first_byte": seconds * 1000}


WORKLOADS = [
    Workload("read-cold", read_cold, limit_read_cold, [Figure(1, "cold", "read {large}, cold", "s", "limit", 1.3)]),
    Workload("read-cached", read_cached, None, [
        Figure(2, "cached", "read {large} from the disk cache, after a remount", "s", "passthrough", 1.3),
        Figure(9, "cached_4k", "read 4 KiB at a random place, from the disk cache", "ms", "passthrough", 1.25),
        Figure(9, "cached_128k", "read 128 KiB at a random place, from the disk cache", "ms", "passthrough", 1.25),
    ]),
    Workload("copy-out", copy_out, limit_copy_out, [Figure(5, "cold", "copy {many} files of 100 KB out, cold", "s", "limit", 2)]),
    Workload("beginnings", beginnings, limit_beginnings, [
        Figure(8, "cold", "first 64 KiB of {pictures} files of 2 MiB, 4 readers, cold", "s", "limit", 1.3),
        Figure(8, "received", "bytes received for each of these files", "B", None, 200_000),
    ], wire=True),
    Workload("scattered", read_scattered, limit_read_scattered, [
        Figure(9, "cold_4k", "read 4 KiB at a random place, cold", "ms", "limit", 1.15),
        Figure(9, "cold_128k", "read 128 KiB at a random place, cold", "ms", "limit", 1.15),
    ]),
    Workload("first-byte", first_byte, None, [Figure(14, "first_byte", "mount with keys to the first byte of a file", "ms", None, 150, round_trips=3)]),
]  # fmt: skip
