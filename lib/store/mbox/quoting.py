"""`From_` lines and their quoting in the mbox format (mbox(5), the "mboxo" variant that Postfix writes)."""

from __future__ import annotations

import re
import time
from typing import Final

_UNSAFE = re.compile(r"[\x00-\x20\x7f]")
_FROM: Final = b"From "
_AGAIN = re.compile(rb"\n(?=>*From )")
_QUOTED = re.compile(rb">*From ")
_MOST_QUOTES: Final = 1000
"""So many `>` are waited for at the end of a piece; a line that begins with more is no quoted one."""


def from_line(sender: str, when: float) -> bytes:
    """The line before a message: envelope sender (`MAILER-DAEMON` for none) and the local time in asctime(3)'s form."""
    name = _UNSAFE.sub("_", sender) or "MAILER-DAEMON"
    return f"From {name}  {time.asctime(time.localtime(when))}\n".encode("utf-8", "surrogateescape")


class FromQuoter:
    """Puts `>` before lines of a stream that begin with `From `; pieces may be cut anywhere.

    `again`: and before those that have been given some before (the "mboxrd" variant), so that what was quoted can be
    told from what was so.
    """

    __slots__ = ("_again", "_at_line_start", "_held")

    def __init__(self, *, again: bool = False) -> None:
        self._again = again
        self._held = b""
        self._at_line_start = True

    def feed(self, data: bytes) -> bytes:
        """The next piece; what may be the beginning of `From ` at its end waits for the rest."""
        data = self._held + data
        newline = data.rfind(b"\n")
        tail = data[newline + 1 :]
        bare = tail.lstrip(b">") if self._again and len(tail) < _MOST_QUOTES else tail
        if len(bare) < len(_FROM) and (newline >= 0 or self._at_line_start) and _FROM.startswith(bare):
            self._held = tail
            data = data[: newline + 1]
        else:
            self._held = b""
        if not data:
            return b""
        quoted = _AGAIN.sub(b"\n>", data) if self._again else data.replace(b"\nFrom ", b"\n>From ")
        if self._at_line_start and (_QUOTED.match(data) if self._again else data.startswith(_FROM)):
            quoted = b">" + quoted
        self._at_line_start = data.endswith(b"\n")
        return quoted

    def finish(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return held
