"""Row 14 as users have it: a Cognito session kept on disk, against the AWS of scripts/local-aws."""

import os
import subprocess
import time
from contextlib import contextmanager

from .figures import Figure, Workload
from .line import Line
from .programs import ROOT, free_ports
from .stage import PATIENCE, Wrong

USER = "bench"


class Account:
    """A signed-in user of a local AWS, with the round trip of the stage between the two."""

    def __init__(self, stage, folder):
        self._stage, self._folder = stage, folder
        self._aws, self._conf, self.where = folder / "aws", folder / "mount.conf", stage.mount.where
        (self._port,) = free_ports(1)
        for name in ("home", "run", "cache", "state"):
            (folder / name).mkdir(parents=True, mode=0o700)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "AWS_", "COGNITOFS_"))}
        self._environment |= {"HOME": str(folder / "home"), "COGNITOFS_RUN_DIR": str(folder / "run")}

    def local_aws(self, *words):
        command = [ROOT / "scripts/local-aws", *words, "--state", self._aws]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE)

    def start(self):
        self.local_aws("start", "--port", str(self._port))
        self.local_aws("user", USER)

    def configure(self, port):
        """As the local AWS says, at this port."""
        text = (self._aws / "mount.conf").read_text().replace(f":{self._port}", f":{port}")
        self._conf.write_text(f'{text}\n[cache]\ndirectory = "{self._folder}/cache"\nstate_directory = "{self._folder}/state"\n')

    @contextmanager
    def line(self):
        """A line with the stage's round trip; gives its port."""
        made = Line(self._folder, self._port, self._stage.round_trip_ms)
        try:
            yield made.port
        finally:
            made.stop()

    def run(self, *words, **more):
        command = [self._stage.system.binary, *words, "--config", self._conf]
        subprocess.run(command, check=True, capture_output=True, env=self._environment, timeout=PATIENCE, **more)

    def login(self):
        (password,) = (self._aws / "users").glob(f"{USER}*.password")
        self.run("login", "--username", password.name.removesuffix(".password"), "--password-stdin", input=password.read_bytes())

    @contextmanager
    def mounted(self):
        """Gives the moment at which the mount was asked for, when its daemon has said that it is there."""
        began = time.perf_counter()
        try:
            self.run("mount", self.where)
            yield began
        finally:
            if os.path.ismount(self.where):
                command = [self._stage.system.binary, "umount", self.where]
                subprocess.run(command, check=True, capture_output=True, env=self._environment, timeout=PATIENCE)


def first_byte_signed_in(stage):
    """From `cognitofs mount`, which returns when the mount answers, to the first byte of a file that is not in the cache."""
    account = Account(stage, stage.scratch("account"))
    account.start()
    try:
        with account.line() as port:
            account.configure(port)
            account.login()
            with account.mounted():
                (account.where / "file").write_bytes(b"x" * 100_000)
            subprocess.run(["rm", "-rf", stage.folder / "account/cache"], check=True)
            with account.mounted() as began:
                with open(account.where / "file", "rb", buffering=0) as file:
                    first = file.read(1)
                seconds = time.perf_counter() - began
    finally:
        account.local_aws("stop")
        stage.scratch("account")
    if first != b"x":
        raise Wrong("the first byte is another")
    return {"first_byte": seconds * 1000}


WORKLOADS = [
    Workload("first-byte-signed-in", first_byte_signed_in, None, [
        Figure(14, "first_byte", "mount with a kept sign-in to the first byte of a file", "ms", None, 150, round_trips=3),
    ], only="cognitofs"),
]  # fmt: skip
