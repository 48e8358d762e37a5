"""What programs do to a mount, run as a process of its own so that a mount that hangs can be given up.

`python -m measure.actions NAME ARGUMENTS` prints JSON. Each action times itself: starting Python counts for nothing.
"""

import hashlib
import json
import os
import random
import sys
import threading
import time
from pathlib import Path

STEP = 1 << 20


def read(path):
    """As `cat`: to the end, a megabyte at a time."""
    buffer, began = bytearray(STEP), time.perf_counter()
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return {"seconds": time.perf_counter() - began}


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while part := file.read(STEP):
            digest.update(part)
    return {"sha256": digest.hexdigest()}


def write(path, source):
    """As `cp`, with an fsync before the close."""
    buffer, began = memoryview(bytearray(STEP)), time.perf_counter()
    with open(source, "rb", buffering=0) as given, open(path, "xb", buffering=0) as file:
        while count := given.readinto(buffer):
            done = 0
            while done < count:
                done += file.write(buffer[done:count])
        os.fsync(file.fileno())
    return {"seconds": time.perf_counter() - began}


def beginnings(folder, size, readers):
    """As a file manager that makes thumbnails: the first bytes of each file, several at a time."""
    began = time.perf_counter()
    names, sums, lock = iter(sorted(os.listdir(folder))), {}, threading.Lock()

    def take():
        while True:
            with lock:
                name = next(names, None)
            if name is None:
                return
            with open(Path(folder) / name, "rb", buffering=0) as file:
                sums[name] = hashlib.sha256(file.read(int(size))).hexdigest()

    threads = [threading.Thread(target=take) for _ in range(int(readers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"seconds": time.perf_counter() - began, "sums": sums}


def random_offsets(total, size, count):
    """Aligned, none twice, always the same ones."""
    return [place * size for place in random.Random(size).sample(range(total // size), count)]


def scattered(path, total, size, count):
    """Reads of so many bytes at random places, one at a time, each place once."""
    total, size, count = int(total), int(size), int(count)
    digest, descriptor = hashlib.sha256(), os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    seconds = 0.0
    for offset in random_offsets(total, size, count):
        began = time.perf_counter()
        part = os.pread(descriptor, size, offset)
        seconds += time.perf_counter() - began
        digest.update(part)
    os.close(descriptor)
    return {"seconds": seconds, "sha256": digest.hexdigest()}


def saved(number):
    """The bytes of one save: 20 KB."""
    return b"%08d" % number * 2500


def saves(folder, count):
    """As an editor: a new file beside the old, synced, renamed over it."""
    folder, began = Path(folder), time.perf_counter()
    for number in range(int(count)):
        with open(folder / ".document.new", "wb", buffering=0) as file:
            file.write(saved(number))
            os.fsync(file.fileno())
        os.rename(folder / ".document.new", folder / "document")
    return {"seconds": time.perf_counter() - began}


def appended(number):
    """What is appended at a time: 1 KB."""
    return b"%08d" % number * 125


def appends(path, count):
    """As a log: opened, 1 KB added, closed."""
    began = time.perf_counter()
    for number in range(int(count)):
        with open(path, "ab", buffering=0) as file:
            file.write(appended(number))
    return {"seconds": time.perf_counter() - began}


def each(paths):
    """Files, one path a line, one after another: the seconds of each."""
    seconds = []
    for path in paths.splitlines():
        began = time.perf_counter()
        with open(path, "rb", buffering=0) as file:
            while file.read(STEP):
                pass
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds}


def together(paths):
    """Files, one path a line, all at once, each by a thread of its own: the seconds of each."""
    paths, seconds = paths.splitlines(), {}
    gate = threading.Barrier(len(paths))

    def take(path):
        gate.wait()
        seconds[path] = read(path)["seconds"]

    threads = [threading.Thread(target=take, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"seconds": [seconds[path] for path in paths]}


def rename(old, new):
    began = time.perf_counter()
    os.rename(old, new)
    return {"seconds": time.perf_counter() - began}


ACTIONS = {action.__name__: action for action in (read, sha256, write, beginnings, scattered, saves, appends, each, together, rename)}

if __name__ == "__main__":
    print(json.dumps(ACTIONS[sys.argv[1]](*sys.argv[2:])))
