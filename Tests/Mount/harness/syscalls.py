"""System calls that Python's `os` lacks, and the errno a call must fail with."""

import contextlib
import ctypes
import errno
import os

_libc = ctypes.CDLL(None, use_errno=True)

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE = 1, 2, 16
AT_FDCWD = -100


def _checked(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def renameat2(source, target, flags):
    _checked(_libc.renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), ctypes.c_uint(flags)))


def fallocate(descriptor, mode, offset, length):
    _checked(_libc.fallocate(descriptor, mode, ctypes.c_int64(offset), ctypes.c_int64(length)))


class Timestamp(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_int64), ("nanoseconds", ctypes.c_uint32), ("_pad", ctypes.c_int32)]


class Statx(ctypes.Structure):
    _fields_ = [
        ("mask", ctypes.c_uint32), ("block_size", ctypes.c_uint32), ("attributes", ctypes.c_uint64),
        ("links", ctypes.c_uint32), ("uid", ctypes.c_uint32), ("gid", ctypes.c_uint32), ("mode", ctypes.c_uint16),
        ("_pad1", ctypes.c_uint16), ("inode", ctypes.c_uint64), ("size", ctypes.c_uint64), ("blocks", ctypes.c_uint64),
        ("attributes_mask", ctypes.c_uint64), ("atime", Timestamp), ("btime", Timestamp), ("ctime", Timestamp),
        ("mtime", Timestamp), ("_rest", ctypes.c_uint8 * 144),
    ]  # fmt: skip


def statx(path, mask=0x7FF):
    """The kernel's statx of a path, with the usual attributes asked for."""
    answer = Statx()
    _checked(_libc.statx(AT_FDCWD, os.fsencode(path), 0x100, mask, ctypes.byref(answer)))
    return answer


@contextlib.contextmanager
def fails_with(*numbers):
    """The body must fail with one of these errno."""
    try:
        yield
    except OSError as error:
        names = [errno.errorcode[n] for n in numbers]
        assert error.errno in numbers, f"{errno.errorcode.get(error.errno, error.errno)} instead of {names}"
    else:
        raise AssertionError(f"went well instead of failing with {[errno.errorcode[n] for n in numbers]}")


def write_all(path, data, flags=os.O_CREAT | os.O_TRUNC, mode=0o666):
    descriptor = os.open(path, os.O_WRONLY | flags, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def read_all(path):
    with open(path, "rb", buffering=0) as file:
        return file.readall()
