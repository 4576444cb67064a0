"""Whom a vacation reply may be sent to (RFC 5230 sections 4.5 and 4.6, RFC 3834 section 2).

Pure functions over the message's header and envelope; the memory of whom has been answered is `remembered`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pillarbox.lib.address import parse_address_list
from pillarbox.lib.message.automatic import is_automatic, is_machine_sender
from pillarbox.lib.message.header import field_value, scan

_ADDRESSEES: Final = frozenset((b"to", b"cc", b"bcc", b"resent-to", b"resent-cc", b"resent-bcc"))


def why_not(header: bytes, sender: str, own: Iterable[str], *, check_recipient: bool = True) -> str:
    """Why a message is not answered, in words; "" where it may be.

    `own` are the user's addresses: those that the message was sent to, and those that the script names.
    """
    mine = frozenset(address.lower() for address in own if address)
    if not sender:
        return "the sender is null"
    if is_machine_sender(sender):
        return "nobody reads mail to the sender"
    if sender.lower() in mine:
        return "the sender is the user"
    if is_automatic(header):
        return "the message is automatic"
    if check_recipient and not mine & named_recipients(header):
        return "no header field names the user"
    return ""


def named_recipients(header: bytes) -> frozenset[str]:
    """The addresses in To, Cc, Bcc and their Resent- forms, in lower case."""
    found: set[str] = set()
    for field in scan(header):
        if field.name.lower() in _ADDRESSEES:
            text = field_value(header, field).decode("utf-8", "surrogateescape")
            found.update(mailbox.address.lower() for mailbox in parse_address_list(text).mailboxes)
    return frozenset(found)


def response_key(sender: str, handle: str) -> str:
    """What is remembered of a reply: to whom, and which one it was (RFC 5230 section 4.2)."""
    return f"{sender.lower()}\0{handle}"


def period(wanted: float, *, least: float, most: float) -> float:
    """The seconds between two replies, within what the site allows (RFC 5230 section 4.1, RFC 6131); `most` 0: any."""
    return max(least, min(wanted, most) if most else wanted)
