"""What a user's filter remembers from one message to the next: whom it has answered, what it has seen.

A text file of lines `EXPIRY DIGEST`, EXPIRY in seconds since the epoch; DIGEST stands for a kind and a value, so the
file tells nobody's address.  New lines are appended under a lock; a file with many lines that have expired is written
anew.

Promises: no more than `CEILING` entries, those that expire first make room; a torn or foreign line is passed over; a
file that cannot be read or written means that nothing is known, and is never a reason for mail to wait.
Does not: sync.  What a power loss takes is remembered once less.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from typing import Final

from pillarbox.lib.system.files import write_all

CEILING: Final = 10_000
"""Entries of one user: who answers that many senders in a week answers some of them again."""
_SLACK: Final = 1_000
"""Room that is made where the file is full, so that it is not written anew for every line."""
_DIGITS: Final = 32
_LINE: Final = 11 + 1 + _DIGITS + 1
_READ_LIMIT: Final = 2 * (CEILING + _SLACK) * _LINE
_LAST_MOMENT: Final = 99_999_999_999
"""The greatest EXPIRY that a line has room for."""


class Remembered:
    """The memory of one user, read when it is asked for the first time.  `now` is in seconds since the epoch."""

    def __init__(self, path: str, now: float) -> None:
        self._path = path
        self._now = int(now)
        self._entries: dict[str, int] | None = None
        self.trouble = ""
        """Why something could not be read or written, for the log."""

    def knows(self, kind: str, value: str) -> bool:
        """Whether `value` was noted, and that still holds."""
        if self._entries is None:
            self._entries = self._load()
        return self._entries.get(_digest(kind, value), 0) > self._now

    def note(self, kind: str, value: str, lifetime: float) -> None:
        """Remember `value` for `lifetime` seconds from now on."""
        digest = _digest(kind, value)
        expiry = min(int(self._now + lifetime), _LAST_MOMENT)
        try:
            descriptor = self._locked()
            try:
                self._write(descriptor, digest, expiry)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.trouble = f"{self._path}: {error.strerror}"
        if self._entries is not None:
            self._entries[digest] = expiry

    def _load(self) -> dict[str, int]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        except OSError as error:
            self.trouble = f"{self._path}: {error.strerror}"
            return {}
        try:
            return parse(_read(descriptor), self._now)
        except OSError as error:
            self.trouble = f"{self._path}: {error.strerror}"
            return {}
        finally:
            os.close(descriptor)

    def _locked(self) -> int:
        """The file, open and locked; one that was replaced meanwhile is opened again."""
        while True:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
            try:
                about = os.fstat(descriptor)
                if not stat.S_ISREG(about.st_mode):
                    raise OSError(0, "not a regular file")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.stat(self._path, follow_symlinks=False).st_ino == about.st_ino:
                    return descriptor
            except FileNotFoundError:
                pass  # it was removed while we waited
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _write(self, descriptor: int, digest: str, expiry: int) -> None:
        size = os.fstat(descriptor).st_size
        if size < CEILING * _LINE:
            lead = b"" if size % _LINE == 0 else b"\n"  # a line that a crash has torn ends here
            write_all(descriptor, lead + _line(digest, expiry))
            return
        entries = parse(_read(descriptor), self._now)
        entries[digest] = expiry
        kept = sorted(entries.items(), key=lambda item: item[1])[-(CEILING - _SLACK) :]
        temporary = f"{self._path}.{os.getpid()}"
        new = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            write_all(new, b"".join(_line(*item) for item in kept))
        finally:
            os.close(new)
        os.rename(temporary, self._path)


def parse(data: bytes, now: int) -> dict[str, int]:
    """The entries of a file that have not expired: digest to expiry, the last line of each counts."""
    entries: dict[str, int] = {}
    for line in data.split(b"\n"):
        expiry, _, digest = line.partition(b" ")
        if len(digest) == _DIGITS and expiry.isdigit() and len(expiry) <= 11:
            entries[digest.decode("latin-1")] = int(expiry)
    return {digest: expiry for digest, expiry in entries.items() if expiry > now}


def _line(digest: str, expiry: int) -> bytes:
    return b"%011d %b\n" % (expiry, digest.encode("latin-1"))


def _read(descriptor: int) -> bytes:
    return os.pread(descriptor, _READ_LIMIT, 0)


def _digest(kind: str, value: str) -> str:
    text = f"{kind}\0{value}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()[:_DIGITS]
