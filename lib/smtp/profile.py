"""What one service offers and tolerates, fixed for the life of the process; and the EHLO reply that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from pillarbox.lib.smtp import replies
from pillarbox.lib.smtp.client_attributes import XCLIENT, XFORWARD
from pillarbox.lib.smtp.content import BareNewline
from pillarbox.lib.smtp.parameters import EXTENSIONS, MAIL_PARAMETERS, MailParameter
from pillarbox.lib.smtp.reply import Reply

COMMAND_LIMIT: Final = 2048
"""Octets of a command line (line_length_limit): RFC 5321's 512, and what MAIL's and RCPT's parameters add (RFC 1870
section 3, RFC 3461 section 4, RFC 4954 section 4, RFC 6531 section 3.4)."""

FORBIDDEN: Final = frozenset(("CONNECT", "GET", "POST"))


NOTHING_GRANTED: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The settings of a server session; limits of 0 mean none.

    `host` is our name in replies, `greeting` the text after 220, `lmtp` chooses the protocol.  `mail_limit` and
    `domain_limit` hold for a session (RFC 9422).  `deliver_by` is the least time in seconds for BY with mode R (RFC
    2852; None: BY is not offered), `hold_limit` the longest time in seconds that a message may be held (RFC 4865; 0:
    holding is not offered).  `verp_delimiters` are those of XVERP without a value, `verp_allowed` the characters that
    may be asked for.
    """

    host: str
    greeting: str
    lmtp: bool = False
    size_limit: int = 10_240_000
    recipient_limit: int = 1000
    recipient_overshoot: int = 1000
    mail_limit: int = 0
    domain_limit: int = 0
    command_limit: int = COMMAND_LIMIT
    soft_error_limit: int = 10
    hard_error_limit: int = 20
    junk_limit: int = 100
    helo_required: bool = False
    strict: bool = False
    smtputf8: bool = True
    binarymime: bool = True
    requiretls: bool = True
    deliver_by: int | None = 0
    hold_limit: int = 0
    verp_delimiters: str = "+="
    verp_allowed: str = "-=+"
    verify: bool = True
    asks_unknown: bool = False
    etrn: bool = False
    tls: bool = False
    tls_required: bool = False
    auth: bool = False
    auth_needs_tls: bool = False
    bare_newline: BareNewline = "normalize"
    bare_newline_code: int = 550
    forbid_pipelining: bool = True
    soft_bounce: bool = False
    forbidden: frozenset[str] = FORBIDDEN
    discarded: frozenset[str] = frozenset()
    """EHLO keywords, upper case, that are neither announced nor honoured (smtpd_discard_ehlo_keywords)."""
    mail_parameters: Mapping[str, MailParameter] = field(init=False, repr=False)
    """The readers of those parameters of MAIL whose extensions are in use."""
    _replies: dict[tuple[bool, tuple[str, ...], frozenset[str]], Reply] = field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        used = {
            "DSN": True,
            "AUTH": self.auth,
            "SMTPUTF8": self.smtputf8,
            "REQUIRETLS": self.requiretls,
            "DELIVERBY": self.deliver_by is not None,
            "FUTURERELEASE": self.hold_limit > 0,
        }
        readers = {
            name: reader
            for name, reader in MAIL_PARAMETERS.items()
            if (extension := EXTENSIONS.get(name)) is None or (used[extension] and self.offers(extension))
        }
        object.__setattr__(self, "mail_parameters", readers)

    def offers(self, keyword: str) -> bool:
        """Whether an extension is not discarded."""
        return keyword not in self.discarded

    @property
    def binary(self) -> bool:
        """Whether BODY=BINARYMIME is taken; without BDAT it could not be sent (RFC 3030 section 3)."""
        return self.binarymime and self.offers("BINARYMIME") and self.offers("CHUNKING")

    def extensions(
        self,
        encrypted: bool,
        mechanisms: tuple[str, ...] = (),
        granted: frozenset[str] = NOTHING_GRANTED,
        now: float = 0.0,
    ) -> Reply:
        """The answer to EHLO or LHLO.

        `granted` are the commands that only this client may use; `now`, in seconds since the epoch, matters only where
        messages may be held.
        """
        if self.hold_limit:
            return replies.extensions(self.host, self._keywords(encrypted, mechanisms, granted, now))
        key = (encrypted, mechanisms, granted)
        reply = self._replies.get(key)
        if reply is None:
            reply = self._replies[key] = replies.extensions(
                self.host, self._keywords(encrypted, mechanisms, granted, now)
            )
        return reply

    def _keywords(
        self, encrypted: bool, mechanisms: tuple[str, ...], granted: frozenset[str], now: float
    ) -> tuple[str, ...]:
        lines = ["PIPELINING", f"SIZE {self.size_limit}" if self.size_limit else "SIZE"]
        if self.verify:
            lines.append("VRFY")
        if "EXPN" in granted:
            lines.append("EXPN")
        if self.etrn and not self.lmtp:
            lines.append("ETRN")
        if self.tls and not encrypted:
            lines.append("STARTTLS")
        if mechanisms:
            lines.append(f"AUTH {' '.join(mechanisms)}")
        if "XCLIENT" in granted:
            lines.append(f"XCLIENT {' '.join(XCLIENT)}")
        if "XFORWARD" in granted:
            lines.append(f"XFORWARD {' '.join(XFORWARD)}")
        if "XVERP" in granted:
            lines.append("XVERP")
        lines += ["ENHANCEDSTATUSCODES", "8BITMIME", "DSN"]
        if self.smtputf8:
            lines.append("SMTPUTF8")
        lines.append("CHUNKING")
        if self.binary:
            lines.append("BINARYMIME")
        if self.requiretls and encrypted:
            lines.append("REQUIRETLS")
        if self.deliver_by is not None:
            lines.append(f"DELIVERBY {self.deliver_by}" if self.deliver_by else "DELIVERBY")
        if self.hold_limit:
            lines.append(f"FUTURERELEASE {self.hold_limit} {utc_text(now + self.hold_limit)}")
        if limits := self._limits():
            lines.append(f"LIMITS {limits}")
        return tuple(line for line in lines if line.partition(" ")[0] not in self.discarded)

    def _limits(self) -> str:
        """What LIMITS announces (RFC 9422 section 4)."""
        limits = (
            ("MAILMAX", self.mail_limit),
            ("RCPTMAX", self.recipient_limit),
            ("RCPTDOMAINMAX", self.domain_limit),
        )
        return " ".join(f"{name}={limit}" for name, limit in limits if limit)


def utc_text(moment: float) -> str:
    """Seconds since the epoch as a date and time of RFC 3339."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
