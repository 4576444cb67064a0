"""What a long command shows while it works: a bar on a terminal, otherwise a line when a mailbox is done."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from pillarbox.commands.options import printable

_WIDTH: Final = 24
_EVERY: Final = 0.1
"""Seconds between two pictures of the bar."""


class Bar:
    """A bar on `terminal`, drawn over and over on one line; nothing where that is no terminal."""

    def __init__(self, terminal: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._terminal = sys.stderr if terminal is None else terminal
        self._clock = clock
        self._shown = self._terminal.isatty()
        self._drawn = 0
        self._next = 0.0
        self._mailbox = ""
        self._began = 0.0

    def show(self, mailbox: str, done: int, total: int, octets: int) -> None:
        """How far a mailbox is: messages done, messages in all, octets done in this run."""
        if not self._shown:
            return
        now = self._clock()
        if mailbox != self._mailbox:
            self._mailbox, self._began = mailbox, now
        elif now < self._next and done < total:
            return
        self._next = now + _EVERY
        self._draw(picture(mailbox, done, total, octets / max(now - self._began, 0.001), self._columns()))

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._terminal.fileno()).columns
        except (OSError, ValueError):
            return 80

    def _draw(self, text: str) -> None:
        self._terminal.write(f"\r{text.ljust(self._drawn)}")
        self._terminal.flush()
        self._drawn = len(text)

    def clear(self) -> None:
        """Make room for other lines."""
        if self._drawn:
            self._draw("")
            self._terminal.write("\r")
            self._terminal.flush()
            self._drawn = 0


def picture(mailbox: str, done: int, total: int, rate: float, columns: int) -> str:
    """The bar as a line of at most `columns` characters."""
    share = done / total if total else 1.0
    filled = int(share * _WIDTH)
    bar = f"[{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{total} {share:4.0%} {rate / 1e6:.1f} MB/s"
    room = max(8, columns - len(bar) - 2)
    name = printable(mailbox)
    return f"{name if len(name) <= room else name[: room - 1] + '…'} {bar}"[: columns - 1]
