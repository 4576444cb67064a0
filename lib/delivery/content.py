"""The content of a message in an open queue file: a slice of a descriptor that several processes may share.

Only `pread` is used: the file offset belongs to all holders of the descriptor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

CHUNK = 64 * 1024
"""Bytes read at a time."""

HEADER_LIMIT = 1024 * 1024
"""Longest header block that is looked at; what follows counts as body."""


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
