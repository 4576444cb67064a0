"""The `Address` value: local part and domain of one mailbox.

Promises: `str(address)` is a legal RFC 5321 Mailbox (or Postmaster, or empty), quoted only where it must be, so that
one mailbox has one spelling; parsing that gives the same value again.  Does not fold case: local parts belong to
their domain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# RFC 5321 section 4.5.3.1: octets, as sent.
LOCAL_PART_LIMIT = 64
DOMAIN_LIMIT = 255
PATH_LIMIT = 256  # with the angle brackets

# RFC 5322 section 3.2.3 atext, widened by RFC 6531 section 3.3 (UTF8-non-ascii) less the C1 controls.
# Written as a set of what it is not: compiling one that goes up to U+10FFFF takes Python milliseconds.
ATOM = r'[^\x00- "(),.:;<>@\[\\\]\x7f-\x9f]+'
DOT_STRING = re.compile(rf"{ATOM}(?:\.{ATOM})*")
DOTTED_STRING = re.compile(ATOM.replace(".", "", 1))  # the same with dots anywhere
_SPECIAL_IN_QUOTES = re.compile(r'(["\\])')
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


class AddressSyntaxError(ValueError):
    """An address that the grammar or a length limit refuses; the text says what is wrong, for a person."""


@dataclass(frozen=True, slots=True)
class Address:
    """`local` without quotes and backslashes, `domain` as given ("" = none); both empty = null reverse-path."""

    local: str
    domain: str = ""

    def __str__(self) -> str:
        local = quote_local(self.local) if self.local or self.domain else ""
        return f"{local}@{self.domain}" if self.domain else local

    def __bool__(self) -> bool:
        """False for the null reverse-path."""
        return bool(self.local or self.domain)

    @property
    def is_literal(self) -> bool:
        """Whether the domain is an address literal such as `[192.0.2.1]`."""
        return self.domain.startswith("[")

    @property
    def is_ascii(self) -> bool:
        """Whether it can be sent without SMTPUTF8 (RFC 6531)."""
        return self.local.isascii() and self.domain.isascii()


def quote_local(local: str) -> str:
    """The local part as it is written: a dot-string where possible, else a quoted string (RFC 5321 section 4.1.2)."""
    if DOT_STRING.fullmatch(local):
        return local
    return '"' + _SPECIAL_IN_QUOTES.sub(r"\\\1", local) + '"'


def unquote_local(text: str) -> str:
    """The meaning of a written local part: quotes and backslashes removed."""
    if len(text) >= 2 and text[0] == '"' and text[-1] == '"':
        return _QUOTED_PAIR.sub(r"\1", text[1:-1])
    return text


def split_address(address: str) -> tuple[str, str]:
    """Cut an address that is known to be legal at its last `@`: (written local part, domain).

    Cheap, for addresses from our own queue and frames; a domain cannot hold an `@`, a quoted local part can.
    """
    local, at, domain = address.rpartition("@")
    return (local, domain) if at else (domain, "")
