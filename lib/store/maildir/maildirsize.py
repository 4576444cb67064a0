"""The `maildirsize` file of Maildir++: the quota in its first line, then what came and went, summed up when read.

    10000000S,1000C
    123456 42
    2048 1
    -2048 -1

Shared with other software (Courier, Dovecot, maildrop, Exim): lines are appended without a lock, in one write each; a
file that is long, has another quota, cannot be read or says that the quota is used up is made anew from what lies in
the mailbox.  Counts may so be wrong for a while, by a few messages, as the format accepts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from pillarbox.lib.config.quota import NO_LIMITS, Limits, parse_limits
from pillarbox.lib.store.maildir.filename import temporary_name
from pillarbox.lib.store.quota import Usage
from pillarbox.lib.system.files import READING

NAME: Final = "maildirsize"
MAX_BYTES: Final = 5120
"""A longer file is made anew (Maildir++)."""
FRESH: Final = 900.0
"""Seconds for which a file that says "full" is believed, if nothing was added since it was made (Maildir++)."""
_RECOUNTS: Final = 3
"""Counts in a row while messages come and go; then the next one who asks counts again."""

_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Record(NamedTuple):
    """What a file says."""

    limits: Limits
    usage: Usage
    lines: int
    """Behind the first."""


def parse(data: bytes) -> Record | None:
    """Read a file's content; None for one that is damaged or too long.  A line cut short by a crash damages it."""
    if len(data) >= MAX_BYTES or not data.endswith(b"\n"):
        return None
    first, *lines = data[:-1].decode("ascii", "replace").split("\n")
    size = count = 0
    try:
        limits = parse_limits(first)
        for line in lines:
            one, other = line.split()
            size += int(one)
            count += int(other)
    except ValueError:
        return None
    if not lines or size < 0 or count < 0:
        return None
    return Record(limits, Usage(size, count), len(lines))


def serialize(limits: Limits, usage: Usage) -> bytes:
    """A new file."""
    return f"{limits}\n{usage.size} {usage.messages}\n".encode()


def read_record(path: str) -> tuple[Record | None, float] | None:
    """The record in a file, None for a damaged one, and its age in seconds; None for no file.  Raises OSError."""
    try:
        fd = os.open(path, READING)
    except FileNotFoundError:
        return None
    try:
        return parse(os.read(fd, MAX_BYTES)), time.time() - os.fstat(fd).st_mtime
    finally:
        os.close(fd)


class SizeFile:
    """One such file.  Every method raises OSError."""

    def __init__(
        self,
        path: str,
        temporary: str,
        wanted: Limits | None,
        count: Callable[[], Usage],
        newest: Callable[[], int],
    ) -> None:
        """`wanted` is the quota, None to take the file's; `count` counts what is there; `newest` changes with what is
        there.  A new file is first written in the directory `temporary`."""
        self._path = path
        self._temporary = temporary
        self._wanted = wanted
        self._count = count
        self._newest = newest

    def read(self) -> Record | None:
        """What is used, of how much; None where there is no file and no quota is wanted."""
        found = read_record(self._path)
        if found is None:
            return None if self._wanted is None else self.recount()
        record, age = found
        if record is None or (self._wanted is not None and record.limits != self._wanted):
            return self.recount(record.limits if record is not None else NO_LIMITS)
        if record.usage.exceeds(record.limits) and (record.lines > 1 or age > FRESH):
            return self.recount(record.limits)
        return record

    def recount(self, limits: Limits = NO_LIMITS) -> Record:
        """Count, and write the file anew; `limits` hold where no quota is wanted."""
        limits = limits if self._wanted is None else self._wanted
        name = f"{self._temporary}/{temporary_name()}"
        for _ in range(_RECOUNTS):
            before = self._newest()
            usage = self._count()
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, serialize(limits, usage))
            finally:
                os.close(fd)
            os.rename(name, self._path)
            if self._newest() == before:
                break
        else:
            # What came meanwhile may be counted twice or not at all.
            os.unlink(self._path)
        return Record(limits, usage, 1)

    def add(self, size: int, count: int) -> None:
        """Note what came or, negative, went."""
        try:
            fd = os.open(self._path, _APPEND)
        except FileNotFoundError:
            if self._wanted is not None:
                self.recount()
            return
        try:
            os.write(fd, b"%d %d\n" % (size, count))
        finally:
            os.close(fd)
