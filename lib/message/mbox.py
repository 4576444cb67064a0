"""The `From ` line of mbox files (the format that mutt, dovecot and procmail call mboxrd/mboxo).

Does not read or lock mailboxes: that is the store's work.
"""

from __future__ import annotations

import re

from pillarbox.lib.message.date import format_asctime

_UNSAFE = re.compile(r"[\x00-\x20\x7f]")


def from_line(sender: str, when: float) -> bytes:
    """`From sender  Sun Nov 22 03:38:16 2026`; the null sender is MAILER-DAEMON; blanks in the address become `?`."""
    address = _UNSAFE.sub("?", sender) or "MAILER-DAEMON"
    return f"From {address}  {format_asctime(when)}\n".encode("utf-8", "surrogateescape")


def is_from_line(line: bytes) -> bool:
    """Whether a line begins a message in a mailbox, also in the quoted form that programs leave on top of messages."""
    return line.startswith((b"From ", b">From "))


class FromQuoter:
    """Quotes lines of content that begin with `From ` (mboxo: `>` is put before them), chunk by chunk.

    The beginning of a line may come in pieces: up to four octets are held back until the next chunk or `close`.
    """

    __slots__ = ("_held", "_line_start")

    def __init__(self) -> None:
        self._held = b""
        self._line_start = True

    def feed(self, chunk: bytes) -> bytes:
        """The quoted form of what is certain so far."""
        data = self._held + chunk
        if not data:
            return b""
        keep = self._undecided(data)
        self._held = data[len(data) - keep :] if keep else b""
        ready = data[: len(data) - keep] if keep else data
        if not ready:
            return b""
        quoted = ready.replace(b"\nFrom ", b"\n>From ")
        if self._line_start and ready.startswith(b"From "):
            quoted = b">" + quoted
        self._line_start = ready.endswith(b"\n")
        return quoted

    def close(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return held

    def _undecided(self, data: bytes) -> int:
        """How many octets at the end could begin a `From `."""
        for size in (4, 3, 2, 1):
            if data.endswith(b"From"[:size]):
                before = data[: len(data) - size]
                if before.endswith(b"\n") or (not before and self._line_start):
                    return size
        return 0
