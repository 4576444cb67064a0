"""ENVELOPE (RFC 9051 section 7.5.2)."""

from __future__ import annotations

from pillarbox.imapd.fetch.item import CachedItem, Message, plain
from pillarbox.imapd.protocol.response import NIL, nstring, parenthesized
from pillarbox.lib.mime import Envelope, parse_envelope
from pillarbox.lib.mime.addresses import Address


def format_address(address: Address) -> bytes:
    """address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"."""
    return b"(%b %b %b %b)" % (
        nstring(address.name),
        nstring(address.route),
        nstring(address.mailbox),
        nstring(address.host),
    )


def format_addresses(addresses: tuple[Address, ...]) -> bytes:
    """ "(" 1*address ")" / nil."""
    return b"(" + b"".join(map(format_address, addresses)) + b")" if addresses else NIL


def format_envelope(envelope: Envelope) -> bytes:
    """envelope."""
    return parenthesized(
        (
            nstring(envelope.date),
            nstring(envelope.subject),
            format_addresses(envelope.from_),
            format_addresses(envelope.sender),
            format_addresses(envelope.reply_to),
            format_addresses(envelope.to),
            format_addresses(envelope.cc),
            format_addresses(envelope.bcc),
            nstring(envelope.in_reply_to),
            nstring(envelope.message_id),
        )
    )


class EnvelopeItem(CachedItem):
    name, field = b"ENVELOPE", "envelope"

    def value(self, message: Message) -> bytes:
        return format_envelope(parse_envelope(message.content.header()))


ENVELOPE = EnvelopeItem()
ITEMS = {b"ENVELOPE": plain(ENVELOPE)}
