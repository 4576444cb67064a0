"""The folders of recipes: mbox files, directories of messages, MH folders, Maildirs (procmailrc(5)).

Everything happens with the user's rights.  A folder that is a link is followed where root or the user has made it.

Promises: when `store` returns, the message is on disk under its final name; an mbox file is cut back on any error.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.procmail.mail import Letter
from pillarbox.lib.store.failure import DeliveryFailure, from_os_error
from pillarbox.lib.store.interface import StoreError
from pillarbox.lib.store.locks import fcntl_lock
from pillarbox.lib.store.maildir.writer import MaildirDelivery, MaildirWriter
from pillarbox.lib.store.mbox.writer import open_mbox
from pillarbox.lib.system.files import sync_directory, write_all

DISCARD: Final = "/dev/null"
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ATTEMPTS: Final = 1000
"""Numbers of an MH folder that are tried: so many others may deliver at the same time."""


@dataclass(frozen=True, slots=True)
class FolderOptions:
    """`size_limit` of an mbox file in bytes, 0 for none; `owner` its uid where that is asked for; times in seconds."""

    size_limit: int
    owner: int | None
    inbox: str
    lock_timeout: float
    prefix: str
    umask: int


def is_directory(path: str) -> bool:
    """Whether messages become files of their own there."""
    return path.endswith(("/", "/.")) or os.path.isdir(path)


def store(path: str, letter: Letter, options: FolderOptions) -> str:
    """Deliver a letter to one folder; the name of what was written.  Raises DeliveryFailure."""
    try:
        if path == DISCARD:
            return path
        if path.endswith("/."):
            return _numbered(path[:-2], letter, options)
        if path.endswith("/"):
            return _maildir(path, letter, options)
        if os.path.isdir(path):
            return _named(path, letter, options)
        return _mbox(path, letter, options)
    except OSError as error:
        raise from_os_error(error, f'Error while writing to "{path}"') from error


def _maildir(path: str, letter: Letter, options: FolderOptions) -> str:
    maildir = path.rstrip("/") or "/"
    if path != options.inbox and not os.path.isdir(os.path.dirname(maildir)):
        # A Maildir is made where it is missing, but not the directories above it: most likely the name is wrong.
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    delivery = MaildirDelivery(maildir, b"", -1, 0, letter.size, letter.as_it_is)
    (failure,) = MaildirWriter().deliver([delivery])
    if failure is not None:
        raise failure
    return path


# --- files of messages


def _named(directory: str, letter: Letter, options: FolderOptions) -> str:
    """A file with a name that nothing else has."""
    temporary = _written(directory, letter, options)
    for _ in range(_ATTEMPTS):
        name = f"{directory.rstrip('/')}/{options.prefix}{secrets.token_hex(4)}"
        if _given(temporary, name):
            return name
    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))


def _numbered(directory: str, letter: Letter, options: FolderOptions) -> str:
    """A file with the number after the highest one of an MH folder, which is made where it is missing."""
    os.makedirs(directory, 0o777 & ~options.umask, exist_ok=True)
    temporary = _written(directory, letter, options)
    number = max((int(name) for name in os.listdir(directory) if name.isascii() and name.isdigit()), default=0)
    for _ in range(_ATTEMPTS):
        number += 1
        name = f"{directory}/{number}"
        if _given(temporary, name):
            return name
    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))


def _written(directory: str, letter: Letter, options: FolderOptions) -> str:
    """The message in a file with a name for a moment."""
    temporary = f"{directory.rstrip('/')}/_{secrets.token_hex(8)}"
    fd = os.open(temporary, _CREATE, 0o600)
    try:
        for piece in letter.ended():
            write_all(fd, piece)
        _open_up(fd, options.umask)
        os.fsync(fd)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    return temporary


def _given(temporary: str, name: str) -> bool:
    """Give the file its name unless that is taken."""
    try:
        os.link(temporary, name)
    except FileExistsError:
        return False
    except OSError:
        os.unlink(temporary)
        raise
    os.unlink(temporary)
    sync_directory(os.path.dirname(name))
    return True


def _open_up(fd: int, umask: int) -> None:
    """The mode that UMASK says; where others may look, "x" for them says that there is new mail."""
    os.fchmod(fd, 0o667 & ~umask)


# --- mbox files


def _mbox(path: str, letter: Letter, options: FolderOptions) -> str:
    target = _followed(path)
    existed = os.path.lexists(target)
    is_inbox = path == options.inbox
    fd = open_mbox(target, options.owner if is_inbox else None)
    try:
        if not existed or not is_inbox:
            _open_up_own(fd, options.umask)
        try:
            fcntl_lock(fd, exclusive=True, timeout=options.lock_timeout)
        except StoreError as error:
            raise DeliveryFailure("4.2.0", f"cannot update mailbox {path}: unable to lock: {error}") from error
        _append(fd, letter.quoted(), options.size_limit, path)
    finally:
        os.close(fd)
    return path


def _open_up_own(fd: int, umask: int) -> None:
    """The mode of a folder that is new; an older one keeps what its user gave it."""
    if os.fstat(fd).st_size == 0:
        _open_up(fd, umask)


def _followed(path: str) -> str:
    """The file behind a link, if root or this user has made the link."""
    try:
        about = os.lstat(path)
    except FileNotFoundError:
        return path
    if stat.S_ISLNK(about.st_mode) and about.st_uid in (0, os.geteuid()):
        return os.path.realpath(path)
    return path


def _append(fd: int, pieces: Iterable[bytes], size_limit: int, path: str) -> None:
    before = size = os.fstat(fd).st_size
    start = b""
    if before and os.pread(fd, 1, before - 1) != b"\n":
        start = b"\n"  # what a crash left unfinished; a message begins on a line of its own
    try:
        for piece in pieces:
            if start:
                piece = start + piece if piece.startswith(b"From ") else piece
                start = b""
            size += len(piece)
            if size_limit and size > size_limit:
                raise DeliveryFailure("5.2.2", f"cannot update mailbox {path}: error writing message: File too large")
            write_all(fd, piece)
        os.fsync(fd)
    except BaseException:
        os.ftruncate(fd, before)
        raise
