"""What is measured with: one file of random bytes, and everything else as slices of it, on the server and on the local disk."""

import hashlib
import mmap
import random
from dataclasses import asdict, dataclass
from pathlib import Path

from .s3 import Slice, put

SMALL = 100_000
"""Bytes of a small file, such as a reduced photograph."""


@dataclass(frozen=True)
class Sizes:
    large: int = 1 << 30
    many: int = 1000
    long: int = 10_000
    longest: int = 100_000
    folders: int = 200
    each: int = 50
    pictures: int = 500
    randoms: int = 200
    cached_randoms: int = 2000
    moved: int = 100 << 20
    moved_many: int = 10_000
    saves: int = 100
    appends: int = 200
    copied: int = 500_000_000

    def words(self):
        """For titles: counts with commas, bytes in units."""

        def said(name, value):
            if name not in ("large", "moved", "copied"):
                return f"{value:,}"
            if value % (1 << 30) == 0:
                return f"{value >> 30} GiB"
            return f"{value >> 20} MiB" if value % (1 << 20) == 0 else f"{value // 1_000_000} MB"

        return {name: said(name, value) for name, value in asdict(self).items()}


FULL = Sizes()
QUICK = Sizes(
    large=128 << 20, many=200, long=2000, longest=0, folders=50, each=20, pictures=60, randoms=40, cached_randoms=300,
    moved=32 << 20, moved_many=500, saves=20, appends=30, copied=64_000_000,
)  # fmt: skip
PICTURE = 2 << 20


class Material:
    def __init__(self, folder, sizes):
        self.folder, self.sizes = Path(folder), sizes
        self.folder.mkdir(parents=True)
        self.bodies = self.folder / "bodies"
        source = random.Random(1)
        with open(self.bodies, "wb") as file:
            for _ in range(sizes.large >> 22):
                file.write(source.randbytes(1 << 22))
        with open(self.bodies, "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.large = Slice(0, sizes.large)
        self.small = self.folder / "many"
        self.write(self.small, self.many())

    def _numbered(self, pattern, count, size):
        """So many slices, one after another, from the start again at the end of the bytes."""
        room = self.sizes.large // size
        return {pattern.format(number): Slice(number % room * size, size) for number in range(count)}

    def many(self):
        return self._numbered("picture {:04}.jpg", self.sizes.many, SMALL)

    def tiny(self, pattern, count):
        return self._numbered(pattern, count, 100)

    def stored(self):
        """{key below the read prefix: slice} of all that is read and never written."""
        sizes, found = self.sizes, {"large.bin": self.large}
        found |= {f"many/{name}": part for name, part in self.many().items()}
        found |= self.tiny("long/file {:05}.jpg", sizes.long) | self.tiny("longest/file {:06}.jpg", sizes.longest)
        for number in range(sizes.folders):
            found |= self.tiny(f"tree/{number:03}/{{:02}}.jpg", sizes.each)
        return found | self._numbered("pictures/{:04}.jpg", sizes.pictures, PICTURE)

    def upload(self, client, prefix, files):
        """As objects below a prefix."""
        client.replay([put(prefix + name, part) for name, part in files.items()], self.bodies, 16)

    def write(self, folder, files):
        """The same files on the local disk."""
        made = set()
        for name, part in files.items():
            path = folder / name
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            path.write_bytes(self.bytes(part))

    def bytes(self, part):
        return self._bytes[part.offset : part.offset + part.size]

    def sha256(self, part):
        with memoryview(self._bytes) as view:
            return hashlib.sha256(view[part.offset : part.offset + part.size]).hexdigest()
