"""A clock that tests move: five days of retries run in seconds.

    with VirtualClock() as clock, Instance(clock=clock) as instance:
        clock.advance("5d")

All programs and commands of the instance get their time from it (`virtual_time/sitecustomize.py` says how), and it runs
on by itself at the real pace. What the kernel stamps (the mtime of a new file) and what OpenSSL checks is real time, so
what a program has just written looks as old as the clock is ahead; mtimes that a program sets are virtual, as those in
`deferred/`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def seconds(span: float | str) -> float:
    """A span of time in seconds, from a number or a text such as `"5d"` or `"1h30m"`.  Raises ValueError."""
    if not isinstance(span, str):
        return float(span)
    if not re.fullmatch(r"(\d+(?:\.\d+)?[smhdw])+", span):
        raise ValueError(f"a time is written as 90, 30s, 15m, 4h, 5d or 1d12h, not {span!r}")
    return sum(float(amount) * _UNITS[unit] for amount, unit in re.findall(r"(\d+(?:\.\d+)?)([smhdw])", span))


class VirtualClock:
    """The clock; a context manager, or `close()` at the end.  Several instances may share one."""

    def __init__(self) -> None:
        descriptor, path = tempfile.mkstemp(prefix="pillarbox-clock-")
        self.path = Path(path)
        os.ftruncate(descriptor, 8)
        os.fchmod(descriptor, 0o644)  # the commands of every user are to have the same time
        self._map = mmap.mmap(descriptor, 8)
        self._ahead = memoryview(self._map).cast("q")
        os.close(descriptor)
        self.on_advance: list[Callable[[], None]] = []
        """Called after each advance; an instance wakes its queue manager here."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget the file; processes that still run keep their time."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    @property
    def ahead(self) -> float:
        """Seconds between the real time and this one."""
        return self._ahead[0] / 1e9

    def time(self) -> float:
        """The virtual time in seconds since the epoch, as `time.time()` of the instance's programs gives it."""
        return time.time() + self.ahead

    def advance(self, span: float | str) -> None:
        """Let that much time pass at once, for all who share the clock.  Raises ValueError where it would go back."""
        amount = seconds(span)
        if amount < 0:
            raise ValueError("a virtual clock goes forward only")
        self._ahead[0] += round(amount * 1e9)
        for wake in self.on_advance:
            wake()

    def environment(self) -> dict[str, str]:
        """What Python processes need in their environment to live by this clock; the path goes before others."""
        return {
            "PILLARBOX_LAB_CLOCK": str(self.path),
            "PYTHONPATH": str(Path(__file__).parent / "virtual_time"),
        }
