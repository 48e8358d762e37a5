"""Credentials and tokens that end while the mount is at work."""

import hashlib
import os
import random
import time
from types import SimpleNamespace

import pytest

from harness import child
from harness.child import Background
from harness.person import People
from harness.syscalls import read_all

LENGTH = 56 << 20
RATE = 900_000  # bytes a second on the wire: the work outlasts several renewals
WORK = 66  # seconds


@pytest.fixture(scope="module")
def short_lives(aws, wire):
    """A person whose credentials live 20 s and whose tokens live 60 s."""
    aws.settings(credential_seconds=20, token_seconds=60)
    made = People(aws)
    try:
        one = made(wire=wire)
        aws.bucket.put(one.account.prefix + "long", content())
        mark = wire.mark()
        mounted = one.mount()
        wire.order(f"rate {RATE}")
        began = time.monotonic()
        reading = Background(read_slowly, mounted.path / "long")
        writing = Background(copy_many, mounted.path, began + WORK)
        read, written = outcome(reading), outcome(writing)
        wire.order("rate 0")
        yield SimpleNamespace(
            read=read, written=written, seconds=time.monotonic() - began, person=one, people=made, mounted=mounted, requests=wire.requests(mark)
        )
    finally:
        wire.order("rate 0")
        aws.settings(credential_seconds=0, token_seconds=0)
        made.leave()


def outcome(background):
    try:
        return background.result(within=WORK + 60)
    except child.Failed as failure:
        return failure


def content():
    return random.Random(9).randbytes(LENGTH)


def read_slowly(path):
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def copy_many(folder, limit):
    written = {}
    number = 0
    while time.monotonic() < limit:
        body = random.Random(number).randbytes(150_000)
        with open(folder / f"file {number}", "wb") as file:
            file.write(body)
        written[f"file {number}"] = hashlib.sha256(body).hexdigest()
        number += 1
        time.sleep(0.2)
    return written


def renewals(requests, target):
    return [r.time for r in requests if r.target == target]


@pytest.mark.within(20)
def test_a_long_read_goes_on(short_lives):
    """Credentials that live 20 s: a long read goes on across many renewals."""
    assert short_lives.read == hashlib.sha256(content()).hexdigest()
    assert short_lives.seconds > 60


@pytest.mark.within(20)
def test_a_long_copy_goes_on(short_lives, bucket):
    """Credentials that live 20 s: a long copy goes on across many renewals, and each file is whole."""
    written = short_lives.written
    assert isinstance(written, dict), written
    assert len(written) > 20
    for name, digest in written.items():
        assert hashlib.sha256(bucket.get(short_lives.person.account.prefix + name)).hexdigest() == digest


def test_credentials_were_renewed_many_times(short_lives):
    """Credentials are renewed before they end, once for all callers."""
    moments = renewals(short_lives.requests, "GetCredentialsForIdentity")
    assert len(moments) >= 3
    assert len(moments) <= short_lives.seconds, "more than one renewal a second: not once for all callers"


def test_tokens_were_refreshed(short_lives):
    """Tokens that live 60 s: the same."""
    refreshed = renewals(short_lives.requests, "GetTokensFromRefreshToken") + renewals(short_lives.requests, "InitiateAuth")
    assert refreshed


def test_the_mount_still_works(short_lives):
    """After it all the mount lists, reads and writes as before."""
    folder = short_lives.mounted.path
    with open(folder / "after", "wb") as file:
        file.write(b"after")
    assert read_all(folder / "after") == b"after"
    assert {"after", "long"} <= set(os.listdir(folder))
