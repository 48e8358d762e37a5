"""What is measured. Each workload gives seconds, the daemon's peak memory, and raises `Wrong` if a byte is not right."""

import hashlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass

from .server import READ

PATIENCE = 300  # seconds for one step


class Wrong(Exception):
    """Bytes that are not what they should be."""


@dataclass
class Result:
    seconds: float
    peak_mib: float


def timed(command):
    began = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=PATIENCE)
    return time.perf_counter() - began


def dd(source):
    return ["dd", f"if={source}", "of=/dev/null", "bs=1M", "status=none"]


def until(condition):
    limit = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > limit:
            raise TimeoutError("it never became durable")
        time.sleep(0.02)


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def read_cold(mount, material):
    with mount.start(READ, cold=True):
        result = Result(timed(dd(mount.where / "large.bin")), mount.peak_mib())
        if sha256_of(mount.where / "large.bin") != material.large_sha256:
            raise Wrong("the large file was read wrongly")
    return result


def read_cached(mount, material):
    with mount.start(READ, cold=True):
        timed(dd(mount.where / "large.bin"))
        time.sleep(mount.system.settle)
    with mount.start(READ, cold=False):
        result = Result(timed(dd(mount.where / "large.bin")), mount.peak_mib())
        if sha256_of(mount.where / "large.bin") != material.large_sha256:
            raise Wrong("the large file was read wrongly from the cache")
    return result


def write_durable(mount, material):
    prefix = mount.server.fresh_prefix()
    with mount.start(prefix, cold=True):
        began = time.perf_counter()
        timed(["dd", f"if={material.large}", f"of={mount.where}/large.bin", "bs=1M", "conv=fsync", "status=none"])
        until(lambda: mount.server.size(prefix + "large.bin") == material.large_size)
        result = Result(time.perf_counter() - began, mount.peak_mib())
    if mount.server.sha256(prefix + "large.bin") != material.large_sha256:
        raise Wrong("the large file was written wrongly")
    mount.server.wipe(prefix)
    return result


def copy_in(mount, material):
    prefix = mount.server.fresh_prefix()

    def all_there():
        sizes = [size for key, size in mount.server.list(prefix + "many/").items() if not key.endswith("/")]
        return len(sizes) == material.many and set(sizes) == {material.many_size}

    with mount.start(prefix, cold=True):
        began = time.perf_counter()
        timed(["cp", "-r", material.small, mount.where / "many"])
        until(all_there)
        result = Result(time.perf_counter() - began, mount.peak_mib())
    for path in sorted(material.small.iterdir())[::50]:
        if mount.server.sha256(prefix + "many/" + path.name) != sha256_of(path):
            raise Wrong(f"{path.name} was written wrongly")
    mount.server.wipe(prefix)
    return result


def copy_out(mount, material):
    target = mount.folder / "copied"
    shutil.rmtree(target, ignore_errors=True)
    with mount.start(READ, cold=True):
        result = Result(timed(["cp", "-r", mount.where / "many", target]), mount.peak_mib())
    if subprocess.run(["diff", "-r", material.small, target], capture_output=True, timeout=PATIENCE).returncode:
        raise Wrong("the copied files differ")
    shutil.rmtree(target)
    return result


def list_long(mount, material):
    with mount.start(READ, cold=True):
        result = Result(timed(["ls", "-l", mount.where / "long"]), mount.peak_mib())
        if len(os.listdir(mount.where / "long")) != material.listed:
            raise Wrong("the long directory is not complete")
    return result


WORKLOADS = {
    "read-cold": (read_cold, "read 1 GiB, cold"),
    "read-cached": (read_cached, "read 1 GiB from the disk cache, after a remount"),
    "write": (write_durable, "write 1 GiB, until durable"),
    "copy-in": (copy_in, "copy 1,000 files of 100 KB in, until durable"),
    "copy-out": (copy_out, "copy 1,000 files of 100 KB out, cold"),
    "list": (list_long, "`ls -l` of 10,000 files, cold"),
}
