"""All workloads, in the order of the rows of docs/BENCHMARKS.md."""

from . import changing, listing, reading, signed_in, writing

_ALL = reading.WORKLOADS + signed_in.WORKLOADS + writing.WORKLOADS + listing.WORKLOADS + changing.WORKLOADS
WORKLOADS = {workload.name: workload for workload in sorted(_ALL, key=lambda workload: workload.figures[0].row)}
