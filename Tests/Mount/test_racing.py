"""Two machines and somebody else, all on the same hundred names: nothing is lost, and all see the same at the end.

COGNITOFS_RACE_SECONDS says for how long.
"""

import errno
import json
import os
import random
import time

import pytest

from harness.child import Background, eventually
from harness.syscalls import read_all

SECONDS = float(os.environ.get("COGNITOFS_RACE_SECONDS", "30"))
NAMES = [f"name {n}.txt" for n in range(100)]


def body(writer, number, over):
    """A content that tells who wrote it and what the writer saw before."""
    head = json.dumps({"id": f"{writer}-{number}", "over": over}).encode() + b"\n"
    return head + random.Random(f"{writer}-{number}").randbytes(random.Random(number).choice([10, 3_000, 90_000]))


def identity(content):
    return json.loads(content.split(b"\n", 1)[0])["id"] if content else None


class Told:
    """What one writer was told is stored: id -> (name, the id it replaced)."""

    def __init__(self, writer, seed):
        self.writer, self.random, self.stored, self.number = writer, random.Random(seed), {}, 0

    def until(self, limit, step):
        while time.monotonic() < limit:
            name = self.random.choice(NAMES)
            self.number += 1
            try:
                over = step(name, self.number)
            except OSError as error:
                # The version that was open is gone: nothing was written.
                if error.errno != errno.ESTALE:
                    raise
                over = False
            if over is not False:
                self.stored[f"{self.writer}-{self.number}"] = (name, over)
            time.sleep(self.random.random() * 0.15)
        return self.stored


def edit_here(folder, writer, limit, seed):
    """Reads a file and writes it anew through one handle, which shows one version from open to close."""
    def step(name, number):
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            former = os.pread(descriptor, 1 << 20, 0)
            over = identity(former)
            new = body(writer, number, over)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, new, 0)
        finally:
            os.close(descriptor)
        return over

    return Told(writer, seed).until(limit, step)


def edit_there(bucket, prefix, writer, limit, seed):
    """Somebody who asks nobody: overwrites and deletes what is there."""
    gone = []

    def step(name, number):
        if number % 7 == 0:
            bucket.delete(prefix + name)
            gone.append(name)
            return False
        bucket.put(prefix + name, body(writer, number, "anything"))
        return "anything"

    return Told(writer, seed).until(limit, step)


def history(bucket, prefix):
    """{key: [content of each version, oldest first; None for a deletion]}."""
    found = {}
    for page in bucket.s3.get_paginator("list_object_versions").paginate(Bucket=bucket.name, Prefix=prefix):
        for kind in ("Versions", "DeleteMarkers"):
            for version in page.get(kind, []):
                found.setdefault(version["Key"], []).append((version["LastModified"], version["VersionId"], kind))
    contents = {}
    for key, versions in found.items():
        # The order of the server, where the times are equal.
        contents[key] = [
            (moment, bucket.s3.get_object(Bucket=bucket.name, Key=key, VersionId=which)["Body"].read() if kind == "Versions" else None)
            for moment, which, kind in sorted(versions[::-1], key=lambda v: v[0])
        ]
    return contents


def mount_as(person, host):
    """A mount on a machine of another name."""
    person.count += 1
    where = person.root / f"m{person.count}"
    options = ["-o", "durability=local,freshness=1"]
    started = ["unshare", "--uts", "sh", "-c", 'hostname "$1"; shift; exec "$@"', "sh", host]
    return person.start([*started, person.binary, "mount", where, "--config", person.conf, "--foreground", *options], where)


@pytest.mark.within(SECONDS + 150)
def test_two_machines_and_somebody_else(people, bucket):
    """Everything that anybody was told is stored has been on S3 under some name; what was replaced was seen by who replaced it."""
    left = people()
    right = people(account=left.account)
    mounts = {"left": mount_as(left, "left"), "right": mount_as(right, "right")}
    prefix, limit = left.account.prefix, time.monotonic() + SECONDS
    work = {name: Background(edit_here, mounted.path, name, limit, name) for name, mounted in mounts.items()}
    work["phone"] = Background(edit_there, bucket.as_it_is, prefix, "phone", limit, 3)
    told = {name: writing.result(within=SECONDS + 40) for name, writing in work.items()}
    for mounted in mounts.values():
        mounted.person.run("sync", mounted.path, within=60, check=True)
    assert all(len(stored) > SECONDS for stored in told.values()), "hardly anything was written: nothing is shown"
    contents = history(bucket, prefix)
    on_s3 = {identity(content) for versions in contents.values() for _, content in versions if content}
    everything = {id: where for stored in told.values() for id, where in stored.items()}
    lost = []
    for id, (name, _) in everything.items():
        if id in on_s3:
            continue
        # Saved again by the same writer before it was sent.
        writer = id.split("-")[0]
        if not any(over == id for other, (_, over) in told[writer].items()):
            lost.append((id, name))
    assert not lost, f"told to be stored, and never on S3: {lost}"

    blind, conflicts = [], 0
    for key, versions in contents.items():
        conflicts += "(conflict from" in key
        for (_, former), (_, latter) in zip(versions, versions[1:]):
            if not former or not latter:
                continue
            old, new = identity(former), identity(latter)
            if new.startswith("phone") or old == new:
                continue
            seen, writer = everything[new][1], new.split("-")[0]
            while seen != old and seen and seen.split("-")[0] == writer:
                seen = everything[seen][1]
            if seen != old and not old.startswith(writer):
                blind.append((key[len(prefix) :], f"{new} over {old}, which had seen {everything[new][1]}"))
    assert not blind, f"replaced by who had not seen it: {blind}"
    assert conflicts, "no conflict came up: nothing is shown"

    def converged():
        names = {key[len(prefix) :] for key in bucket.list(prefix)}
        for mounted in mounts.values():
            assert set(os.listdir(mounted.path)) == names
            for name in names:
                assert read_all(mounted.path / name) == bucket.get(prefix + name), f"{mounted.path / name} differs"
        return True

    eventually(converged, within=20)
    print(f"{len(everything)} writes, {conflicts} conflicts")
