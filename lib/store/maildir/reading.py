"""Whole messages of a Maildir, read for as little as it takes: three system calls each, and nothing for one message.

The size on the wire, which the index knows, says whether what was read is the message.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Final

from pillarbox.lib.store.content import PIECE
from pillarbox.lib.store.index.layout import FRESH
from pillarbox.lib.system.files import READING

_LOOKING: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def read_whole(directory: str, files: Iterable[tuple[int, int, bytes]], most: int) -> Iterator[Sequence[bytes] | None]:
    """The messages of the Maildir at `directory` with these marks, sizes and names, each read when it is asked for.

    None for one that is larger than `most`, or is not there under its name in its size, or has CRs.  A name that
    is not what it was is nobody else's: it leads nowhere.
    """
    with ExitStack() as stack:
        places: dict[int, int] = {}
        for mark, size, name in files:
            pieces = None
            if name and 0 <= size <= most:
                try:
                    place = places.get(mark & FRESH)
                    if place is None:
                        place = os.open(f"{directory}/{'new' if mark & FRESH else 'cur'}", _LOOKING)
                        stack.callback(os.close, place)
                        places[mark & FRESH] = place
                    pieces = _wire_pieces(place, name, size)
                except OSError:
                    pieces = None
            yield pieces


def _wire_pieces(directory: int, name: bytes, size: int) -> Sequence[bytes] | None:
    """One message in pieces; None where it has another size.  Raises OSError."""
    fd = os.open(name, READING, dir_fd=directory)
    try:
        asked = min(size + 1, PIECE)
        data = os.pread(fd, asked, 0)
        text = data.replace(b"\n", b"\r\n")
        if len(data) < asked:
            return (text,) if len(text) == size else None
        pieces, position, left = [text], len(data), size - len(text)
        while left >= 0 and len(data) == asked:
            data = os.pread(fd, asked, position)
            text = data.replace(b"\n", b"\r\n")
            pieces.append(text)
            position += len(data)
            left -= len(text)
        return None if left else pieces
    finally:
        os.close(fd)
