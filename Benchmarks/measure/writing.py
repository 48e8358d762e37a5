"""Rows 3, 4, 11, 12: writing. A time "returns" when the program has ended, and is "on S3" when the server shows the bytes."""

import hashlib
import time

from .actions import appended, saved
from .figures import Figure, Workload
from .s3 import Slice, put
from .stage import Wrong, act, given, timed

PART = 16 << 20
LOG = 10 << 20
SAVED = len(saved(0))


def write(stage):
    prefix, large = stage.fresh(), stage.material.large
    with stage.mounted(prefix) as where, stage.metered():
        began = time.perf_counter()
        returns = act("write", where / "out.bin", stage.material.bodies)["seconds"]
        on_s3 = stage.wait(began, lambda: stage.server.s3.size(prefix + "out.bin") == large.size)
    stage.check(prefix, "out.bin", large)
    return given(returns=returns, on_s3=on_s3)


def limit_write(stage):
    def once(connections):
        return stage.client.upload_in_parts(stage.fresh() + "out.bin", stage.material.large, PART, stage.material.bodies, connections)

    with stage.metered():
        return {"on_s3": stage.best((4, 16), once)}


def copy_in(stage):
    prefix, files = stage.fresh(), stage.material.many()
    with stage.mounted(prefix) as where, stage.metered():
        began = time.perf_counter()
        returns = timed("cp", "-r", stage.material.small, where / "many")
        on_s3 = stage.wait(began, lambda: stage.server.s3.count(prefix + "many/") == len(files))
    stage.check_some(prefix, {f"many/{name}": part for name, part in files.items()})
    return given(returns=returns, on_s3=on_s3)


def limit_copy_in(stage):
    def once(connections):
        prefix = stage.fresh()
        requests = [put(prefix + name, part) for name, part in stage.material.many().items()]
        return stage.client.replay(requests, stage.material.bodies, connections)[0]

    with stage.metered():
        return {"on_s3": stage.best((8, 16, 32), once)}


def saves(stage):
    prefix, count = stage.fresh(), stage.sizes.saves
    last = hashlib.sha256(saved(count - 1)).hexdigest()

    def has_last():
        s3 = stage.server.s3
        return s3.size(prefix + "document") == SAVED and s3.sha256(prefix + "document", SAVED) == last

    with stage.mounted(prefix) as where, stage.metered():
        began = time.perf_counter()
        returns = act("saves", where, count)["seconds"]
        on_s3 = stage.wait(began, has_last)
        stage.quiet()
        if act("sha256", where / "document")["sha256"] != last:
            raise Wrong("the last save is not what the mount shows")
    if on_s3 is not None and not has_last():
        raise Wrong("the last save is not what S3 has")
    changes = None if on_s3 is None else stage.cost.changes() / max(1, int(returns))
    return given(returns=returns / count * 1000, on_s3=on_s3, changes=changes)


def appends(stage):
    log, count = Slice(0, LOG), stage.sizes.appends
    prefix = stage.fresh({"log": log})
    added = b"".join(appended(number) for number in range(count))
    size = LOG + len(added)
    with stage.mounted(prefix) as where, stage.metered():
        began = time.perf_counter()
        returns = act("appends", where / "log", count)["seconds"]
        on_s3 = stage.wait(began, lambda: stage.server.s3.size(prefix + "log") == size)
        stage.quiet()
        shown = act("sha256", where / "log")["sha256"]
    expected = hashlib.sha256(stage.material.bytes(log) + added).hexdigest()
    if shown != expected or (on_s3 is not None and stage.server.s3.sha256(prefix + "log", size) != expected):
        raise Wrong("the log is not what was appended")
    sent = None if on_s3 is None else stage.cost.sent / size
    return given(returns=returns / count * 1000, on_s3=on_s3, sent=sent)


WORKLOADS = [
    Workload("write", write, limit_write, [
        Figure(3, "returns", "write {large}, fsync, close: returns", "s", "passthrough", 1.3),
        Figure(3, "on_s3", "write {large}: on S3", "s", "limit", 1.1),
    ]),
    Workload("copy-in", copy_in, limit_copy_in, [
        Figure(4, "returns", "copy {many} files of 100 KB in: returns", "s", "passthrough", 1.5),
        Figure(4, "on_s3", "copy {many} files of 100 KB in: on S3", "s", "limit", 1.2),
    ]),
    Workload("saves", saves, None, [
        Figure(11, "returns", "one of {saves} editor saves: returns", "ms", "passthrough", 1.5),
        Figure(11, "changes", "requests that change S3, for all saves, per second of saving", "", None, 1.2),
        Figure(11, "on_s3", "{saves} editor saves: on S3", "s", None, None),
    ]),
    Workload("appends", appends, None, [
        Figure(12, "returns", "one of {appends} appends of 1 KB to 10 MiB: returns", "ms", "passthrough", 2),
        Figure(12, "sent", "bytes sent for all appends, as a multiple of the file", "", None, 3),
        Figure(12, "on_s3", "{appends} appends: on S3", "s", None, None),
    ], wire=True),
]  # fmt: skip
