"""Delivery into an mbox file.

Promises: the file is locked against other mail programs (fcntl always, a dot lock where the directory allows it); it
is a regular file with one name that belongs to the recipient; after an error, or a crash of this process at any
moment, it holds what it held before, or that plus one whole message.  (A crash can leave the beginning of a message at
the end; the next delivery starts on a fresh line, so that nothing runs together.)
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.store.failure import DeliveryFailure, from_os_error
from pillarbox.lib.store.interface import StoreError
from pillarbox.lib.store.locks import fcntl_lock
from pillarbox.lib.store.mbox.locking import dot_locked
from pillarbox.lib.store.mbox.quoting import FromQuoter, from_line
from pillarbox.lib.system.files import sync_directory, write_all

_OPEN: Final = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class MboxOptions:
    """How a file is written.

    `size_limit` in bytes, 0 for none; `owner` the uid that the file must have, None for any; `mailbox`: it is one, so
    that nobody cares whether it could be executed; `lock_timeout` and `stale_after` in seconds; `denied` as in
    `dot_locked`.
    """

    size_limit: int = 0
    owner: int | None = None
    mailbox: bool = True
    dot_lock: bool = True
    lock_timeout: float = 20.0
    stale_after: float = 500.0
    denied: Callable[[], None] | None = None


def deliver_to_mbox(
    path: str,
    sender: str,
    arrival: float,
    header: bytes,
    content: Iterable[bytes],
    options: MboxOptions = MboxOptions(),
) -> None:
    """Append a message: `header` as prepended by the agent, then `content`, both with LF line ends.

    Raises DeliveryFailure with Postfix's codes: 4.2.0 for locks, owners and rights, 5.2.2 past the size limit, 5.7.1
    for a program in place of a file.
    """
    with _locked(path, options):
        try:
            fd = open_mbox(path, options.owner)
        except OSError as error:
            raise from_os_error(error, f"cannot update mailbox {path}") from error
        try:
            if not options.mailbox and os.fstat(fd).st_mode & 0o111:
                raise DeliveryFailure("5.7.1", f"file {path} is executable")
            try:
                fcntl_lock(fd, exclusive=True, timeout=options.lock_timeout)
            except StoreError as error:
                raise DeliveryFailure("4.2.0", f"cannot update mailbox {path}: unable to lock: {error}") from error
            _append(fd, path, from_line(sender, arrival) + header, content, options.size_limit)
        finally:
            os.close(fd)


def open_mbox(path: str, owner: int | None) -> int:
    """Open the file for appending, made 0600 if missing.  Raises DeliveryFailure (4.2.0) if it is not safe, OSError."""
    try:
        fd = os.open(path, _OPEN)
    except FileNotFoundError:
        try:
            fd = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
            sync_directory(os.path.dirname(path) or ".")
        except FileExistsError:
            fd = os.open(path, _OPEN)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DeliveryFailure("4.2.0", f"file {path} is a symbolic link") from None
        if error.errno in (errno.ENXIO, errno.EISDIR):
            raise DeliveryFailure("4.2.0", f"file {path} is not a regular file") from None
        raise
    try:
        found = os.fstat(fd)
        named = os.lstat(path)
        if not stat.S_ISREG(found.st_mode):
            raise DeliveryFailure("4.2.0", f"file {path} is not a regular file")
        if (found.st_dev, found.st_ino) != (named.st_dev, named.st_ino):
            raise DeliveryFailure("4.2.0", f"file {path} has changed while it was opened")
        if found.st_nlink != 1:
            raise DeliveryFailure("4.2.0", f"file {path} has {found.st_nlink} links")
        if owner is not None and found.st_uid != owner:
            raise DeliveryFailure("4.2.0", f"destination {path} is not owned by recipient")
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextmanager
def _locked(path: str, options: MboxOptions) -> Iterator[None]:
    if not options.dot_lock:
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(dot_locked(path, options.lock_timeout, options.stale_after, options.denied))
        except StoreError as error:
            raise DeliveryFailure(
                "4.2.0", f"cannot update mailbox {path}: unable to create lock file: {error}"
            ) from error
        yield


def _append(fd: int, path: str, start: bytes, content: Iterable[bytes], size_limit: int) -> None:
    """Write one message at the end, synced; truncate back on any error."""
    before = os.fstat(fd).st_size
    size = before
    try:
        try:
            start = _fresh_line(fd, before) + start
            quoter = FromQuoter()
            last = b""
            for piece in _pieces(start, content, quoter):
                size += len(piece)
                if size_limit and size + 2 > size_limit:
                    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
                write_all(fd, piece)
                last = piece[-1:]
            write_all(fd, b"\n" if last == b"\n" else b"\n\n")
            os.fsync(fd)
        except BaseException:
            os.ftruncate(fd, before)
            raise
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise DeliveryFailure(
                "5.2.2", f"cannot update mailbox {path}: error writing message: File too large"
            ) from error
        raise from_os_error(error, f"cannot update mailbox {path}: error writing message") from error


def _fresh_line(fd: int, size: int) -> bytes:
    """What is missing to the empty line that ends the message before (nothing in a whole file)."""
    end = os.pread(fd, 2, max(0, size - 2))
    if not end or end == b"\n\n":
        return b""
    return b"\n" if end.endswith(b"\n") else b"\n\n"


def _pieces(start: bytes, content: Iterable[bytes], quoter: FromQuoter) -> Iterator[bytes]:
    yield start
    for data in content:
        if piece := quoter.feed(data):
            yield piece
    if piece := quoter.finish():
        yield piece
