"""Imported by every Python process of an instance with a virtual clock, before anything else (module `site`).

The directory of this file comes first in PYTHONPATH, and PILLARBOX_LAB_CLOCK names a file of eight bytes: how many
nanoseconds the virtual time is ahead. The file is mapped here, before any fork, and its bytes are read whenever
somebody asks for the time, so processes that may open no file any more see an advance at once. Production code knows
nothing of this; it is given `time` and `datetime` that are ahead. Monotonic clocks, and with them the time-outs of
connections, stay real.

A long `asyncio.sleep` waits for a moment of the wall clock, not for a peer: it ends when the virtual time has passed.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import mmap
import os
import sys
import time
from typing import Any

_LONG_SLEEP = 5.0  # seconds; what sleeps shorter waits for something else than the time of day
_LOOK = 0.1  # seconds between two looks at the clock in a long sleep


def _patch_time(ahead: memoryview) -> None:
    real_time, real_time_ns, real_clock = time.time, time.time_ns, time.clock_gettime
    real_localtime, real_gmtime, real_strftime = time.localtime, time.gmtime, time.strftime

    def now() -> float:
        return real_time() + ahead[0] / 1e9

    def now_ns() -> int:
        return real_time_ns() + ahead[0]

    def clock_gettime(clock: int) -> float:
        return now() if clock == time.CLOCK_REALTIME else real_clock(clock)

    def localtime(seconds: float | None = None) -> time.struct_time:
        return real_localtime(now() if seconds is None else seconds)

    def gmtime(seconds: float | None = None) -> time.struct_time:
        return real_gmtime(now() if seconds is None else seconds)

    def strftime(form: str, when: Any = None) -> str:
        return real_strftime(form, localtime() if when is None else when)

    for replacement in (clock_gettime, localtime, gmtime, strftime):
        setattr(time, replacement.__name__, replacement)
    time.time, time.time_ns = now, now_ns


def _patch_datetime() -> None:
    """In the class itself: a subclass would not do for code in C and Rust that makes and checks dates."""
    kind = datetime.datetime

    def now(cls: type[datetime.datetime], tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return cls.fromtimestamp(time.time(), tz)

    def utcnow(cls: type[datetime.datetime]) -> datetime.datetime:
        return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

    def today(cls: type[datetime.datetime]) -> datetime.datetime:
        return cls.fromtimestamp(time.time())

    members: dict[str, Any] = gc.get_referents(kind.__dict__)[0]  # type: ignore[assignment]
    for replacement in (now, utcnow, today):
        members[replacement.__name__] = classmethod(replacement)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


def _patch_sleep() -> None:
    import asyncio

    real_sleep = asyncio.sleep

    async def sleep(delay: float, result: Any = None) -> Any:
        if delay < _LONG_SLEEP:
            return await real_sleep(delay, result)
        until = time.time() + delay
        while (left := until - time.time()) > 0:
            await real_sleep(min(left, _LOOK))
        return result

    asyncio.sleep = asyncio.tasks.sleep = sleep  # type: ignore[assignment]


def _begin() -> None:
    path = os.environ.get("PILLARBOX_LAB_CLOCK")
    if not path:
        return
    with open(path, "rb") as file:
        _patch_time(memoryview(mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)).cast("q"))
    _patch_datetime()
    if not {"pillarbox.master", "start"}.isdisjoint(sys.orig_argv):  # the master is, or grows out of, this process
        _patch_sleep()


_begin()
