"""Who a message itself says it is for: the recipients of `sendmail -t`.

Promises: To, Cc and Bcc, or, where any Resent- recipient field is present, those instead (of the topmost resent block
in practice: all of them); duplicates once; what cannot be read is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

from pillarbox.lib.address.header import parse_address_list
from pillarbox.lib.message.header import scan, unfold

_PLAIN = frozenset((b"to", b"cc", b"bcc", b"apparently-to"))
_RESENT = frozenset((b"resent-to", b"resent-cc", b"resent-bcc"))


@dataclass(frozen=True, slots=True)
class HeaderRecipients:
    """Addresses in order of appearance, and entries that are no addresses, as written."""

    addresses: tuple[str, ...]
    invalid: tuple[str, ...]


def header_recipients(block: bytes) -> HeaderRecipients:
    """Read the recipient fields of a header block."""
    plain: dict[str, None] = {}
    resent: dict[str, None] = {}
    invalid: list[str] = []
    resent_invalid: list[str] = []
    any_resent = False
    for field in scan(block):
        name = field.name.lower()
        if name in _PLAIN:
            found, wrong = plain, invalid
        elif name in _RESENT:
            found, wrong = resent, resent_invalid
            any_resent = True
        else:
            continue
        parsed = parse_address_list(unfold(block[field.value : field.end]).decode("utf-8", "surrogateescape"))
        found.update(dict.fromkeys(mailbox.address for mailbox in parsed.mailboxes))
        wrong += parsed.invalid
    if any_resent:
        return HeaderRecipients(tuple(resent), tuple(resent_invalid))
    return HeaderRecipients(tuple(plain), tuple(invalid))
