"""Message content in a file, served with CRLF line ends.

`FileContent` presents one or more byte ranges of an open file as a message on the wire.  It keeps a few
checkpoints (wire offset -> stored offset), so that a client fetching a large message part after part does
not make the server read it from the start each time.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from pillarbox.lib.store.interface import MessageContent, StoreUnavailable
from pillarbox.lib.store.lines import CHUNK, ToCRLF, WireCounter, plain_header, to_crlf, whole_lines

PIECE: Final = 48 * 1024
"""Bytes read at once for the wire.

With its line ends made CRLF a piece stays below what the allocator gives back to the system as soon as it is freed:
fetched anew from there for each, larger ones cost more than the system calls that they save.
"""

MARKS: Final = 4096
"""Octets between two checkpoints at least."""


class FileContent(MessageContent):
    """Content in the ranges `segments` (offset, length) of `fd`, which this object closes."""

    __slots__ = ("_fd", "_header", "_marks", "_segments", "_stored", "size")

    def __init__(self, fd: int, segments: Sequence[tuple[int, int]], size: int = -1) -> None:
        """`size` in octets on the wire, or -1 to have it counted now (one pass over the file)."""
        self._fd = fd
        self._segments = tuple(segments)
        self._stored = sum(length for _, length in self._segments)
        self._header: bytes | None = None
        self._marks: list[tuple[int, int, bool]] = [(0, 0, False)]
        self.size = size if size >= 0 else self._count()

    def _count(self) -> int:
        counter = WireCounter()
        position = 0
        while data := self._stored_at(position, CHUNK):
            counter.feed(data)
            position += len(data)
        return counter.wire

    def _stored_at(self, position: int, limit: int) -> bytes:
        """Stored bytes from `position` on, at most `limit` and at most to the end of a segment."""
        if self._fd < 0:
            raise StoreUnavailable("the message is closed")
        for offset, length in self._segments:
            if position < length:
                try:
                    return os.pread(self._fd, min(limit, length - position), offset + position)
                except OSError as error:
                    raise StoreUnavailable(f"cannot read message: {error.strerror}") from error
            position -= length
        return b""

    def header(self, limit: int = 1 << 20) -> bytes:
        if self._header is None:
            self._header = self._read_header(limit)
        return self._header

    def _read_header(self, limit: int) -> bytes:
        convert = ToCRLF()
        text = b""
        position = 0
        step = 8192
        while len(text) < limit:
            data = self._stored_at(position, step)
            if not data:
                return text
            if not position and (header := plain_header(data)) is not None:
                return header
            position += len(data)
            search_from = max(0, len(text) - 3)
            text += convert.feed(data)
            if text.startswith(b"\r\n"):
                return b"\r\n"
            end = text.find(b"\r\n\r\n", search_from)
            if end >= 0:
                return text[: end + 4]
            step = min(step * 2, CHUNK)
        return whole_lines(text, limit)

    def chunks(self, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        end = self.size if length is None else min(self.size, start + length)
        mark = self._marks[bisect_right(self._marks, (start, self._stored + 1, True)) - 1]
        wire, position, after_cr = mark
        convert = ToCRLF()
        convert.feed(b"\r" if after_cr else b"")
        while wire < end:
            data = self._stored_at(position, min(PIECE, end - wire))  # a part of a few octets costs no more than these
            if not data:
                raise StoreUnavailable("the message is shorter than it was")
            position += len(data)
            text = convert.feed(data)
            here = wire
            wire += len(text)
            if wire - self._marks[-1][0] >= MARKS:
                self._marks.append((wire, position, data[-1] == 13))
            if wire <= start:
                continue
            yield text[max(0, start - here) : end - here]

    def read(self, start: int = 0, length: int | None = None) -> bytes:
        if self._stored > PIECE or len(self._segments) != 1:
            return super().read(start, length)
        end = self.size if length is None else min(self.size, start + length)
        data = self._stored_at(0, self._stored)
        text = to_crlf(data)
        if len(text) < end or len(data) < self._stored:
            raise StoreUnavailable("the message is shorter than it was")
        return text if start == 0 and end == len(text) else text[start:end]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
