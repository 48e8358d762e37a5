"""How each file system is mounted, in the foreground, on an object prefix."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from .programs import ROOT, cpu_seconds, daemon, peak_mib, program
from .s3 import ACCESS, BUCKET, REGION, SECRET


class System:
    """A way to mount a prefix of the bucket that S3 is spoken for at `endpoint`."""

    name = ""
    local = False
    """True when there is no S3 below: then a prefix is a folder of the local disk."""
    settle = 0.5
    """Seconds after the last close until the cache folder holds what the next mount may use."""

    def version(self):
        done = subprocess.run(self.version_command(), capture_output=True, text=True, timeout=20)
        return (done.stdout + done.stderr).strip().splitlines()[0].split(" (")[0]

    def environment(self, endpoint):
        return {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}


class Cognitofs(System):
    name = "cognitofs"

    def __init__(self):
        named = os.environ.get("COGNITOFS_BINARY")
        places = [Path(named)] if named else [ROOT / "dist/cognitofs", ROOT / ".build/release/cognitofs"]
        self.binary = next((place for place in places if os.access(place, os.X_OK)), None)
        if self.binary is None:
            raise SystemExit("bench: no cognitofs; run scripts/build, or set COGNITOFS_BINARY")

    def version_command(self):
        return [self.binary, "--version"]

    def command(self, endpoint, prefix, where, folder):
        return [
            self.binary, "mount", f"s3://{BUCKET}/{prefix}", where, "--endpoint", endpoint, "--region", REGION,
            "--credentials", "environment", "--cache-dir", folder / "cache", "--state-dir", folder / "state", "--foreground",
        ]  # fmt: skip


class S3fs(System):
    name = "s3fs"

    def version_command(self):
        return [program("s3fs"), "--version"]

    def command(self, endpoint, prefix, where, folder):
        secret = folder / "passwd"
        secret.touch(mode=0o600)
        secret.write_text(f"{ACCESS}:{SECRET}\n")
        options = [
            f"passwd_file={secret}", f"url={endpoint}", "use_path_request_style", f"endpoint={REGION}", f"use_cache={folder}/cache",
            "parallel_count=8", "multireq_max=32", "max_stat_cache_size=300000",
        ]  # fmt: skip
        return [program("s3fs"), f"{BUCKET}:/{prefix.rstrip('/')}", where, "-f", "-o", ",".join(options)]


class Rclone(System):
    """Set to upload at once and to take times from the listing; as it comes it waits 5 s and asks for each file's time."""

    name = "rclone"
    settle = 7  # it keeps files open for 5 s, and forgets what it cached when it is unmounted sooner

    def version_command(self):
        return [program("rclone"), "version"]

    def environment(self, endpoint):
        remote = dict(
            TYPE="s3", PROVIDER="SeaweedFS", ENDPOINT=endpoint, ACCESS_KEY_ID=ACCESS, SECRET_ACCESS_KEY=SECRET, REGION=REGION,
            NO_CHECK_BUCKET="true", FORCE_PATH_STYLE="true",
        )  # fmt: skip
        return {"RCLONE_CONFIG": os.devnull} | {f"RCLONE_CONFIG_B_{name}": value for name, value in remote.items()}

    def command(self, endpoint, prefix, where, folder):
        return [
            program("rclone"), "mount", f"b:{BUCKET}/{prefix}", where, "--vfs-cache-mode", "full", "--cache-dir", folder / "cache",
            "--use-server-modtime", "--vfs-write-back", "0s", "--vfs-fast-fingerprint", "--transfers", "16",
            "--s3-upload-concurrency", "8", "--s3-chunk-size", "16M",
        ]  # fmt: skip


class Geesefs(System):
    """Only where it is installed: it is in no package archive."""

    name = "geesefs"

    def version_command(self):
        return [program("geesefs"), "--version"]

    def command(self, endpoint, prefix, where, folder):
        return [
            program("geesefs"), "-f", "--endpoint", endpoint, "--region", REGION, "--cache", folder / "cache", "--memory-limit", "1000",
            "--entry-limit", "300000", "--print-stats", "0", f"{BUCKET}:{prefix.rstrip('/')}", where,
        ]  # fmt: skip


class Passthrough(System):
    """libfuse's own example over the local disk: what a file system costs that does nothing itself."""

    name = "passthrough"
    local = True

    def version_command(self):
        return [program("fusermount3"), "--version"]

    def command(self, endpoint, prefix, where, folder):
        source = folder / "disk" / prefix.rstrip("/")
        return [program("passthrough_ll"), "-f", "-o", f"source={source},cache=auto", where]


class Limit:
    """No file system: Benchmarks/programs/replay.c, driven by what a workload says the least is."""

    name = "limit"
    local = False

    def version(self):
        return "replay.c"


SYSTEMS = {system.name: system for system in (Cognitofs, Limit, Passthrough, S3fs, Rclone, Geesefs)}


def installed():
    return [name for name in SYSTEMS if name != "geesefs" or shutil.which("geesefs")]


class Mount:
    """One daemon of a system, with a cache folder of its own, on the server at `endpoint`."""

    def __init__(self, system, endpoint, folder):
        self.system, self.endpoint, self.folder = system, endpoint, Path(folder)
        self.where = self.folder / "mnt"
        self.where.mkdir(parents=True, exist_ok=True)
        self.cold_files = []
        """More files whose pages are dropped before each start."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, prefix, cold):
        if cold:
            subprocess.run(["rm", "-rf", self.folder / "cache", self.folder / "state"], check=True)
        for name in ("cache", "state"):
            (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        command = self.system.command(self.endpoint, prefix, self.where, self.folder)
        os.sync()
        self._drop_pages()
        self.began = time.perf_counter()
        self.process = daemon(
            command, stdout=open(self.folder / "log", "ab"), stderr=subprocess.STDOUT, env=os.environ | self.system.environment(self.endpoint)
        )
        limit = time.monotonic() + 30
        while not os.path.ismount(self.where):
            if self.process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"{self.system.name} did not mount, see {self.folder}/log")
            time.sleep(0.002)
        return self

    def _drop_pages(self):
        """Of this client's own files; the server's stay warm."""
        kept = [path for path in (self.folder / "cache").rglob("*") if path.is_file()]
        for path in kept + self.cold_files:
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def peak_mib(self):
        """The most memory the daemon has had so far; each start is a new daemon."""
        return peak_mib(self.process.pid)

    def settle(self):
        time.sleep(self.system.settle)

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
