"""The C library by ctypes: one place that knows how errors come back.

Promises: a failing call raises `OSError` with the right errno.  Does not wrap what `os` already has.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_LIBC.prctl.restype = ctypes.c_int
_LIBC.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


class _Mallinfo(ctypes.Structure):
    # The members before `keepcost`, the bytes free at the end of the heap.
    _fields_ = [("others", ctypes.c_size_t * 9), ("keepcost", ctypes.c_size_t)]


_LIBC.malloc.restype, _LIBC.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
_LIBC.free.restype, _LIBC.free.argtypes = None, (ctypes.c_void_p,)
_LIBC.sbrk.restype, _LIBC.sbrk.argtypes = ctypes.c_void_p, (ctypes.c_ssize_t,)
if hasattr(_LIBC, "mallinfo2"):  # glibc 2.33
    _LIBC.mallinfo2.restype = _Mallinfo

MACHINE = os.uname().machine

_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_SYNC_FILE_RANGE_WRITE = 2
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def _failed(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def system_call(name: str, number: int, *arguments: object) -> int:
    """Make system call `number`; `name` is for the error text only."""
    result = int(_LIBC.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise _failed(name)
    return result


def prctl(name: str, option: int, *arguments: int) -> int:
    """Call prctl(2) with up to four integer arguments; the rest are zero, as several options demand."""
    padded = (*arguments, 0, 0, 0, 0)[:4]
    result = int(_LIBC.prctl(ctypes.c_int(option), *(ctypes.c_ulong(value) for value in padded)))
    if result < 0:
        raise _failed(name)
    return result


def set_no_new_privileges() -> None:
    """Give up gaining rights by exec for this process and its children (prctl PR_SET_NO_NEW_PRIVS)."""
    prctl("no_new_privs", _PR_SET_NO_NEW_PRIVS, 1)


def set_not_dumpable() -> None:
    """No core files, no ptrace by processes of the same uid (prctl PR_SET_DUMPABLE)."""
    prctl("dumpable", _PR_SET_DUMPABLE, 0)


def start_writeback(descriptor: int) -> None:
    """Start writing a file's dirty pages without waiting for them (sync_file_range(2))."""
    if _LIBC.sync_file_range(descriptor, 0, 0, _SYNC_FILE_RANGE_WRITE) < 0:
        raise _failed("sync_file_range")


def return_freed_blocks(size: int) -> None:
    """Give blocks of `size` bytes and more back to the system as soon as they are freed (mallopt(3)).

    As shipped the allocator raises that size to that of the largest block which was freed, and keeps what lies between
    small blocks that live on: the memory of a burst stays with the process.  Does nothing where the C library has no
    mallopt.
    """
    mallopt = getattr(_LIBC, "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, size)
        mallopt(_M_TRIM_THRESHOLD, 2 * size)


def fill_blocks(sizes: Iterable[int], most: int) -> int:
    """Take the free blocks below the end of the heap, at most so many, for good; returns how many there were.

    Blocks of these sizes are taken, in this order, until one comes from behind all that is in use.  Takes nothing where
    the C library does not tell where that is (mallinfo(3)).
    """
    taken = 0
    if not hasattr(_LIBC, "mallinfo2"):
        return taken
    end = (_LIBC.sbrk(0) or 0) - _LIBC.mallinfo2().keepcost
    for size in sizes:
        while taken < most and (block := _LIBC.malloc(size)):
            if block >= end:
                _LIBC.free(block)
                break
            taken += 1
    return taken
