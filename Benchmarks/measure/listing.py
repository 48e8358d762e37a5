"""Rows 6 and 7: names."""

import subprocess
import time

from .figures import Figure, Workload
from .server import READ
from .stage import PATIENCE, Wrong, timed


def list_twice(stage, folder, count):
    with stage.mounted(READ) as where, stage.metered():
        figures = {"cold": timed("ls", "-l", where / folder), "again": timed("ls", "-l", where / folder)}
        names = subprocess.run(["ls", where / folder], check=True, capture_output=True, text=True, timeout=PATIENCE).stdout.splitlines()
        if len(set(names)) != count:
            raise Wrong(f"{len(set(names))} of {count} names are there")
    return figures


def list_long(stage):
    return list_twice(stage, "long", stage.sizes.long)


def list_longest(stage):
    return list_twice(stage, "longest", stage.sizes.longest)


def limit_list(stage, prefix, count):
    """All pages of a flat listing, one after another: each needs the token of the one before."""
    with stage.metered():
        began = time.perf_counter()
        pages = list(stage.client.pages(READ + prefix))
        seconds = time.perf_counter() - began
    if sum(page.count(b"<Key>") for page in pages) != count:
        raise Wrong("the limit's listing is not complete")
    return {"cold": seconds}


def limit_list_long(stage):
    return limit_list(stage, "long/", stage.sizes.long)


def limit_list_longest(stage):
    return limit_list(stage, "longest/", stage.sizes.longest)


def find(stage):
    expected = stage.sizes.folders * stage.sizes.each
    with stage.mounted(READ) as where, stage.metered():
        began = time.perf_counter()
        found = subprocess.run(["find", where / "tree", "-type", "f"], check=True, capture_output=True, text=True, timeout=PATIENCE)
        seconds = time.perf_counter() - began
    if found.stdout.count("\n") != expected:
        raise Wrong(f"{found.stdout.count(chr(10))} of {expected} files were found")
    return {"cold": seconds}


def limit_find(stage):
    return limit_list(stage, "tree/", stage.sizes.folders * stage.sizes.each)


WORKLOADS = [
    Workload("list-long", list_long, limit_list_long, [
        Figure(6, "cold", "`ls -l` of {long} files, cold", "s", "limit", 1.3),
        Figure(6, "again", "`ls -l` of {long} files, again", "s", "passthrough", 1.3),
    ]),
    Workload("list-longest", list_longest, limit_list_longest, [
        Figure(6, "cold", "`ls -l` of {longest} files, cold", "s", "limit", 1),
        Figure(6, "again", "`ls -l` of {longest} files, again", "s", "passthrough", 1.3),
    ], needs="longest"),
    Workload("find", find, limit_find, [Figure(7, "cold", "`find` over {folders} directories of {each}, cold", "s", "limit", 1.3)]),
]  # fmt: skip
