"""The command behind scripts/bench.

What `--json` writes:

    machine, quick, rounds   what was measured on, with reduced sizes or not, how often
    words                    {name of a size: as titles say it}
    versions                 {system: its version}
    measurements             a list, in the order of measuring, of
        workload, system, round_trip_ms, round
        figures              {name of a figure: number, in the unit that the workload's figure states}
        cost                 of the measured part: daemon_cpu and server_cpu in seconds, peak_mib of the daemon,
                             requests {kind: count} as the server counts them, and sent and received: bytes to and from
                             the server, 0 where no line carried them
        error                instead of figures and cost, where it failed: the reason
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from .bench import bench
from .material import FULL, QUICK
from .plots import write_plots
from .programs import machine
from .report import Report
from .stage import FAILURES
from .systems import SYSTEMS, installed
from .workloads import WORKLOADS


def measure_one(stage, workload):
    """Figures and cost, or the error."""
    try:
        figures = workload.measure(stage)
        return {"figures": {name: round(figure, 6) for name, figure in figures.items()}, "cost": asdict(stage.cost)}
    except FAILURES as reason:
        return {"error": str(reason)}
    finally:
        stage.tidy()


def plan(options, systems):
    """Round trip, workload and system of each measurement of a round; the systems of a workload follow each other."""
    for round_trip in options.rtt:
        for name in options.only:
            for system in systems:
                if WORKLOADS[name].suits(system, options.sizes):
                    yield round_trip, WORKLOADS[name], system


def measure(options, systems):
    measurements = []
    with bench(options.sizes, options.folder) as place:
        for number in range(1, options.rounds + 1):
            for round_trip, workload, system in plan(options, systems):
                entry = {"workload": workload.name, "system": system.name, "round_trip_ms": round_trip, "round": number}
                measurements.append(entry | measure_one(place.stage(system, round_trip, workload.wire), workload))
                tell(measurements[-1])
    return measurements


def tell(entry):
    what = entry.get("error") or ", ".join(f"{name} {figure:.3f}" for name, figure in entry["figures"].items())
    if "cost" in entry:
        cost = entry["cost"]
        what += f" ({cost['daemon_cpu']:.2f} s CPU, {cost['peak_mib']:.0f} MiB, {cost['requests']})"
    print(f"round {entry['round']}, {entry['round_trip_ms']:g} ms: {entry['workload']} {entry['system']}: {what}", file=sys.stderr, flush=True)


def names_of(text, known):
    """Names separated by commas; for workloads, the number of a row names all of its own."""
    chosen = []
    for word in text.split(","):
        rows = [name for name, workload in WORKLOADS.items() if word in {str(figure.row) for figure in workload.figures}]
        if word not in known and not (known is WORKLOADS and rows):
            raise argparse.ArgumentTypeError(f"there is no {word}; there are {', '.join(known)}")
        chosen += [word] if word in known else rows
    return list(dict.fromkeys(chosen))


def parsed():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--systems", type=lambda text: names_of(text, SYSTEMS), help="which to measure: " + ",".join(SYSTEMS))
    parser.add_argument(
        "--only", type=lambda text: names_of(text, WORKLOADS), default=list(WORKLOADS), help="rows by number, or workloads: " + ", ".join(WORKLOADS)
    )
    parser.add_argument("--rtt", type=lambda text: [float(word) for word in text.split(",")], help="round trips in ms (0,20; quick: 0)")
    parser.add_argument("--rounds", type=int, help="how often each is measured; the table shows medians (3; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="reduced sizes, the references and s3fs: three minutes at most")
    parser.add_argument("--json", type=Path, help="where the measurements go")
    parser.add_argument("--table", type=Path, help="where the table goes, besides standard output")
    parser.add_argument("--plots", type=Path, help="a folder for SVG plots of the rows")
    parser.add_argument("--from", type=Path, dest="given", help="show what an earlier --json wrote; measures nothing")
    parser.add_argument("--folder", type=Path, help="where server, caches and files are while it runs (a new temporary folder)")
    options = parser.parse_args()
    options.sizes = QUICK if options.quick else FULL
    options.systems = options.systems or (["cognitofs", "limit", "passthrough", "s3fs"] if options.quick else installed())
    options.rtt = options.rtt or ([0] if options.quick else [0, 20])
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


def run(options):
    systems = [SYSTEMS[name]() for name in options.systems]
    measurements = measure(options, systems)
    facts = {"machine": machine(), "quick": options.quick, "rounds": options.rounds, "words": options.sizes.words()}
    return facts | {"versions": {system.name: system.version() for system in systems}, "measurements": measurements}


def main():
    options = parsed()
    facts = json.loads(options.given.read_text()) if options.given else run(options)
    report = Report(facts)
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    if options.table:
        options.table.write_text(report.table())
    if options.plots:
        write_plots(report, options.plots)
    print(report.table())


if __name__ == "__main__":
    main()
