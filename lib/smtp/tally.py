"""The count of commands that the log line of a session's end shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

ORDER: Final = (
    *("HELO", "EHLO", "LHLO", "XCLIENT", "XFORWARD", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "BDAT"),
    *("RSET", "NOOP", "HELP", "VRFY", "EXPN", "ETRN", "QUIT", "UNKNOWN"),
)
"""The order in which commands are shown."""


def summary(counts: Mapping[str, Sequence[int]]) -> str:
    """`ehlo=1 mail=1/2 quit=1 commands=3/4`: done, and tried where that differs."""
    words = []
    done = tried = 0
    for verb in ORDER:
        count = counts.get(verb)
        if count is not None:
            good, total = count
            done += good
            tried += total
            words.append(f"{verb.lower()}={good}" if good == total else f"{verb.lower()}={good}/{total}")
    words.append(f"commands={done}" if done == tried else f"commands={done}/{tried}")
    return " ".join(words)
