"""SeaweedFS with one user, and the objects that are measured with."""

import concurrent.futures
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

ACCESS, SECRET, REGION, BUCKET = "benchkey", "benchsecretbenchsecret", "us-east-1", "bench"
READ = "read/"


def program(name):
    """Beside this Python first: the PyPI packages put their programs there."""
    found = shutil.which(name, path=os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
    if not found:
        raise SystemExit(f"bench: {name} is not installed; run scripts/setup --bench")
    return found


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Server:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.port, *others = free_ports(8)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        user = {"name": "bench", "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        (self.folder / "s3.json").write_text(json.dumps({"identities": [user]}))
        names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port.grpc")
        self._process = subprocess.Popen(
            [program("weed"), "-logtostderr=true", "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
             f"-s3.port={self.port}", f"-s3.config={self.folder}/s3.json", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
             "-master.volumeSizeLimitMB=1024", "-volume.max=60", "-volume.minFreeSpace=2GiB",
             *(f"-{name}={port}" for name, port in zip(names, others))],
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=open(self.folder / "log", "ab"), stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.s3 = boto3.client(
            "s3", endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id=ACCESS, aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=16, request_checksum_calculation="when_required"),
        )  # fmt: skip
        self._numbers = itertools.count(1)
        self._wait()

    def _wait(self):
        limit = time.monotonic() + 90
        while True:
            try:
                self.s3.create_bucket(Bucket=BUCKET)
                self.s3.put_object(Bucket=BUCKET, Key="probe", Body=b"x")
                return
            except Exception as reason:  # the server closes connections in many ways while it starts
                if time.monotonic() > limit or self._process.poll() is not None:
                    self.stop()
                    raise SystemExit(f"bench: SeaweedFS did not start, see {self.folder}/log") from reason
                time.sleep(0.5)

    def fresh_prefix(self):
        """A place to write to that never was before: SeaweedFS still tidies up where something was just deleted."""
        prefix = f"write{next(self._numbers)}/"
        self.s3.put_object(Bucket=BUCKET, Key=prefix, Body=b"")
        return prefix

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def list(self, prefix):
        """{key: size}"""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}

    def size(self, key):
        try:
            return self.s3.head_object(Bucket=BUCKET, Key=key)["ContentLength"]
        except self.s3.exceptions.ClientError:
            return None

    def sha256(self, key):
        digest = hashlib.sha256()
        for part in self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].iter_chunks(1 << 20):
            digest.update(part)
        return digest.hexdigest()

    def wipe(self, prefix):
        keys = list(self.list(prefix))
        for start in range(0, len(keys), 1000):
            some = [{"Key": key} for key in keys[start : start + 1000]]
            self.s3.delete_objects(Bucket=BUCKET, Delete={"Objects": some, "Quiet": True})


class Material:
    """Local files to write from, and the same bytes as objects to read: one large, many of 100 KB, a long directory."""

    def __init__(self, folder, small):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.large_size = (128 if small else 1024) << 20
        self.many, self.many_size, self.listed = (100, 100_000, 1000) if small else (1000, 100_000, 10_000)
        self.large, self.small = self.folder / "large.bin", self.folder / "many"
        source, digest = random.Random(1), hashlib.sha256()
        with open(self.large, "wb") as file:
            for _ in range(self.large_size >> 24):
                part = source.randbytes(1 << 24)
                digest.update(part)
                file.write(part)
        self.large_sha256 = digest.hexdigest()
        self.small.mkdir()
        for number in range(self.many):
            (self.small / f"picture {number:04}.jpg").write_bytes(source.randbytes(self.many_size))

    def upload(self, server):
        parallel = TransferConfig(multipart_threshold=64 << 20, multipart_chunksize=64 << 20, max_concurrency=4)
        server.s3.upload_file(str(self.large), BUCKET, READ + "large.bin", Config=parallel)

        def put(key, body):
            server.s3.put_object(Bucket=BUCKET, Key=READ + key, Body=body)

        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            work = [pool.submit(put, f"many/{path.name}", path.read_bytes()) for path in self.small.iterdir()]
            work += [pool.submit(put, f"long/file {number:05}.jpg", b"x" * 100) for number in range(self.listed)]
            for one in work:
                one.result()
