"""From measurements to the table: medians, factors against the references of the same run, goals met or not."""

import statistics

from .workloads import WORKLOADS

OURS = "cognitofs"
REFERENCES = ("limit", "passthrough")


class Report:
    """Looks figures up in what measure.__main__ writes as JSON."""

    def __init__(self, facts):
        self.facts, self._found = facts, {}
        for entry in facts["measurements"]:
            kept = self._found.setdefault((entry["workload"], entry["system"], entry["round_trip_ms"]), [])
            kept.append(entry)

    def round_trips(self):
        return sorted({entry["round_trip_ms"] for entry in self.facts["measurements"]})

    def systems(self):
        return list(self.facts["versions"])

    def value(self, workload, figure, system, round_trip_ms):
        """The median, "failed", or None where it was not measured."""
        entries = self._found.get((workload.name, system, round_trip_ms), [])
        values = [entry["figures"][figure.name] for entry in entries if figure.name in entry.get("figures", {})]
        if values:
            return statistics.median(values)
        return "failed" if any("error" in entry for entry in entries) else None

    def cost(self, workload, system, round_trip_ms, name):
        values = [entry["cost"][name] for entry in self._found.get((workload.name, system, round_trip_ms), []) if "cost" in entry]
        return statistics.median(values) if values else None

    def factor(self, workload, figure, system, round_trip_ms):
        """How many times the reference, or None."""
        if figure.reference is None:
            return None
        ours = self.value(workload, figure, system, round_trip_ms)
        reference = self.value(workload, figure, figure.reference, round_trip_ms)
        return ours / reference if is_number(ours) and is_number(reference) and reference > 0 else None

    def met(self, workload, figure, system, round_trip_ms):
        """True, False, or None where nothing can be said."""
        if self.value(workload, figure, system, round_trip_ms) == "failed":
            return False
        share = self.share_of_goal(workload, figure, system, round_trip_ms)
        return None if share is None else share <= 1

    def share_of_goal(self, workload, figure, system, round_trip_ms):
        """How many times the goal: 1 and below is met. None where nothing can be said."""
        value = self.value(workload, figure, system, round_trip_ms)
        if figure.goal is None or not is_number(value):
            return None
        if figure.reference is None:
            return value / figure.bound(round_trip_ms)
        factor = self.factor(workload, figure, system, round_trip_ms)
        return None if factor is None else factor / figure.goal

    def lines(self):
        """Each figure that our system was measured for: workload and figure, in the order of the table."""
        measured = {entry["workload"] for entry in self.facts["measurements"]}
        pairs = [(workload, figure) for workload in WORKLOADS.values() if workload.name in measured for figure in workload.figures]
        return sorted(pairs, key=lambda pair: pair[1].row)

    def title(self, figure):
        return figure.title.format(**self.facts["words"])

    def table(self):
        """Markdown: a table for each round trip, then what the daemons cost."""
        parts = [self._table_at(round_trip) for round_trip in self.round_trips()]
        return "\n".join([*parts, self._costs(), said_of(self.facts)]) + "\n"

    def _table_at(self, round_trip):
        peers = [name for name in self.systems() if name != OURS and name not in REFERENCES]
        head = ["row", f"round trip {round_trip:g} ms", "goal", "reference", OURS, "factor", "met", *peers]
        lines = [row_of(head), "| ---: | --- | --- |" + " ---: |" * 2 + " ---: | --- |" + " ---: |" * len(peers)]
        for workload, figure in self.lines():
            reference = self.value(workload, figure, figure.reference, round_trip) if figure.reference else None
            factor = self.factor(workload, figure, OURS, round_trip)
            met = {True: "yes", False: "**no**", None: ""}[self.met(workload, figure, OURS, round_trip)]
            cells = [str(figure.row), self.title(figure), goal_of(figure, round_trip), shown(reference, figure.unit)]
            cells += [shown(self.value(workload, figure, OURS, round_trip), figure.unit), "" if factor is None else f"{factor:.2f}", met]
            lines.append(row_of(cells + [shown(self.value(workload, figure, peer, round_trip), figure.unit) for peer in peers]))
        return "\n".join(lines) + "\n"

    def _costs(self):
        """CPU of the daemon, its peak memory, and the requests of each workload, at the first round trip."""
        round_trip = self.round_trips()[0]
        mounts = [name for name in self.systems() if name not in REFERENCES]
        head = ["cost", *(f"{name} CPU s" for name in mounts), *(f"{name} MiB" for name in mounts), *(f"{name} requests" for name in mounts)]
        lines = [row_of(head), "| --- |" + " ---: |" * (2 * len(mounts)) + " --- |" * len(mounts)]
        for workload in dict.fromkeys(workload for workload, _ in self.lines()):
            cells = [workload.name]
            cells += [shown(self.cost(workload, name, round_trip, "daemon_cpu"), "s") for name in mounts]
            cells += [shown(self.cost(workload, name, round_trip, "peak_mib"), "MiB") for name in mounts]
            cells += [self._requests(workload, name, round_trip) for name in mounts]
            lines.append(row_of(cells))
        return "\n".join(lines) + "\n"

    def _requests(self, workload, system, round_trip):
        entries = [entry for entry in self._found.get((workload.name, system, round_trip), []) if "cost" in entry]
        return ", ".join(f"{count} {kind}" for kind, count in sorted(entries[-1]["cost"]["requests"].items())) if entries else ""


def is_number(value):
    return isinstance(value, (int, float))


def row_of(cells):
    return "| " + " | ".join(cells) + " |"


def shown(value, unit):
    """A figure as the table has it."""
    if not is_number(value):
        return value or ""
    if unit == "B":
        return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.1f} KB"
    if unit == "ms":
        return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"
    if unit == "MiB":
        return f"{value:.0f}"
    return f"{value:.2f} {unit}".strip()


def goal_of(figure, round_trip):
    if figure.goal is None:
        return ""
    if figure.reference is None:
        return "≤ " + shown(figure.bound(round_trip), figure.unit)
    return f"≤ {figure.goal:g} × {figure.reference}"


def said_of(facts):
    versions = "; ".join(f"{name}: {version}" for name, version in facts["versions"].items())
    rounds = f"{facts['rounds']} round" + ("s" if facts["rounds"] > 1 else "")
    return f"{facts['machine']}; {rounds}{', reduced sizes' if facts['quick'] else ''}; {versions}"
