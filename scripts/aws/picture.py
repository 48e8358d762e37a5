"""Writes a small real PNG, a sky over hills: picture.py FILE"""

import math
import pathlib
import struct
import sys
import zlib

WIDTH, HEIGHT = 640, 400


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def pixel(x: int, y: int) -> tuple[int, int, int]:
    near = 290 + 30 * math.sin(x / 70) + 12 * math.sin(x / 23)
    far = 230 + 25 * math.sin(x / 110 + 2)
    if y > near:
        return 30, 80 + (y - int(near)) // 4, 40
    if y > far:
        return 70, 115, 90
    if math.hypot(x - 480, y - 90) < 36:
        return 255, 236, 170
    return 90 + y // 3, 150 + y // 4, 235


def png() -> bytes:
    # Each row starts with its filter type; 0 is none.
    rows = (b"\0" + bytes(value for x in range(WIDTH) for value in pixel(x, y)) for y in range(HEIGHT))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


if __name__ == "__main__":
    pathlib.Path(sys.argv[1]).write_bytes(png())
