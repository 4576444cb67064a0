"""What all mailboxes of a domain hold, in a file beside them: `.domainsize` in `virtual_mailbox_base/DOMAIN/`.

    10000000S,1000C            the quota
    123456 42 1700000000       the sum, and when it was counted (seconds since the epoch)
    2048 1                     what came and, negative, went since
    -2048 -1

Nobody else writes it, so no line is lost: who adds holds a shared lock, and who sums up a long file an exclusive one.
So the mailboxes are looked at where the file is made, and where it says that the quota is used up, once in a quarter of
an hour at most: a process may have died between a message and its line, or waited for the lock in vain and written
into a file that is no more.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from pillarbox.lib.config.quota import NO_LIMITS, Limits, parse_limits
from pillarbox.lib.store import patience
from pillarbox.lib.store.locks import LOCK_TIMEOUT, flocked
from pillarbox.lib.store.quota import Usage

DOMAIN_FILE: Final = ".domainsize"
LONG: Final = 4096
"""Octets from which on a file is summed up."""
DAMAGED: Final = 1 << 20
"""Octets that none reaches which is summed up in time."""
BELIEVED: Final = 900.0
"""Seconds for which a count is believed that says "full"."""

_MODE: Final = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class DomainRecord(NamedTuple):
    """What a file says."""

    limits: Limits
    usage: Usage
    counted: float


def parse(data: bytes) -> DomainRecord | None:
    """Read a file's content; None for one that is damaged."""
    if not data.endswith(b"\n"):
        return None
    first, *lines = data[:-1].decode("ascii", "replace").split("\n")
    size = messages = counted = 0
    try:
        limits = parse_limits(first)
        for number, line in enumerate(lines):
            values = [int(word) for word in line.split()]
            if number == 0:
                counted = values.pop(2)
            more, other = values
            size, messages = size + more, messages + other
    except (ValueError, IndexError):
        return None
    if not lines or size < 0 or messages < 0:
        return None
    return DomainRecord(limits, Usage(size, messages), counted)


def serialize(record: DomainRecord) -> bytes:
    """A new file."""
    return b"%s\n%d %d %d\n" % (str(record.limits).encode(), *record.usage, record.counted)


class DomainFile:
    """That of the mailboxes in `directory`.  Every method raises OSError; only `add` never raises `patience.Later`."""

    def __init__(self, directory: str, wanted: Limits | None, count: Callable[[], Usage]) -> None:
        """`wanted` is the quota: None where it is not known, `NO_LIMITS` where there is none and the file goes."""
        self._path = f"{directory}/{DOMAIN_FILE}"
        self._directory = directory
        self._wanted = wanted
        self._count = count

    def read(self) -> DomainRecord | None:
        """What is used, of how much; None where there is no quota."""
        if self._wanted is not None and not self._wanted:
            self._remove()
            return None
        try:
            with self._locked(fcntl.LOCK_SH) as fd:
                data = os.pread(fd, DAMAGED, 0)
        except FileNotFoundError:
            return None if self._wanted is None else self.recount()
        record = parse(data)
        if record is None or (self._wanted is not None and record.limits != self._wanted):
            return self.recount()
        if record.usage.exceeds(record.limits) and not 0 <= time.time() - record.counted < BELIEVED:
            return self.recount()
        return self._write(None) if len(data) > LONG else record

    def give_way(self) -> None:
        """Something is about to be done that will be added: raises Later to who is in haste and would have to wait.

        No OSError.
        """
        if patience.hasty() and (self._wanted is None or self._wanted):
            with suppress(OSError), self._locked(fcntl.LOCK_SH):
                pass

    def recount(self) -> DomainRecord | None:
        """Look into all mailboxes; None where there is no quota, or no directory yet."""
        patience.give_way()
        try:
            os.close(os.open(self._path, _MODE | os.O_CREAT, 0o600))
        except FileNotFoundError:
            return None
        return self._write(self._count)

    def _write(self, count: Callable[[], Usage] | None) -> DomainRecord:
        """A new file in the place of the old one, which nobody changes meanwhile."""
        with self._locked(fcntl.LOCK_EX) as fd:
            before = parse(os.pread(fd, DAMAGED, 0))
            limits = self._wanted or (before.limits if before is not None else NO_LIMITS)
            if count is None and before is not None:
                record = before
            else:
                record = DomainRecord(limits, self._count(), int(time.time()))
            new = f"{self._path}.new"  # ours alone: the lock is held
            target = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.write(target, serialize(record))
            finally:
                os.close(target)
            os.rename(new, self._path)
            return record

    def add(self, size: int, messages: int) -> None:
        """Note what came or, negative, went."""
        if self._wanted is not None and not self._wanted:
            return
        patience.begun()  # what is counted here has been done
        try:
            with self._locked(fcntl.LOCK_SH, anyhow=True) as fd:
                os.write(fd, b"%d %d\n" % (size, messages))
        except FileNotFoundError:
            if self._wanted:
                self.recount()

    def _remove(self) -> None:
        with suppress(OSError):
            os.unlink(self._path)

    @contextmanager
    def _locked(self, kind: int, *, anyhow: bool = False) -> Iterator[int]:
        """The file that is there, locked; `anyhow`: without the lock where it is not to be had in time."""
        deadline = time.monotonic() + patience.limit(LOCK_TIMEOUT)
        while True:
            fd = os.open(self._path, _MODE)
            try:
                if not flocked(fd, kind, deadline) and not anyhow:
                    patience.give_way()
                    raise TimeoutError(errno.ETIMEDOUT, "the count of the domain is in use")
                if os.fstat(fd).st_nlink:
                    yield fd
                    return
            finally:
                os.close(fd)
