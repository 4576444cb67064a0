"""The content of a message in an open queue file: a slice of a descriptor that several processes may share.

Only `pread` is used: the file offset belongs to all holders of the descriptor.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pillarbox.lib.mime.downgrade import Target, Unconvertible, convert
from pillarbox.lib.store.failure import DeliveryFailure

CHUNK = 64 * 1024
"""Bytes read at a time."""

HEADER_LIMIT = 1024 * 1024
"""Longest header block that is looked at; what follows counts as body."""

CONVERSION = "Conversion required but not supported"
"""What X.6.3 says (RFC 3463 section 3.7)."""


class Content:
    """`size` bytes from `offset` of the descriptor `fd`; lines end in LF."""

    __slots__ = ("fd", "offset", "size")

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self.fd = fd
        self.offset = offset
        self.size = size

    def read(self, start: int, count: int) -> bytes:
        """Up to `count` bytes from `start` (counted from the first byte of the content).

        Raises EOFError where the file is shorter than the content should be: a corrupt queue file.
        """
        count = min(count, self.size - start)
        if count <= 0:
            return b""
        data = os.pread(self.fd, count, self.offset + start)
        if not data:
            raise EOFError("the queue file is shorter than its envelope says")
        return data

    def chunks(self, size: int = CHUNK, start: int = 0) -> Iterator[bytes]:
        """The content from `start`, in pieces of at most `size` bytes."""
        while start < self.size:
            data = self.read(start, size)
            start += len(data)
            yield data

    def header(self) -> bytes:
        """The header block without the empty line that ends it; cut at HEADER_LIMIT."""
        block = b""
        for data in self.chunks(4096 if self.size < 65536 else CHUNK):
            if not block and data.startswith(b"\n"):
                return b""
            seam = max(0, len(block) - 1)
            block += data
            end = block.find(b"\n\n", seam)
            if end >= 0:
                return block[: end + 1]
            if len(block) >= HEADER_LIMIT:
                break
        return block[:HEADER_LIMIT]

    @property
    def in_file(self) -> bool:
        """Whether the descriptor has just these bytes; otherwise they can only be had with `chunks`."""
        return True

    def is_ascii(self) -> bool:
        """Whether there is no octet above 127."""
        return all(chunk.isascii() for chunk in self.chunks())


class ConvertedContent(Content):
    """Content in another transfer encoding, made anew whenever it is read; `size` is that of the result.

    Raises Unconvertible at construction.
    """

    __slots__ = ("_exact", "_source", "_target")

    def __init__(self, source: Content, target: Target, *, exact: bool) -> None:
        super().__init__(source.fd, source.offset, source.size)
        self._source = source
        self._target = target
        self._exact = exact
        self.size = sum(map(len, self.chunks()))

    @property
    def in_file(self) -> bool:
        """It is not."""
        return False

    def read(self, start: int, count: int) -> bytes:
        """Not to be had: what is converted comes in order."""
        raise TypeError("converted content can only be read as a stream")

    def _original(self) -> Iterator[bytes]:
        return self._source.chunks()

    def chunks(self, size: int = CHUNK, start: int = 0) -> Iterator[bytes]:
        """The content from the beginning, in pieces of any size."""
        assert start == 0, "converted content cannot be read from the middle"
        return convert(self._original, self._target, exact=self._exact)

    def header(self) -> bytes:
        """The header block, of which conversion changes what it changes."""
        return self._source.header()


@dataclass(frozen=True, slots=True)
class Edit:
    """What stands from `start` to `end` of a content becomes `text`."""

    start: int
    end: int
    text: bytes


class EditedContent(Content):
    """Content with edits, which are in the order of the content and do not touch the same bytes twice."""

    __slots__ = ("_pieces", "_source", "_starts")

    def __init__(self, source: Content, edits: Iterable[Edit]) -> None:
        self._source = source
        self._starts: list[int] = []  # where each piece begins in the result
        self._pieces: list[tuple[int, bytes]] = []  # where it is taken from, or the text itself (-1)
        size = position = 0
        for edit in edits:
            if edit.start > position:
                self._starts.append(size)
                self._pieces.append((position, b""))
                size += edit.start - position
            if edit.text:
                self._starts.append(size)
                self._pieces.append((-1, edit.text))
                size += len(edit.text)
            position = edit.end
        if position < source.size or not self._starts:
            self._starts.append(size)
            self._pieces.append((position, b""))
            size += source.size - position
        super().__init__(source.fd, source.offset, size)

    @property
    def in_file(self) -> bool:
        """It is not."""
        return False

    def read(self, start: int, count: int) -> bytes:
        """Up to `count` bytes from `start`; see `Content.read`."""
        end = min(start + count, self.size)
        number = bisect_right(self._starts, start) - 1
        parts: list[bytes] = []
        while start < end:
            place, text = self._pieces[number]
            begin = start - self._starts[number]
            upto = self._starts[number + 1] if number + 1 < len(self._starts) else self.size
            wanted = min(end, upto) - start
            part = text[begin : begin + wanted] if place < 0 else self._source.read(place + begin, wanted)
            parts.append(part)
            start += len(part)
            if start == upto:
                number += 1
        return b"".join(parts)


def text_content(content: Content, body: str) -> Content:
    """Content as lines of text, as mailboxes and commands want it: a BINARYMIME body is converted (RFC 3030).

    Raises DeliveryFailure where it must not be changed.
    """
    if body != "binarymime":
        return content
    try:
        return ConvertedContent(content, Target.EIGHT_BIT, exact=True)
    except Unconvertible as error:
        raise DeliveryFailure("5.6.3", f"{CONVERSION}: {error}") from None
