"""The mail that a filter writes: vacation replies (RFC 5230), notifications (RFC 5436), notices of a script's error.

Each function gives a whole message as bytes, LF line ends, without Received: field.  What is not ASCII is encoded, so
that any server takes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pillarbox.lib.address import parse_address_list
from pillarbox.lib.message.date import format_date
from pillarbox.lib.message.encoded_words import decode_words, encode_phrase, encode_words
from pillarbox.lib.message.header import LINE_LIMIT, compose, first_value
from pillarbox.lib.mime.encoding import QuotedPrintable
from pillarbox.lib.sieve.mailto import Mailto

Fields = Iterable[tuple[bytes, bytes]]

_REFERENCES_LIMIT: Final = 4096
"""Octets of References: that are kept; the oldest go first."""
_IDENTIFIER: Final = re.compile(rb"<[!-;=?-~]{1,900}>")
"""What others have written is repeated only where it is an identifier that fits into a line."""
_SUBJECT_LIMIT: Final = 500
"""Characters of a subject."""
_IMPORTANCE: Final = {1: ("1 (Highest)", "High"), 3: ("5 (Lowest)", "Low")}


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What all such mail has: when it is written, its identifier, who writes it (`from_` is a From: field's value)."""

    when: float
    message_id: str
    from_: str


def vacation_reply(head: Letterhead, *, to: str, subject: str, reason: str, mime: bool, answered: bytes) -> bytes:
    """A reply to the message whose header is `answered`; with `mime`, `reason` is a MIME entity with its header."""
    fields = [
        *_top(head, to, subject),
        (b"Auto-Submitted", b"auto-replied (vacation)"),
        (b"Precedence", b"bulk"),  # for the responders that know no other field
        *_thread(answered),
    ]
    if mime:
        return _composed(fields) + _entity(reason)
    return _composed(fields) + _text(reason)


def notification(
    head: Letterhead,
    *,
    uri: Mailto,
    owner: str,
    message: str,
    importance: int,
    about: bytes,
) -> bytes:
    """A mailto notification about the message whose header is `about` (RFC 5436 section 2)."""
    subject = decode_words(first_value(about, b"subject") or b"")
    fields: list[tuple[bytes, bytes]] = [
        *_top(head, ", ".join(uri.to), uri.subject or message or subject or "Notification"),
    ]
    if uri.cc:
        fields.append((b"Cc", ", ".join(uri.cc).encode("ascii", "replace")))
    fields.append((b"Auto-Submitted", b'auto-notified; owner-email="' + _quoted(owner) + b'"'))
    fields += [(name.encode("ascii"), encode_words(_one_line(value))) for name, value in uri.fields]
    if importance in _IMPORTANCE:
        priority, word = _IMPORTANCE[importance]
        fields += [(b"X-Priority", priority.encode()), (b"Importance", word.encode())]
    body = uri.body or message or f"You have new mail.\n\nFrom: {_from(about)}\nSubject: {subject}\n"
    return _composed(fields) + _text(body)


def error_notice(head: Letterhead, *, to: str, error: str) -> bytes:
    """Tells a user of an error in the scripts that filter mail."""
    fields = [*_top(head, to, "An error in your mail filter"), (b"Auto-Submitted", b"auto-generated")]
    return _composed(fields) + _text(
        f"A script that filters your mail has an error:\n\n  {error}\n\n"
        "The message was delivered to your INBOX, and so are others that meet this error. Please correct the script.\n"
        "You are told of errors once a day at most.\n"
    )


# --- parts of a message


def _top(head: Letterhead, to: str, subject: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"Date", format_date(head.when).encode()),
        (b"From", _address_field(head.from_)),
        (b"To", to.encode("utf-8", "replace")),
        (b"Subject", encode_words(_one_line(subject)[:_SUBJECT_LIMIT])),
        (b"Message-ID", head.message_id.encode()),
    ]


def _address_field(text: str) -> bytes:
    """The addresses in `text`, names encoded."""
    mailboxes = parse_address_list(text).mailboxes
    parts = [
        encode_phrase(decode_words(mailbox.name.encode("utf-8", "replace"))) + b" <" + _octets(mailbox.address) + b">"
        if mailbox.name
        else _octets(mailbox.address)
        for mailbox in mailboxes
    ]
    return b", ".join(parts)


def _octets(address: str) -> bytes:
    return address.encode("utf-8", "replace")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _quoted(text: str) -> bytes:
    return "".join(character for character in text if character.isprintable() and character not in '"\\').encode()


def _thread(answered: bytes) -> Sequence[tuple[bytes, bytes]]:
    """In-Reply-To and References (RFC 5322 section 3.6.4)."""
    identifiers = _IDENTIFIER.findall(first_value(answered, b"message-id") or b"")
    if not identifiers:
        return ()
    earlier = first_value(answered, b"references") or first_value(answered, b"in-reply-to") or b""
    words = [*_IDENTIFIER.findall(earlier), identifiers[0]]
    while len(words) > 1 and sum(map(len, words)) + len(words) > _REFERENCES_LIMIT:
        del words[0]
    return ((b"In-Reply-To", identifiers[0]), (b"References", b" ".join(words)))


def _from(header: bytes) -> str:
    return _one_line(decode_words(first_value(header, b"from") or b"unknown"))[:_SUBJECT_LIMIT]


def _composed(fields: Fields) -> bytes:
    return b"".join(compose(name, value) for name, value in fields)


def _text(text: str) -> bytes:
    """A text/plain entity: header and body."""
    octets = "\n".join(text.replace("\r\n", "\n").split("\n")).encode("utf-8", "replace")
    if not octets.endswith(b"\n"):
        octets += b"\n"
    top = b"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "
    if octets.isascii() and b"\0" not in octets and max(map(len, octets.split(b"\n"))) <= LINE_LIMIT:
        return top + b"7bit\n\n" + octets
    encoder = QuotedPrintable(exact=False)
    return top + b"quoted-printable\n\n" + encoder.encode(octets) + encoder.finish()


def _entity(text: str) -> bytes:
    """A MIME entity that the script has written; the fields that do not describe content are left out."""
    octets = text.replace("\r\n", "\n").replace("\0", "").encode("utf-8", "replace")
    header, _, body = octets.partition(b"\n\n")
    if octets.startswith(b"\n"):
        header, body = b"", octets[1:]
    kept: list[bytes] = []
    keeping = False
    for line in header.split(b"\n"):
        if line[:1] not in (b" ", b"\t"):
            keeping = line.lower().startswith(b"content-") and b":" in line
        if keeping and line:
            kept.append(line)
    if not body.endswith(b"\n"):
        body += b"\n"
    return b"MIME-Version: 1.0\n" + b"".join(line + b"\n" for line in kept) + b"\n" + body
