"""`mailto:` URIs (RFC 6068) as the method of notifications (RFC 5436): whom to write to, with which fields."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from pillarbox.lib.address.header import parse_address_list
from pillarbox.lib.sieve.address_parts import address_of
from pillarbox.lib.sieve.parts import octets_as_text

RECIPIENTS: Final = 8
"""Addresses of one URI: a notification is no mailing list; Pigeonhole's default."""

FIELDS: Final = 32
"""Fields of one URI."""

_URI = re.compile(r"mailto:([^?#]*)(?:\?([^#]*))?", re.IGNORECASE)
_ESCAPE_FAULT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FIELD_NAME = re.compile("[!-9;-~]{1,100}")
_IGNORED = frozenset(
    # The sender's business, or the transport's, and never that of an URI (RFC 5436 section 2.7).
    (
        "from",
        "bcc",
        "sender",
        "received",
        "return-path",
        "auto-submitted",
        "message-id",
        "date",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "resent-from",
        "resent-to",
        "apparently-to",
    )
)


@dataclass(frozen=True, slots=True)
class Mailto:
    """What the URI says, no address twice; `fields` are those besides To, Cc, Subject, in order, values as text."""

    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    subject: str | None = None
    body: str | None = None
    fields: tuple[tuple[str, str], ...] = ()


def parse_mailto(uri: str) -> Mailto:
    """Read it.  Raises ValueError with what is wrong."""
    match = _URI.fullmatch(uri)
    if match is None or _ESCAPE_FAULT.search(uri) or not uri.isprintable() or " " in uri:
        raise ValueError("expected a mailto: URI")
    to = _addresses(match[1])
    cc: list[str] = []
    subject: str | None = None
    body: str | None = None
    fields: list[tuple[str, str]] = []
    for piece in filter(None, (match[2] or "").split("&")):
        written, _, value = piece.partition("=")
        name, text = _text(written), _text(value)
        lower = name.lower()
        if not _FIELD_NAME.fullmatch(name):
            raise ValueError("expected the name of a header field behind the question mark of a mailto: URI")
        if lower == "to":
            to += _addresses(value)
        elif lower == "cc":
            cc += _addresses(value)
        elif lower == "body":
            body = text
        elif lower == "subject":
            subject = " ".join(text.split())
        elif lower not in _IGNORED and len(fields) < FIELDS:
            fields.append((name, " ".join(text.split())))
    to = list(dict.fromkeys(to))
    cc = [each for each in dict.fromkeys(cc) if each not in to]
    if not to + cc:
        raise ValueError("expected an address in a mailto: URI")
    if len(to + cc) > RECIPIENTS:
        raise ValueError(f"expected at most {RECIPIENTS} addresses in a mailto: URI")
    return Mailto(tuple(to), tuple(cc), subject, body, tuple(fields))


def _text(written: str) -> str:
    return octets_as_text(unquote_to_bytes(written))


def _addresses(written: str) -> list[str]:
    """The addresses of a list; a comma that is escaped divides too, as it did in RFC 2368."""
    found = parse_address_list(_text(written))
    wrong = [*found.invalid, *(each.address for each in found.mailboxes if address_of(each.address) is None)]
    if wrong:
        raise ValueError(f'expected an address with domain in a mailto: URI, not "{wrong[0][:100]}"')
    return [each.address for each in found.mailboxes]
