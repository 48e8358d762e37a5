"""Photographs made from a seed: valid JPEG and PNG files whose bytes are as good as random."""

import random
import struct
import unicodedata
import zlib
from dataclasses import dataclass

# The shortest baseline JPEG: one grey block of 8 by 8. A comment segment before it carries the random bytes.
_TABLES = bytes.fromhex(
    "ffdb004300" + "01" * 64
    + "ffc0000b080008000801011100"
    + "ffc4001400010000000000000000000000000000000000"
    + "ffc4001410010000000000000000000000000000000000"
    + "ffda0008010100003f00"
)  # fmt: skip


def jpeg(source, size):
    """A JPEG of about `size` bytes, its weight in application segments as cameras put their previews there."""
    parts, left = [b"\xff\xd8", b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"], size - 200
    while left > 0:
        piece = source.randbytes(min(left, 65000))
        parts.append(b"\xff\xe7" + struct.pack(">H", len(piece) + 2) + piece)
        left -= len(piece) + 4
    return b"".join(parts) + _TABLES + b"\x3f\xff\xd9"


def png(source, size):
    """A PNG of about `size` bytes: noise, stored without compression."""
    width = 64
    height = max(1, (size - 80) // (width * 3 + 1))
    rows = b"".join(b"\0" + source.randbytes(width * 3) for _ in range(height))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")
    )


@dataclass(frozen=True)
class Picture:
    path: str
    """Relative, with folders, as a person would name it."""
    content: bytes

    @property
    def content_type(self):
        return "image/jpeg" if self.path.lower().endswith((".jpg", ".jpeg")) else "image/png"


_WORDS = [
    "summer", "grand père", "Zoë & Tom", "50% off", "a+b", "100%25", "日本 旅行", "🏖️ beach", "rain;again", "it's",
    'the "best"', "#1", "who?", "[x]", "tilde~", "comma,", "semi=colon", "  two spaces", "ÅÄÖ", "e\u0301te\u0301",
]  # fmt: skip


def album(count, seed=7, smallest=2_000, largest=300_000, typical=40_000):
    """`count` pictures in folders; sizes from `smallest` to `largest` with most of them near `typical`."""
    source = random.Random(seed)
    folders = ["2023/summer", "2023/Noël + family", "2024/50% 🏖️", "2024/日本 旅行", "2025/e\u0301te\u0301", "2025", "."]
    made, taken = [], set()
    for number in range(count):
        word = source.choice(_WORDS)
        if number % 10 == 3:
            word = unicodedata.normalize("NFD" if number % 20 == 3 else "NFC", "été à la plage")
        kind = source.choice(["jpg", "jpg", "JPG", "jpeg", "png"])
        folder = source.choice(folders)
        name = f"{word} {number:04}.{kind}" if number % 3 else f"IMG_{number:04}.{kind}"
        path = name if folder == "." else f"{folder}/{name}"
        size = smallest if number == 0 else largest if number == 1 else _size(source, smallest, largest, typical)
        make = png if kind == "png" else jpeg
        assert path not in taken
        taken.add(path)
        made.append(Picture(path, make(source, size)))
    # The same word in both spellings of Unicode, in one folder: two files.
    for form in ("NFC", "NFD"):
        made.append(Picture("2025/" + unicodedata.normalize(form, "café.jpg"), jpeg(source, 3000 + len(form) * 7)))
    return made


def _size(source, smallest, largest, typical):
    return int(min(largest, max(smallest, source.lognormvariate(0, 0.8) * typical)))
