"""Locks that other mail programs honour: dot locks and fcntl locks.

A *dot lock* is a file `NAME.lock` that only one process can make; it holds `PID:HOST` from its first moment, so that
one left by a killed process of this machine is recognised at once, and any other after a time without change.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pillarbox.lib.store import patience
from pillarbox.lib.store.interface import MailboxBusy, OverQuota, StoreError, StoreUnavailable
from pillarbox.lib.system.files import READING

LOCK_TIMEOUT: Final = 20.0
"""Seconds to wait for another process: as long as Postfix's 20 attempts one second apart."""
STALE_AFTER: Final = 120.0
"""Seconds after which a dot lock of unknown holder is taken to be forgotten (Dovecot's limit for its UID lists)."""

_ALIVE: Final = 10
"""So many times longer is a lock believed whose holder lives."""

_WHOLE_FILE: Final = struct.Struct("@hhqqi4x")
"""struct flock: type, whence, start, length, pid (0 for locks of an open file)."""
_HOST: Final = os.uname().nodename
_numbers: Final = itertools.count()


@contextmanager
def dot_lock(
    path: str, timeout: float = LOCK_TIMEOUT, stale_after: float = STALE_AFTER, mode: int = 0o600
) -> Iterator[None]:
    """Hold the lock file `path`.  Raises MailboxBusy after `timeout` seconds, OverQuota or StoreUnavailable if it
    cannot be made."""
    acquire_dot_lock(path, timeout, stale_after, mode)
    try:
        yield
    finally:
        release_dot_lock(path)


def release_dot_lock(path: str) -> None:
    """Remove the lock file; one that was broken by someone else in between is no error."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def acquire_dot_lock(path: str, timeout: float, stale_after: float, mode: int = 0o600) -> None:
    """Make the lock file or wait for it; see `dot_lock`."""
    deadline = time.monotonic() + patience.limit(timeout)
    delay = 0.002
    while not try_dot_lock(path, stale_after, mode):
        if time.monotonic() >= deadline:
            raise patience.busy(f"{path} is held by another process")
        time.sleep(delay)
        delay = min(delay * 2, 0.1)


def try_dot_lock(path: str, stale_after: float, mode: int = 0o600) -> bool:
    """Make the lock file if nobody holds it; true when it is ours.

    Raises OverQuota, StoreUnavailable if it cannot be made.
    """
    try:
        own = _written(path, mode)
        try:
            while True:
                try:
                    os.link(own, path)
                    return True
                except FileExistsError:
                    if not _break_if_stale(path, stale_after):
                        return False
        finally:
            release_dot_lock(own)
    except OSError as error:
        kind = OverQuota if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreUnavailable
        raise kind(f"cannot make lock file {path}: {error.strerror}") from error


def _written(path: str, mode: int) -> str:
    """A new file that says who we are.

    It gets the lock's name when it is complete: a lock without its holder's name would look alive for minutes.  Nothing
    that is there is opened, so that in a directory of several people's none of them can have us write elsewhere.
    """
    while True:
        own = f"{path}.{_HOST}.{os.getpid()}.{next(_numbers)}.lock"  # no mailbox has such a name
        try:
            fd = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        except FileExistsError:
            continue  # of a dead process of the same number
        try:
            os.write(fd, f"{os.getpid()}:{_HOST}\n".encode())
        finally:
            os.close(fd)
        return own


def _break_if_stale(path: str, stale_after: float) -> bool:
    """Remove a forgotten lock; true when it is worth trying again at once.

    Breakers exclude each other by a flock on the directory, so that none removes the lock that another has just made.
    Who finds it held tries again in its turn.
    """
    try:
        if not _is_stale(path, stale_after):
            return False
        directory = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_stale(path, stale_after):
            os.unlink(path)
        return True
    except FileNotFoundError:
        return True
    except OSError:
        return False
    finally:
        os.close(directory)


def _is_stale(path: str, stale_after: float) -> bool:
    try:
        fd = os.open(path, READING)
    except PermissionError:
        # Mode 0, as some programs make theirs: only its age tells.
        return time.time() - os.lstat(path).st_mtime > stale_after
    try:
        changed = os.fstat(fd).st_mtime
        holder = os.read(fd, 300).decode("ascii", "replace").strip()
    finally:
        os.close(fd)
    pid, _, host = holder.partition(":")
    if host == _HOST and pid.isascii() and pid.isdigit() and 0 < len(pid) < 10:
        if not _process_lives(int(pid)):
            return True
        stale_after *= _ALIVE  # at work with a large mailbox on a slow disk, unless it got a dead one's number
    return time.time() - changed > stale_after


def _process_lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def fcntl_lock(fd: int, exclusive: bool, timeout: float = LOCK_TIMEOUT) -> None:
    """Lock the whole file with a record lock, which every mail program honours, also over NFS.

    It belongs to the open file, not to the process (fcntl(2), F_OFD_SETLK): two views of a mailbox in one process
    exclude each other, and closing another descriptor does not release it.  Raises MailboxBusy after `timeout` seconds.
    """
    kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    deadline = time.monotonic() + patience.limit(timeout)
    delay = 0.002
    while True:
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WHOLE_FILE.pack(kind, os.SEEK_SET, 0, 0, 0))
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise StoreUnavailable(f"cannot lock mailbox: {error.strerror}") from error
        if time.monotonic() >= deadline:
            raise patience.busy("the mailbox is locked by another process")
        time.sleep(delay)
        delay = min(delay * 2, 0.1)


def flocked(fd: int, kind: int, deadline: float) -> bool:
    """Whether flock(2) of this kind could be had of an open file before `deadline`, on the monotonic clock."""
    delay = 0.0005
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(delay)
        delay = min(delay * 2, 0.02)


def _cannot_lock(error: OSError) -> StoreError:
    return StoreUnavailable(f"cannot lock mailbox: {error.strerror}")


@contextmanager
def session_lock(path: str, failed: Callable[[OSError], StoreError] = _cannot_lock) -> Iterator[None]:
    """Hold POP3's lock of a mailbox (`Store.session_lock`), the file `path`.

    Raises MailboxBusy at once where another session has it, and what `failed` makes of an error of the file.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise failed(error) from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MailboxBusy("another session has the mailbox locked") from None
        yield
    finally:
        os.close(fd)
