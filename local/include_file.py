"""Reading an `:include:` file, as its owner: one list of targets per line, `#` comments."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

from pillarbox.lib.delivery.alias_value import AliasSyntaxError, Target, parse_lines
from pillarbox.lib.store.failure import DeliveryFailure

LINE_LIMIT: Final = 65536
"""Bytes of one line; a file with more in a line is no list of addresses."""


def read_include(path: str, uid: int) -> Iterator[Target]:
    """The targets, read line by line, so that a list may be of any length.

    `uid` is who is expected to own it.  Raises DeliveryFailure: a list that cannot be read or has an error waits for
    its owner to put it right.
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
        if about.st_uid not in (0, uid):
            raise DeliveryFailure("4.3.5", f":include:{path}: belongs to uid {about.st_uid}")
        number = 0
        while line := file.readline(LINE_LIMIT + 1):
            number += 1
            if len(line) > LINE_LIMIT:
                raise DeliveryFailure("4.3.5", f":include:{path}: line {number} is too long")
            try:
                yield from parse_lines(line.decode("utf-8", "surrogateescape"))
            except AliasSyntaxError as error:
                raise DeliveryFailure("4.3.5", f":include:{path}: line {number}: {error}") from error
