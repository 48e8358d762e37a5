"""A server with the material on it and a folder for everything, for as long as a measurement takes."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .material import Material
from .programs import prepare
from .server import READ, Server
from .stage import Stage


class Bench:
    def __init__(self, server, material, folder):
        self.server, self.material, self.folder = server, material, folder

    def stage(self, system, round_trip_ms, wire=False, megabits=0):
        return Stage(system, self.server, self.material, self.folder / system.name, self.server.line(round_trip_ms, megabits, wire))


@contextmanager
def bench(sizes, parent=None, files=None):
    """Everything is removed at the end. `files` are stored instead of all the material, {key below the read prefix: slice}."""
    prepare()
    folder = Path(tempfile.mkdtemp(prefix="cognitofs-bench.", dir=parent))
    try:
        material = Material(folder / "material", sizes)
        server = Server(folder / "server")
        try:
            material.upload(server.s3, READ, material.stored() if files is None else files(material))
            yield Bench(server, material, folder)
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
