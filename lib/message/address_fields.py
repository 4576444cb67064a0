"""Which header fields hold addresses, and whose: of those who write, or of those who are written to.

By these Postfix's classes header_sender and header_recipient are told apart (canonical_classes in postconf(5)).
"""

from __future__ import annotations

from collections.abc import Callable

from pillarbox.lib.message.header import scan

SENDER_FIELDS = frozenset(
    (
        b"from",
        b"sender",
        b"reply-to",
        b"resent-from",
        b"resent-sender",
        b"resent-reply-to",
        b"errors-to",
        b"return-receipt-to",
        b"disposition-notification-to",
        b"mail-followup-to",
    )
)
RECIPIENT_FIELDS = frozenset((b"to", b"cc", b"bcc", b"resent-to", b"resent-cc", b"resent-bcc", b"apparently-to"))


def rewrite_fields(header: bytes, rewrite: Callable[[bytes, str], str]) -> bytes:
    """The header block with what `rewrite(name in lower case, value)` makes of the values of fields with addresses.

    Octets that are no UTF-8 come as surrogates, and survive.  A header in which nothing changes comes back itself.
    """
    pieces: list[bytes] = []
    done = 0
    for field in scan(header):
        name = field.name.lower()
        if name not in SENDER_FIELDS and name not in RECIPIENT_FIELDS:
            continue
        value = header[field.value : field.end].decode("utf-8", "surrogateescape")
        new = rewrite(name, value)
        if new != value:
            pieces += (header[done : field.value], new.encode("utf-8", "surrogateescape"))
            done = field.end
    return b"".join((*pieces, header[done:])) if pieces else header


def is_text(address: str) -> bool:
    """Whether an address from a header can be the key of a table: it is all UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in address)
