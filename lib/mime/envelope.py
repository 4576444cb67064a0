"""ENVELOPE (RFC 9051 section 7.5.2): the fields of a header that a message list shows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pillarbox.lib.mime.addresses import Address, parse_addresses

Addresses = tuple[Address, ...]

# Begun with the line end before it, which is looked for much more quickly than the beginning of a line.
_FIELD = re.compile(
    rb"\n(date|subject|from|sender|reply-to|to|cc|bcc|in-reply-to|message-id)[ \t]*:[ \t]*"
    rb"([^\n]*(?:\n[ \t][^\n]*)*)",
    re.IGNORECASE,
)
_FOLDING = re.compile(rb"\r?\n")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Texts are as they stand in the header, unfolded; None where the field is missing."""

    date: bytes | None
    subject: bytes | None
    from_: Addresses
    sender: Addresses
    reply_to: Addresses
    to: Addresses
    cc: Addresses
    bcc: Addresses
    in_reply_to: bytes | None
    message_id: bytes | None


def unfold(value: bytes) -> bytes:
    """A value without its line ends and the blanks at both ends (RFC 5322 section 2.2.3)."""
    if b"\n" not in value:
        return value.strip(b" \t\r")
    return _FOLDING.sub(b"", value).strip(b" \t\r")


def envelope_fields(header: bytes) -> dict[bytes, bytes]:
    """The values of an envelope's fields as they stand in a header (LF or CRLF), by their names in lower case.

    Of a field that stands there twice the first counts, except that lists of recipients are joined.
    """
    texts: dict[bytes, bytes] = {}
    for name, value in _FIELD.findall(b"\n" + header):
        name = name.lower()
        if name not in texts:
            texts[name] = value
        elif name in (b"to", b"cc", b"bcc"):
            texts[name] += b"," + value
    return texts


def parse_envelope(header: bytes) -> Envelope:
    """Read the envelope out of a header.  Sender and Reply-To default to From, as the RFC wants."""
    texts = envelope_fields(header)

    def text(name: bytes) -> bytes | None:
        value = texts.get(name)
        return None if value is None else unfold(value)

    def addresses(name: bytes) -> Addresses:
        value = texts.get(name)
        return parse_addresses(value) if value else ()

    sender = addresses(b"from")
    return Envelope(
        date=text(b"date"),
        subject=text(b"subject"),
        from_=sender,
        sender=addresses(b"sender") or sender,
        reply_to=addresses(b"reply-to") or sender,
        to=addresses(b"to"),
        cc=addresses(b"cc"),
        bcc=addresses(b"bcc"),
        in_reply_to=text(b"in-reply-to"),
        message_id=text(b"message-id"),
    )
