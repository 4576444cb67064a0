"""Reading an `:include:` file, as its owner: one list of targets per line, `#` comments.

A list may be of any length: it is read line by line, and twice: once to see that all of it can be read, and for what
it names besides addresses; then for the addresses, a batch at a time.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from pillarbox.lib.delivery.alias_value import AliasSyntaxError, Target, parse_line
from pillarbox.lib.store.failure import DeliveryFailure

LINE_LIMIT: Final = 65536
"""Bytes of one line; a file with more in a line is no list of addresses."""


class IncludeFile:
    """An open include file; `signature` says which state of it this is."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self.signature = _signature(os.fstat(file.fileno()))

    def targets(self) -> Iterator[Target]:
        """The targets.  Raises DeliveryFailure where a line makes no sense, and where the file changes meanwhile."""
        number = 0
        while line := self._file.readline(LINE_LIMIT + 1):
            number += 1
            if len(line) > LINE_LIMIT:
                raise DeliveryFailure("4.3.5", f":include:{self._path}, line {number}: too long")
            try:
                yield from parse_line(line.decode("utf-8", "surrogateescape"))
            except AliasSyntaxError as error:
                raise DeliveryFailure("4.3.5", f":include:{self._path}, line {number}: {error}") from error
        if _signature(os.fstat(self._file.fileno())) != self.signature:
            raise DeliveryFailure("4.3.0", f":include:{self._path}: the file changes while it is read")


@contextmanager
def include_file(path: str, uid: int | None) -> Iterator[IncludeFile]:
    """Open the file; `uid` is who is expected to own it, None where it is read with the rights of who has named it.

    Raises DeliveryFailure: a list that cannot be read or has an error waits for its owner to put it right.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DeliveryFailure("4.3.5", f":include:{path}: {error.strerror}") from error
    with os.fdopen(fd, "rb") as file:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise DeliveryFailure("4.3.5", f":include:{path}: not a regular file")
        if about.st_mode & stat.S_IWOTH:
            raise DeliveryFailure("4.3.5", f":include:{path}: everybody may write it")
        if uid is not None and about.st_uid not in (0, uid):
            raise DeliveryFailure("4.3.5", f":include:{path}: belongs to uid {about.st_uid}")
        if uid is not None and about.st_uid != 0:
            _check_way(path, about.st_uid)
        yield IncludeFile(path, file)


def _check_way(path: str, owner: int) -> None:
    """See that nobody but root and the owner has a part in where `path` leads.  Raises DeliveryFailure.

    A file is read with its owner's rights, and what it says shows in the fate of the message: a link of another user's
    must not choose it.  One of root's is read by `default_privs`, who sees what everybody may see.
    """
    parts = path.split("/")
    for count in range(2, len(parts) + 1):
        part = "/".join(parts[:count])
        try:
            uid = os.lstat(part).st_uid
        except OSError as error:
            raise DeliveryFailure("4.3.5", f":include:{path}: {part}: {error.strerror}") from error
        if uid not in (0, owner):
            raise DeliveryFailure("4.3.5", f":include:{path}: {part} belongs to uid {uid}, the file to uid {owner}")


def _signature(about: os.stat_result) -> str:
    return f"{about.st_dev}.{about.st_ino}.{about.st_size}.{about.st_mtime_ns}"
