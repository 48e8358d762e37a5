"""What a workload is, and what its figures are compared with."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    row: int
    name: str
    title: str
    unit: str
    """"s" and "ms" are times, "B" bytes, "" a number."""
    reference: str | None
    """The system that the factor is against, or None where `goal` is a figure itself."""
    goal: float | None
    """The factor that is allowed, or the figure; None where a figure is only shown."""
    round_trips: int = 0
    """How many round trips a goal that is a figure in ms grows by."""

    def bound(self, round_trip_ms):
        """The goal of a figure that has no reference."""
        return None if self.goal is None else self.goal + self.round_trips * round_trip_ms


@dataclass(frozen=True, eq=False)
class Workload:
    """Does one thing on a stage and gives {name of a figure: number}; `limit` does the same with S3 alone."""

    name: str
    run: Callable
    limit: Callable | None
    figures: list
    wire: bool = False
    """True where the bytes that travel are a figure."""
    only: str = ""
    """The one system that can do it, where that is so."""
    needs: str = ""
    """A size that must not be 0."""

    def suits(self, system, sizes):
        if self.needs and not getattr(sizes, self.needs):
            return False
        if self.only and system.name != self.only:
            return False
        if system.name == "limit":
            return self.limit is not None
        return not system.local or any(figure.reference == system.name for figure in self.figures)

    def measure(self, stage):
        return self.limit(stage) if stage.system.name == "limit" else self.run(stage)
