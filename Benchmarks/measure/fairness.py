"""Who waits for whom: `scripts/bench fairness`.

A small file is read, cold, again and again: alone, while a large file is written and uploaded, and while a file manager
reads the beginnings of all pictures (of which a quick run has too few to last). Then 16 programs read a file each at the
same time.
"""

import argparse
import random
import statistics
import subprocess
import sys
from pathlib import Path

from .bench import bench
from .material import FULL, QUICK
from .programs import machine
from .server import READ
from .stage import Wrong, act
from .systems import SYSTEMS

READERS, SAMPLES = 16, 40
UPLOAD = "upload.bin"


def samples(where, material, turn):
    """Milliseconds of reads of small files that were never read before, in no order that could be foreseen."""
    names = random.Random(1).sample(list(material.many()), 3 * SAMPLES)[turn * SAMPLES : (turn + 1) * SAMPLES]
    return [seconds * 1000 for seconds in act("each", "\n".join(str(where / "many" / name) for name in names))["seconds"]]


def beside(where, material, turn, action, *arguments):
    """The same while an action runs on the same mount."""
    other = subprocess.Popen([sys.executable, "-m", "measure.actions", action, *map(str, arguments)], stdout=subprocess.DEVNULL)
    try:
        return samples(where, material, turn)
    finally:
        other.wait(600)


def waits(stage):
    """{beside what: milliseconds}, on one mount of everything."""
    material = stage.material
    with stage.mounted(READ) as where:
        found = {"alone": samples(where, material, 0)}
        found["a big upload"] = beside(where, material, 1, "write", where / UPLOAD, material.bodies)
        stage.wait(0, lambda: stage.server.s3.size(READ + UPLOAD) == material.large.size)
        found["thumbnails"] = beside(where, material, 2, "beginnings", where / "pictures", 64 << 10, READERS)
    stage.check(READ, UPLOAD, material.large)
    stage.server.s3.delete([READ + UPLOAD])
    return found


def shares(stage):
    """Seconds that each of the readers took for its own picture-sized file, all at once."""
    with stage.mounted(READ) as where:
        paths = sorted((where / "pictures").iterdir())[:READERS]
        if len(paths) != READERS:
            raise Wrong("there are too few pictures")
        return act("together", "\n".join(map(str, paths)))["seconds"]


def told(stage):
    found = waits(stage)
    alone = statistics.median(found["alone"])
    for beside_what, times in found.items():
        slow = sorted(times)[int(len(times) * 0.95)]
        factor = statistics.median(times) / alone
        print(f"small read, {beside_what}: median {statistics.median(times):.1f} ms ({factor:.2f} × alone), 95 of 100 within {slow:.1f} ms")
    times = shares(stage)
    print(f"{READERS} readers of 2 MiB each: first done after {min(times):.3f} s, last after {max(times):.3f} s")


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench fairness")
    parser.add_argument("--systems", default="cognitofs")
    parser.add_argument("--rtt", type=float, default=20, help="round trip in ms")
    parser.add_argument("--quick", action="store_true", help="reduced sizes")
    parser.add_argument("--folder", type=Path, help="where server, caches and files are while it runs (a new temporary folder)")
    options = parser.parse_args()
    with bench(QUICK if options.quick else FULL, options.folder) as place:
        for name in options.systems.split(","):
            system = SYSTEMS[name]()
            print(f"{system.name}, {system.version()}, round trip {options.rtt:g} ms, {machine()}")
            told(place.stage(system, options.rtt))


if __name__ == "__main__":
    main()
