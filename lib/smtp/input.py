"""What was fed to a session and is not used yet: cut into lines and counted octets.

Promises: an overlong line is passed over as it comes, so that nothing grows with a line.
"""

from __future__ import annotations

from typing import Final

OVERLONG: Final = b"\n"
"""What `Input.line` gives for a line beyond the limit: a line end, which no line contains."""


class Input:
    """A buffer with a position; `start` is where the unused octets of `buffer` begin."""

    __slots__ = ("_skipping", "buffer", "start")

    def __init__(self) -> None:
        self.buffer = b""
        self.start = 0
        self._skipping = False

    def __len__(self) -> int:
        return len(self.buffer) - self.start

    @property
    def skipping(self) -> bool:
        """Whether the rest of an overlong line is being passed over."""
        return self._skipping

    def feed(self, data: bytes) -> None:
        """Append what arrived."""
        self.buffer = self.buffer[self.start :] + data if self.start < len(self.buffer) else data
        self.start = 0

    def line(self, limit: int) -> bytes | None:
        """The next line without its LF; None until it is complete; `OVERLONG` where it was longer than `limit`."""
        buffer, start = self.buffer, self.start
        end = buffer.find(b"\n", start)
        if end < 0:
            if len(buffer) - start > limit + 1:
                self._skipping = True
            if self._skipping:
                self.buffer, self.start = b"", 0
            return None
        self.start = end + 1
        if self._skipping or end - start > limit + 1:
            self._skipping = False
            return OVERLONG
        return buffer[start:end]

    def take(self, most: int) -> bytes:
        """Up to so many octets."""
        data = self.buffer[self.start : self.start + most]
        self.start += len(data)
        return data

    def rest(self) -> bytes:
        """All that there is, without using it."""
        return self.buffer[self.start :] if self.start else self.buffer

    def replace(self, data: bytes) -> None:
        """Only `data` is unused now."""
        self.buffer, self.start = data, 0

    def clear(self) -> None:
        """Forget everything."""
        self.buffer, self.start = b"", 0
        self._skipping = False
