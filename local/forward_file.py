"""Reading a user's `.forward` file, as that user.

The rules are local(8)'s: it must be a regular file that belongs to root or the user and that not everybody may write;
otherwise it is ignored with a warning.  A syntax error in it is the user's own: the mail goes to the mailbox.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

from pillarbox.lib.delivery.alias_value import AliasSyntaxError, Target, parse_lines
from pillarbox.lib.store.failure import DeliveryFailure

SIZE_LIMIT: Final = 1 << 20
"""No person writes a forward file of a megabyte."""


class IgnoredFile(Exception):
    """The file is there but not used; the text says why."""


def read_forward(path: str, uid: int) -> tuple[Target, ...] | None:
    """The targets in the file, None where there is no file.

    Raises IgnoredFile, and DeliveryFailure when it cannot be told now (an I/O error, a home directory not mounted).
    """
    try:
        named = os.lstat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        if error.errno == errno.EACCES:
            raise IgnoredFile(f"{path}: {error.strerror}") from None
        raise DeliveryFailure("4.3.0", f"{path}: {error.strerror}") from error
    _check(named, path, uid)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IgnoredFile(f"{path}: {error.strerror}") from None
    try:
        opened = os.fstat(fd)
        _check(opened, path, uid)
        data = os.read(fd, SIZE_LIMIT + 1)
    except OSError as error:
        raise DeliveryFailure("4.3.0", f"{path}: {error.strerror}") from error
    finally:
        os.close(fd)
    if len(data) > SIZE_LIMIT:
        raise IgnoredFile(f"{path}: larger than {SIZE_LIMIT} bytes")
    try:
        return parse_lines(data.decode("utf-8", "surrogateescape"))
    except AliasSyntaxError as error:
        raise IgnoredFile(f"{path}, {error}") from error


def _check(about: os.stat_result, path: str, uid: int) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise IgnoredFile(f"{path}: not a regular file")
    if about.st_uid not in (0, uid):
        raise IgnoredFile(f"{path}: belongs to uid {about.st_uid}")
    if about.st_mode & stat.S_IWOTH:
        raise IgnoredFile(f"{path}: everybody may write it")
