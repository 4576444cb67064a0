"""Bodies on their way to a milter and back: LF in the queue, CRLF on the wire, pieces of a bounded size."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pillarbox.lib.milter.packets import BODY_CHUNK

_READ = BODY_CHUNK // 2
"""Octets read at once: also where each is a line feed they fit into one packet."""


def wire_chunks(descriptor: int, offset: int, length: int, *, binary: bool) -> Iterator[bytes]:
    """`length` bytes of body from `offset` of a file, ready for SMFIC_BODY.  `binary`: the octets as they are.

    Raises OSError.
    """
    size = BODY_CHUNK if binary else _READ
    while length > 0 and (piece := os.pread(descriptor, min(size, length), offset)):
        offset += len(piece)
        length -= len(piece)
        yield piece if binary else piece.replace(b"\n", b"\r\n")


class BodyReader:
    """A new body, given in pieces of any size: CRLF becomes LF, also where a piece ends between the two."""

    __slots__ = ("_binary", "_last", "_pending")

    def __init__(self, *, binary: bool) -> None:
        self._binary = binary
        self._pending = b""
        self._last = b"\n"

    def feed(self, data: bytes) -> bytes:
        """What goes into the queue."""
        if self._binary:
            return data
        data = self._pending + data
        self._pending = b""
        if data.endswith(b"\r"):
            data, self._pending = data[:-1], b"\r"
        data = data.replace(b"\r\n", b"\n")
        if data:
            self._last = data[-1:]
        return data

    def finish(self) -> bytes:
        """What is missing at the end: content ends in a line end."""
        rest, self._pending = self._pending, b""
        if self._binary:
            return b""
        return rest + b"\n" if rest or self._last != b"\n" else b""
