"""How each file system is mounted, in the foreground, on an object prefix."""

import os
import re
import subprocess
import time
from pathlib import Path

from .server import ACCESS, BUCKET, REGION, SECRET, program


class System:
    name = ""
    settle = 0.5
    """Seconds after the last close until the cache folder holds what the next mount may use."""

    def version(self):
        done = subprocess.run(self.version_command(), capture_output=True, text=True, timeout=20)
        return (done.stdout + done.stderr).strip().splitlines()[0][:80]

    def environment(self, server, folder):
        return {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}


class Cognitofs(System):
    name = "cognitofs"

    def __init__(self):
        root = Path(__file__).resolve().parents[2]
        named = os.environ.get("COGNITOFS_BINARY")
        places = [Path(named)] if named else [root / "dist/cognitofs", root / ".build/release/cognitofs"]
        self.binary = next((place for place in places if os.access(place, os.X_OK)), None)
        if self.binary is None:
            raise SystemExit("bench: no cognitofs; run scripts/build, or set COGNITOFS_BINARY")

    def version_command(self):
        return [self.binary, "--version"]

    def command(self, server, prefix, where, folder):
        return [
            self.binary, "mount", f"s3://{BUCKET}/{prefix}", where, "--endpoint", server.endpoint, "--region", REGION,
            "--credentials", "environment", "--cache-dir", folder / "cache", "--state-dir", folder / "state", "--foreground",
            # As s3fs does: close returns when S3 has the file.
            "-o", "durability=remote",
        ]  # fmt: skip


class S3fs(System):
    name = "s3fs"

    def version_command(self):
        return [program("s3fs"), "--version"]

    def command(self, server, prefix, where, folder):
        secret = folder / "passwd"
        secret.touch(mode=0o600)
        secret.write_text(f"{ACCESS}:{SECRET}\n")
        options = [
            f"passwd_file={secret}", f"url={server.endpoint}", "use_path_request_style", f"endpoint={REGION}", f"use_cache={folder}/cache",
            "parallel_count=8", "multireq_max=32", "max_stat_cache_size=300000",
        ]  # fmt: skip
        return [program("s3fs"), f"{BUCKET}:/{prefix.rstrip('/')}", where, "-f", "-o", ",".join(options)]


class Rclone(System):
    """Set to upload at once and to take times from the listing; as it comes it waits 5 s and asks for each file's time."""

    name = "rclone"
    settle = 7  # it keeps files open for 5 s, and forgets what it cached when it is unmounted sooner

    def version_command(self):
        return [program("rclone"), "version"]

    def environment(self, server, folder):
        remote = dict(
            TYPE="s3", PROVIDER="SeaweedFS", ENDPOINT=server.endpoint, ACCESS_KEY_ID=ACCESS, SECRET_ACCESS_KEY=SECRET, REGION=REGION,
            NO_CHECK_BUCKET="true", FORCE_PATH_STYLE="true",
        )  # fmt: skip
        return {"RCLONE_CONFIG": os.devnull} | {f"RCLONE_CONFIG_B_{name}": value for name, value in remote.items()}

    def command(self, server, prefix, where, folder):
        return [
            program("rclone"), "mount", f"b:{BUCKET}/{prefix}", where, "--vfs-cache-mode", "full", "--cache-dir", folder / "cache",
            "--use-server-modtime", "--vfs-write-back", "0s", "--vfs-fast-fingerprint", "--transfers", "16",
            "--s3-upload-concurrency", "8", "--s3-chunk-size", "16M",
        ]  # fmt: skip


SYSTEMS = {system.name: system for system in (Cognitofs, S3fs, Rclone)}


class Mount:
    """One daemon of a system, with a cache folder of its own."""

    def __init__(self, system, server, folder):
        self.system, self.server, self.folder = system, server, Path(folder)
        self.where = self.folder / "mnt"
        self.where.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, prefix, cold):
        if cold:
            subprocess.run(["rm", "-rf", self.folder / "cache", self.folder / "state"], check=True)
        for name in ("cache", "state"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        os.sync()
        self._drop_pages()
        self.process = subprocess.Popen(
            self.system.command(self.server, prefix, self.where, self.folder), stdin=subprocess.DEVNULL,
            stdout=open(self.folder / "log", "ab"), stderr=subprocess.STDOUT,
            env=os.environ | self.system.environment(self.server, self.folder), start_new_session=True,
        )  # fmt: skip
        limit = time.monotonic() + 30
        while not os.path.ismount(self.where):
            if self.process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"{self.system.name} did not mount, see {self.folder}/log")
            time.sleep(0.01)
        return self

    def _drop_pages(self):
        """Of this client's own files; the server's stay warm."""
        for path in (self.folder / "cache").rglob("*"):
            if path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)

    def peak_mib(self):
        """The most memory the daemon has had so far; each start is a new daemon."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024

    def stop(self):
        limit = time.monotonic() + 60
        while os.path.ismount(self.where) and time.monotonic() < limit:
            if subprocess.run(["fusermount3", "-u", self.where], capture_output=True, timeout=60).returncode:
                time.sleep(0.2)
        if os.path.ismount(self.where):
            subprocess.run(["umount", "-l", self.where], capture_output=True, timeout=60)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
