"""Rows 10, 13, 15: renaming, removing, and copying within the mount."""

import time

from .figures import Figure, Workload
from .s3 import Slice, copy
from .stage import Wrong, act, given, names_in, timed

FOLDERS = 10  # that the removed files are spread over
COPIES = 32  # connections on which the server is asked for copies


def moved(stage, files):
    """Renames `old` to `new`, below which these files are: milliseconds until it returns, seconds until S3 has it so."""
    prefix = stage.fresh({f"old{name}": part for name, part in files.items()})
    with stage.mounted(prefix) as where:
        (where / "old").stat()
        if (where / "old").is_dir():
            names_in(where / "old")
        with stage.metered():
            began = time.perf_counter()
            returns = act("rename", where / "old", where / "new")["seconds"]
            s3 = stage.server.s3
            on_s3 = stage.wait(began, lambda: not s3.has_any(prefix + "old") and s3.count(prefix + "new") == len(files))
    stage.check_some(prefix, {f"new{name}": part for name, part in files.items()})
    return given(returns=returns * 1000, on_s3=on_s3)


def limit_moved(stage, files):
    """Copies made by the server, many at once, then DeleteObjects."""
    prefix = stage.fresh({f"old{name}": part for name, part in files.items()})
    copies = [copy(f"{prefix}new{name}", f"{prefix}old{name}") for name in files]
    with stage.metered():
        seconds, _ = stage.client.replay(copies, stage.material.bodies, COPIES)
        began = time.perf_counter()
        stage.client.delete([f"{prefix}old{name}" for name in files])
        return {"on_s3": seconds + time.perf_counter() - began}


def one_file(stage):
    return {"": Slice(0, stage.sizes.moved)}


def hundred(stage):
    return stage.material.tiny("/file {:03}.jpg", 100)


def thousands(stage):
    return stage.material.tiny("/file {:05}.jpg", stage.sizes.moved_many)


def remove(stage):
    prefix = stage.fresh(to_remove(stage))
    with stage.mounted(prefix) as where, stage.metered():
        began = time.perf_counter()
        returns = timed("rm", "-r", where / "all")
        on_s3 = stage.wait(began, lambda: not stage.server.s3.has_any(prefix + "all/"))
        if names_in(where):
            raise Wrong("something is left")
    return given(returns=returns, on_s3=on_s3)


def to_remove(stage):
    each = max(1, stage.sizes.many // FOLDERS)
    return {name: part for folder in range(FOLDERS) for name, part in stage.material.tiny(f"all/{folder}/{{:03}}.jpg", each).items()}


def limit_remove(stage):
    prefix = stage.fresh(to_remove(stage))
    with stage.metered():
        began = time.perf_counter()
        stage.client.delete(stage.client.keys(prefix + "all/"))
        return {"on_s3": time.perf_counter() - began}


def copy_within(stage):
    part = Slice(0, stage.sizes.copied)
    prefix = stage.fresh({"original": part})
    with stage.mounted(prefix) as where, stage.metered():
        began = time.perf_counter()
        returns = timed("cp", where / "original", where / "copy")
        on_s3 = stage.wait(began, lambda: stage.server.s3.size(prefix + "copy") == part.size)
    stage.check(prefix, "copy", part)
    return given(returns=returns, on_s3=on_s3, carried=stage.cost.sent + stage.cost.received)


def rename_figures(what):
    return [
        Figure(10, "returns", f"rename {what}: returns", "ms", "passthrough", 3),
        Figure(10, "on_s3", f"rename {what}: on S3", "s", "limit", 1.2),
    ]


WORKLOADS = [
    Workload("rename-file", lambda s: moved(s, one_file(s)), lambda s: limit_moved(s, one_file(s)), rename_figures("a file of {moved}")),
    Workload("rename-100", lambda s: moved(s, hundred(s)), lambda s: limit_moved(s, hundred(s)), rename_figures("a directory of 100")),
    Workload("rename-many", lambda s: moved(s, thousands(s)), lambda s: limit_moved(s, thousands(s)), rename_figures("a directory of {moved_many}")),
    Workload("remove", remove, limit_remove, [
        Figure(13, "returns", "`rm -r` of {many} files: returns", "s", "passthrough", 1.5),
        Figure(13, "on_s3", "`rm -r` of {many} files: on S3", "s", "limit", 1.3),
    ]),
    Workload("copy-within", copy_within, None, [
        Figure(15, "carried", "`cp` of {copied} within the mount: bytes over the wire", "B", None, 1_000_000),
        Figure(15, "returns", "`cp` of {copied} within the mount: returns", "s", None, None),
        Figure(15, "on_s3", "`cp` of {copied} within the mount: on S3", "s", None, None),
    ], wire=True),
]  # fmt: skip
