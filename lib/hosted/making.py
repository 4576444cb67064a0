"""Making the place of a mailbox for an owner who may not: the steps of a root parent.

Each level is opened by its descriptor and never through a symbolic link, so that whoever owns a level can at most keep
a mailbox from being made.  What exists keeps its owner; a level on the way is opened for its mailboxes' owners to pass.
Until a new directory has its owner it has a mode of its own, by which the next one finds it whose maker was killed; a
new file has another name until then.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import Final

from pillarbox.lib.hosted.owners import MailboxOwner
from pillarbox.lib.store.failure import from_os_error

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BEGUN: Final = stat.S_ISVTX
"""The mode of a directory that is not its owner's yet; nobody gives one such a mode to close it."""
_PASSABLE: Final = 0o011
"""For the group and all others: the owner of a mailbox is none that the directory knows."""


def make_place(base: str, path: str, owner: MailboxOwner, usual: MailboxOwner, *, is_maildir: bool) -> None:
    """Make the directory (or the mbox file) `path` below `base` for `owner` if it is not there, and what is missing
    above it for `usual`.  Does nothing but as root.  Raises DeliveryFailure.
    """
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):
        if not _is_begun(os.lstat(path)):
            return
    *above, last = path.removeprefix(f"{base}/").split("/")
    try:
        place = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _let_pass(place, usual)
            for level in above:
                place = _enter(place, level, usual)
                _let_pass(place, usual)
            if is_maildir:
                place = _enter(place, last, owner)
            else:
                _make_file(place, last, owner)
        finally:
            os.close(place)
    except OSError as error:
        raise from_os_error(error, f"cannot make {path}") from error


def _enter(place: int, name: str, owner: MailboxOwner) -> int:
    """Make the directory if it is not there, and give its descriptor in exchange for that of the one above."""
    try:
        os.mkdir(name, _BEGUN, dir_fd=place)
    except FileExistsError:
        pass
    inside = os.open(name, _DIRECTORY, dir_fd=place)
    try:
        if _is_begun(about := os.fstat(inside)):
            if about.st_uid == 0:  # else somebody has put another in its place: theirs already
                os.fchown(inside, owner.uid, owner.gid)
            if about.st_uid in (0, owner.uid):
                os.fchmod(inside, 0o700)
            os.fsync(place)
    except BaseException:
        os.close(inside)
        raise
    os.close(place)
    return inside


def _is_begun(about: os.stat_result) -> bool:
    return stat.S_ISDIR(about.st_mode) and stat.S_IMODE(about.st_mode) == _BEGUN


def _let_pass(place: int, usual: MailboxOwner) -> None:
    about = os.fstat(place)
    if about.st_uid == usual.uid and about.st_mode & _PASSABLE != _PASSABLE:
        os.fchmod(place, stat.S_IMODE(about.st_mode) | _PASSABLE)


def _make_file(place: int, name: str, owner: MailboxOwner) -> None:
    aside = f".{secrets.token_hex(8)}"
    file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=place)
    try:
        os.fchown(file, owner.uid, owner.gid)
        with contextlib.suppress(FileExistsError):
            os.link(aside, name, src_dir_fd=place, dst_dir_fd=place, follow_symlinks=False)
        os.unlink(aside, dir_fd=place)
        os.fsync(place)
    finally:
        os.close(file)
