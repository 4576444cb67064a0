"""What one service offers and tolerates, fixed for the life of the process; and the EHLO reply that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.content import BareNewline
from pillarbox.lib.smtp.reply import Reply

COMMAND_LIMIT: Final = 2048
"""Octets of a command line (line_length_limit): RFC 5321's 512, and what MAIL's and RCPT's parameters add (RFC 1870
section 3, RFC 3461 section 4, RFC 4954 section 4, RFC 6531 section 3.4)."""

FORBIDDEN: Final = frozenset(("CONNECT", "GET", "POST"))


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The settings of a server session; limits of 0 mean none.

    `host` is our name in replies, `greeting` the text after 220, `lmtp` chooses the protocol.
    """

    host: str
    greeting: str
    lmtp: bool = False
    size_limit: int = 10_240_000
    recipient_limit: int = 1000
    recipient_overshoot: int = 1000
    command_limit: int = COMMAND_LIMIT
    soft_error_limit: int = 10
    hard_error_limit: int = 20
    junk_limit: int = 100
    helo_required: bool = False
    strict: bool = False
    smtputf8: bool = True
    verify: bool = True
    etrn: bool = False
    tls: bool = False
    tls_required: bool = False
    auth: bool = False
    auth_needs_tls: bool = False
    bare_newline: BareNewline = "normalize"
    forbid_pipelining: bool = True
    soft_bounce: bool = False
    forbidden: frozenset[str] = FORBIDDEN
    discarded: frozenset[str] = frozenset()
    """EHLO keywords, upper case, that are neither announced nor honoured (smtpd_discard_ehlo_keywords)."""
    _replies: dict[tuple[bool, tuple[str, ...]], Reply] = field(default_factory=dict, init=False, repr=False)

    def offers(self, keyword: str) -> bool:
        """Whether an extension is not discarded."""
        return keyword not in self.discarded

    def extensions(self, encrypted: bool, mechanisms: tuple[str, ...]) -> Reply:
        """The answer to EHLO or LHLO."""
        key = (encrypted, mechanisms)
        reply = self._replies.get(key)
        if reply is None:
            reply = self._replies[key] = replies.extensions(self.host, self._keywords(encrypted, mechanisms))
        return reply

    def _keywords(self, encrypted: bool, mechanisms: tuple[str, ...]) -> tuple[str, ...]:
        lines = ["PIPELINING", f"SIZE {self.size_limit}" if self.size_limit else "SIZE"]
        if self.verify:
            lines.append("VRFY")
        if self.etrn and not self.lmtp:
            lines.append("ETRN")
        if self.tls and not encrypted:
            lines.append("STARTTLS")
        if mechanisms:
            lines.append(f"AUTH {' '.join(mechanisms)}")
        lines += ["ENHANCEDSTATUSCODES", "8BITMIME", "DSN"]
        if self.smtputf8:
            lines.append("SMTPUTF8")
        lines.append("CHUNKING")
        return tuple(line for line in lines if line.partition(" ")[0] not in self.discarded)
