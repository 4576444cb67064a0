"""One reply that a server gives: code, enhanced status code, text lines.

Promises: what `encode` gives is a reply as RFC 5321 section 4.2 and RFC 2034 write it.  Replies of other servers are
read by `client_reply`, which must take what the RFCs don't allow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Reply-code [status-code] text (RFC 5321 section 4.2, RFC 3463 section 2)
_SPELLING = re.compile(r"([2345][0-9]{2}) (?:([245]\.[0-9]{1,3}\.[0-9]{1,3}) )?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply.  `enhanced` is "" where there is none; `lines` are texts without codes, at least one, printable."""

    code: int
    enhanced: str
    lines: tuple[str, ...]
    _wire: list[bytes] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, text: str) -> Reply:
        """A reply from its spelling, `Reply.of("250 2.1.0 Ok")`; line feeds separate lines.  Raises ValueError."""
        match = _SPELLING.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no reply")
        return cls(int(match[1]), match[2] or "", tuple(match[3].split("\n")))

    @property
    def text(self) -> str:
        """The lines as one text."""
        return " ".join(self.lines)

    @property
    def failed(self) -> bool:
        """Whether it is a 4xx or 5xx."""
        return self.code >= 400

    @property
    def action(self) -> str:
        """The word that logs have for a refusal of this kind."""
        return "reject"

    def encode(self) -> bytes:
        """The reply as sent, with CRLF; the enhanced code stands in every line (RFC 2034 section 4)."""
        wire = self._wire
        if not wire:
            prefix = f"{self.enhanced} " if self.enhanced else ""
            last = len(self.lines) - 1
            wire.append(
                "".join(
                    f"{self.code}{' ' if number == last else '-'}{prefix}{line}\r\n"
                    for number, line in enumerate(self.lines)
                ).encode("utf-8", "replace")
            )
        return wire[0]

    def __str__(self) -> str:
        """As logs show it: `250 2.1.0 Ok`."""
        return f"{self.code} {self.enhanced + ' ' if self.enhanced else ''}{self.text}"
