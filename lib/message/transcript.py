"""What two programs said to each other, kept in bounded memory until it is known whether anybody wants to read it.

The beginning and the end are kept; what is left out in between is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

FIRST = 20
LAST = 20
"""Pieces kept of the beginning and of the end: with PIECE they bound the memory of one session to 20 kB."""

PIECE = 512
"""Octets kept of one command or reply."""


class Transcript:
    """`add` costs next to nothing; the lines are made when they are asked for."""

    __slots__ = ("_first", "_last", "_left_out")

    def __init__(self) -> None:
        self._first: list[tuple[str, bytes]] = []
        self._last: deque[tuple[str, bytes]] | None = None
        self._left_out = 0

    def add(self, who: str, said: bytes) -> None:
        """Note what `who` (a word such as `In`) said; line ends stand in it as they were sent."""
        if len(said) > PIECE:
            said = said[:PIECE]
        if self._last is None:
            self._first.append((who, said))
            if len(self._first) >= FIRST:
                self._last = deque(maxlen=LAST)
            return
        if len(self._last) == LAST:
            self._left_out += 1
        self._last.append((who, said))

    def lines(self) -> Iterator[str]:
        """The conversation, one line of it at a time, printable, as `In:  HELO x`."""
        for who, said in self._first:
            yield from _lines(who, said)
        if self._left_out:
            yield f"[{self._left_out} more left out]"
        for who, said in self._last or ():
            yield from _lines(who, said)


def _lines(who: str, said: bytes) -> Iterator[str]:
    text = said.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n")
    for line in text.split("\n"):
        yield f"{who + ':':<5}{''.join(one if one.isprintable() and one.isascii() else '?' for one in line)}"
