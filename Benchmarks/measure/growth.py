"""How figures grow: `scripts/bench growth`. Nothing may grow worse than what is measured with, and memory not with bytes.

`--json` writes machine, versions and, for each line, its title, what is across and up, and series: {system: [[x, y], ...]}.
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from .bench import bench
from .listing import limit_list, list_twice
from .material import QUICK
from .plots import lines_plot
from .programs import machine
from .reading import copy_out, first_byte, limit_copy_out, limit_read_cold, limit_read_file, read_cold, read_file
from .s3 import Slice
from .stage import FAILURES
from .systems import Cognitofs, Limit

COUNTS = (10, 100, 1000, 10_000, 100_000)
MEBIBYTES = (1, 4, 16, 64, 256, 1024)
ROUND_TRIPS = (0, 5, 20, 50, 100, 200)
MEGABITS = (10, 30, 100, 300, 1000)
SLOW = 8 << 20
"""What is read over narrow lines."""


@dataclass
class Line:
    name: str
    title: str
    across: str
    up: str
    points: list
    """(x, round trip in ms, Mbit/s or 0, what cognitofs does on a stage, what the limit does)"""


def listings(most):
    counts = [count for count in COUNTS if count <= most]
    points = [(n, 0, 0, lambda s, n=n: list_twice(s, f"list/{n}", n)["cold"], lambda s, n=n: limit_list(s, f"list/{n}/", n)["cold"]) for n in counts]
    return Line("list", "`ls -l` of a directory, cold", "files", "seconds", points)


def reads(most):
    def point(mebibytes):
        name, part = f"read/{mebibytes}", Slice(0, mebibytes << 20)
        return mebibytes, 0, 0, lambda s: read_file(s, name, part)["cold"], lambda s: limit_read_file(s, name, part)["cold"]

    return Line("read", "Reading a file, cold", "MiB", "seconds", [point(size) for size in MEBIBYTES if size <= most])


def round_trips():
    """A line for each thing that people wait for."""
    found = []
    for name, title, ours, limit in (
        ("copy-out", f"Copying {QUICK.many} files of 100 KB out, cold", copy_out, limit_copy_out),
        ("read-cold", f"Reading {QUICK.large >> 20} MiB, cold", read_cold, limit_read_cold),
    ):
        points = [(max(rtt, 1), rtt, 0, lambda s, f=ours: f(s)["cold"], lambda s, f=limit: f(s)["cold"]) for rtt in ROUND_TRIPS]
        found.append(Line(f"round-trip-{name}", title, "round trip in ms (0 is drawn at 1)", "seconds", points))
    points = [(max(rtt, 1), rtt, 0, lambda s: first_byte(s)["first_byte"], None) for rtt in ROUND_TRIPS]
    return [*found, Line("round-trip-first-byte", "Mount to first byte", "round trip in ms (0 is drawn at 1)", "ms", points)]


def bandwidths():
    name, part = "read/slow", Slice(0, SLOW)
    points = [(n, 20, n, lambda s: read_file(s, name, part)["cold"], lambda s: limit_read_file(s, name, part)["cold"]) for n in MEGABITS]
    return Line("bandwidth", f"Reading {SLOW >> 20} MiB, cold, round trip 20 ms", "Mbit/s", "seconds", points)


def files(material, most, large):
    """What the lines need, besides the material of a quick run."""
    found = material.stored() | {"read/slow": Slice(0, SLOW)}
    for count in COUNTS:
        if count <= most:
            found |= material.tiny(f"list/{count}/file {{:06}}.jpg", count)
    return found | {f"read/{size}": Slice(0, size << 20) for size in MEBIBYTES if size <= large}


def draw(place, line):
    """The series of a line; and that of the daemon's memory."""
    series, memory = {"cognitofs": [], "limit": []}, []
    for x, round_trip, megabits, ours, limit in line.points:
        for system, body in ((Cognitofs(), ours), (Limit(), limit)):
            if body is None:
                continue
            stage = place.stage(system, round_trip, megabits=megabits)
            try:
                y = body(stage)
            except FAILURES as reason:
                print(f"{line.name} {x}: {system.name}: {reason}", file=sys.stderr)
                continue
            series[system.name].append([x, round(y, 6)])
            memory += [[x, round(stage.cost.peak_mib, 1)]] if system.name == "cognitofs" else []
            print(f"{line.name} {x}: {system.name} {y:.4f} {line.up}, {stage.cost.peak_mib:.0f} MiB", file=sys.stderr, flush=True)
    return {name: points for name, points in series.items() if points}, memory


def measure(most, large, folder):
    lines = [listings(most), reads(large), *round_trips(), bandwidths()]
    found = {}
    with bench(replace(QUICK, large=large << 20), folder, lambda material: files(material, most, large)) as place:
        for line in lines:
            series, memory = draw(place, line)
            kept = {"title": line.title.replace("`", ""), "across": line.across, "up": line.up, "series": series}
            found[line.name] = kept
            if line.name in ("list", "read"):
                found[f"{line.name}-memory"] = kept | {"title": kept["title"] + ": memory of the daemon", "up": "MiB", "series": {"cognitofs": memory}}
    return {"machine": machine(), "versions": {"cognitofs": Cognitofs().version()}, "lines": found}


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench growth")
    parser.add_argument("--most", type=int, default=COUNTS[-1], help="the most files in a directory")
    parser.add_argument("--large", type=int, default=MEBIBYTES[-1], help="the largest file, in MiB: at least 128")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--plots", type=Path, help="a folder for a plot of each line")
    parser.add_argument("--folder", type=Path, help="where server, caches and files are while it runs (a new temporary folder)")
    options = parser.parse_args()
    facts = measure(options.most, max(options.large, QUICK.large >> 20), options.folder)
    text = json.dumps(facts, indent=1) + "\n"
    if options.json:
        options.json.write_text(text)
    if options.plots:
        options.plots.mkdir(parents=True, exist_ok=True)
        for name, line in facts["lines"].items():
            if line["series"]:
                drawn = lines_plot(line["title"], line["across"], line["up"], line["series"])
                (options.plots / f"growth-{name}.svg").write_text(drawn)
    print(text)


if __name__ == "__main__":
    main()
