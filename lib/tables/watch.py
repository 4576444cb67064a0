"""Noticing that a table file was replaced or edited, for the price of a clock reading per look-up.

At most once a second the file's status is read; when its device, inode, size or times differ from those of the file
that was loaded, it is loaded again.  A load that fails makes look-ups fail until the file is mended, and writes one
log line per change, not one per look-up.
"""

from __future__ import annotations

import abc
import os
import stat
import time
from typing import Generic, TypeVar

from pillarbox.lib.log import log
from pillarbox.lib.tables.errors import LookupFailed, TableChanged
from pillarbox.lib.tables.table import Options, Table

CHECK_INTERVAL = 1.0
"""Seconds for which a loaded file is taken to be current."""

RACY_NS = 50_000_000
"""A file written to less than so many nanoseconds ago may be written to again without a new time stamp: the kernel's
clock ticks coarsely.  It is loaded once more at the next check."""

Identity = tuple[int, int, int, int, int]
C = TypeVar("C")


def identity(status: os.stat_result) -> Identity:
    """What changes when a file is replaced or written to."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class FileTable(Table, Generic[C]):
    """A table whose content comes from one file.  A type says how to `_load` it; look-ups begin with `_current`.

    A content that is replaced is not closed but left to its last user, so that several threads may look up at once.
    """

    def __init__(self, spec: str, path: str, options: Options) -> None:
        super().__init__(spec, options)
        self.path = path
        self._clock = options.clock
        self._check_at = 0.0
        self._identity: Identity | None = None
        self._content: C | None = None
        self._failure = ""
        self._last_check: float | None = None
        self._first = True
        self._outdated = False

    @abc.abstractmethod
    def _load(self, descriptor: int) -> C:
        """The content of the open file.  Raises ValueError (said for a person) where it makes no sense, or OSError."""

    def _current(self) -> C:
        """The content, loaded again where the file has changed.  Raises LookupFailed."""
        now = self._clock()
        if self._last_check is None or now >= self._check_at or now < self._last_check:
            self._first = self._last_check is None
            self._last_check = now
            self._check_at = now + CHECK_INTERVAL
            self._check()
        if self._outdated:
            raise TableChanged(f"table {self.spec}: {self.path} has changed")
        content = self._content
        if content is None:
            raise LookupFailed(f"table {self.spec}: {self._failure}")
        return content

    def _check(self) -> None:
        try:
            status = os.stat(self.path)
        except OSError as error:
            if isinstance(error, PermissionError) and self._content is not None:
                return  # the directory was open at the start only, so that nobody reads the secrets in it
            self._fail(None, f"open {self.path}: {error.strerror}")
            return
        except ValueError as error:  # a NUL in the name
            self._fail(None, f"open {self.path}: {error}")
            return
        if self._identity == identity(status):
            return
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except PermissionError as error:
            self._denied(identity(status), f"open {self.path}: {error.strerror}")
            return
        except OSError as error:
            self._fail(None, f"open {self.path}: {error.strerror}")
            return
        try:
            # The identity is that of the open file, taken before it is read: a change meanwhile is seen next time.
            opened = os.fstat(descriptor)
            found: Identity | None = identity(opened)
            if abs(time.time_ns() - opened.st_mtime_ns) <= RACY_NS:
                found = None
            if not stat.S_ISREG(opened.st_mode):
                self._fail(found, f"{self.path} is not a regular file")
                return
            try:
                content = self._load(descriptor)
            except OSError as error:
                self._fail(found, f"read {self.path}: {error.strerror}")
                return
            except ValueError as error:
                self._fail(found, str(error))
                return
        finally:
            os.close(descriptor)
        self._content = content
        self._identity = found
        self._failure = ""

    def _denied(self, found: Identity | None, reason: str) -> None:
        """A changed file may not be read.  Where the process can be started anew it asks for that, once and for all."""
        restartable = self.options.denied is not None and not self._first
        if self.options.keep and self._content is not None:
            self._identity = found
        else:
            self._fail(found, reason, quiet=restartable)
            self._outdated = restartable
        if self.options.denied is not None and restartable:
            self.options.denied(self.path)

    def preload(self) -> None:
        try:
            self._current()
        except LookupFailed:
            pass

    def examine(self) -> None:
        self._current()

    def _fail(self, found: Identity | None, reason: str, *, quiet: bool = False) -> None:
        if self._failure != reason and not quiet:
            log.error(f"table {self.spec}: {reason}")
        self._content = None
        self._identity = found
        self._failure = reason

    def files(self) -> tuple[str, ...]:
        return (self.path,)

    def close(self) -> None:
        self._content = None
        self._identity = None
        self._last_check = None
        self._failure = "the table was closed"
