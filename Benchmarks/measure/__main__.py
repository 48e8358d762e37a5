"""The command behind scripts/bench."""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from .server import Material, Server
from .systems import SYSTEMS, Mount
from .workloads import WORKLOADS, Wrong


def measure(systems, names, rounds, small, folder):
    """{system: {workload: {seconds: [...], peak_mib: [...]} or {error: ...}}}; systems take turns inside a round."""
    results = {system.name: {} for system in systems}
    material = Material(folder / "material", small)
    server = Server(folder / "server")
    try:
        material.upload(server)
        for number in range(rounds):
            for name in names:
                for system in systems:
                    kept = results[system.name].setdefault(name, {"seconds": [], "peak_mib": []})
                    try:
                        result = WORKLOADS[name][0](Mount(system, server, folder / system.name), material)
                    except (Wrong, OSError, RuntimeError, subprocess.SubprocessError, TimeoutError) as reason:
                        kept["error"] = str(reason)
                        print(f"{system.name} {name}: {reason}", file=sys.stderr)
                        continue
                    kept["seconds"].append(round(result.seconds, 3))
                    kept["peak_mib"].append(round(result.peak_mib, 1))
                    print(f"round {number + 1}: {system.name} {name} {result.seconds:.2f} s, {result.peak_mib:.0f} MiB", file=sys.stderr, flush=True)
    finally:
        server.stop()
    return results


def table(results):
    """Medians in Markdown, the quickest of a row in bold; memory is the most that any step took."""

    def seconds(kept):
        return "failed" if "error" in kept else f"{statistics.median(kept['seconds']):.2f}"

    names = list(results)
    lines = ["| seconds | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    for workload, (_, title) in WORKLOADS.items():
        cells = {name: seconds(results[name][workload]) for name in names if workload in results[name]}
        numbers = [float(cell) for cell in cells.values() if cell != "failed"]
        if cells:
            shown = [f"**{c}**" if c != "failed" and float(c) == min(numbers) else c for c in (cells.get(n, "") for n in names)]
            lines.append(f"| {title} | " + " | ".join(shown) + " |")
    peaks = [max((p for kept in results[name].values() for p in kept["peak_mib"]), default=0) for name in names]
    lines.append("| peak memory, MiB | " + " | ".join(f"{peak:.0f}" for peak in peaks) + " |")
    return "\n".join(lines) + "\n"


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="which to measure, separated by commas")
    parser.add_argument("--only", default=",".join(WORKLOADS), help="which workloads: " + ", ".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the table shows medians")
    parser.add_argument("--small", action="store_true", help="an eighth of the bytes, a tenth of the files: to try it out")
    parser.add_argument("--json", type=Path, help="where the numbers go")
    parser.add_argument("--table", type=Path, help="where the table goes, besides standard output")
    parser.add_argument("--folder", type=Path, help="where server, caches and files are while it runs (a new temporary folder)")
    options = parser.parse_args()
    systems = [SYSTEMS[name]() for name in options.systems.split(",")]
    folder = Path(tempfile.mkdtemp(prefix="cognitofs-bench.", dir=options.folder))
    try:
        results = measure(systems, options.only.split(","), options.rounds, options.small, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    facts = {"machine": machine(), "rounds": options.rounds, "small": options.small}
    facts |= {"versions": {system.name: system.version() for system in systems}, "results": results}
    if options.json:
        options.json.write_text(json.dumps(facts, indent=1) + "\n")
    shown = table(results)
    if options.table:
        options.table.write_text(shown)
    print(shown)
    print("; ".join([facts["machine"]] + [f"{name}: {version}" for name, version in facts["versions"].items()]))


if __name__ == "__main__":
    main()
