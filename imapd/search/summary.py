"""What THREAD and SORT compare of a message, worked out once and kept in the mailbox's cache as `thread`.

Lines: the sent date in seconds since the epoch (empty where the header names none), `1` for an answer (else empty), the
base subject ready for comparison, the Message-ID, and what the message answers, the direct parent last.  Texts are in
UTF-8, whose order is that of the characters; identifiers as `lib.message.references` has them.
"""

from __future__ import annotations

import re
from typing import Final

from pillarbox.imapd.search.collation import casemap
from pillarbox.imapd.search.subject import base_subject
from pillarbox.lib.message.date import parse_date
from pillarbox.lib.message.header import unfold
from pillarbox.lib.message.references import first_id, references

FIELD: Final = "thread"
"""In the mailbox's cache."""

_FIELDS = re.compile(
    rb"\n(date|subject|message-id|references|in-reply-to)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE
)


def sent_date(value: bytes | None) -> float | None:
    """The time that the value of a Date: names, None where it names none."""
    return parse_date(value.decode("ascii", "replace")) if value else None


def summarize(short: bytes) -> bytes:
    """That of a short header (`fetch.header_fields`).  Of a field that stands there twice the first counts."""
    values: dict[bytes, bytes] = {}
    for name, value in _FIELDS.findall(b"\n" + short):
        values.setdefault(name.lower(), unfold(value.removesuffix(b"\r")))
    sent = sent_date(values.get(b"date"))
    subject = base_subject(values.get(b"subject", b""))
    named = references(values.get(b"references"), values.get(b"in-reply-to"))
    lines = [
        b"" if sent is None else b"%d" % sent,
        b"1" if subject.reply else b"",
        casemap(subject.base).encode("utf-8", "surrogatepass"),
        first_id(values.get(b"message-id")).encode("latin-1"),
    ]
    lines += [identifier.encode("latin-1") for identifier in named]
    return b"\n".join(lines)
