"""ENVELOPE (RFC 9051 section 7.5.2)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from pillarbox.imapd.fetch.header_fields import header_of
from pillarbox.imapd.fetch.item import CachedItem, Message, plain
from pillarbox.imapd.protocol.response import NIL, PLAIN, QUOTED_LIMIT, nstring, parenthesized
from pillarbox.lib.mime import Envelope
from pillarbox.lib.mime.addresses import Address, parse_addresses
from pillarbox.lib.mime.envelope import envelope_fields, unfold

REMEMBERED: Final = 256
"""Octets of an address field whose form is remembered: most mail comes from and goes to the same few people."""


def format_address(address: Address) -> bytes:
    """address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"."""
    name, route, mailbox, host = address
    if route is None and mailbox is not None and host is not None:
        together = mailbox + host if name is None else name + mailbox + host
        if len(together) <= QUOTED_LIMIT and PLAIN.fullmatch(together):
            if name is None:
                return b'(NIL NIL "%b" "%b")' % (mailbox, host)
            return b'("%b" NIL "%b" "%b")' % (name, mailbox, host)
    return b"(%b %b %b %b)" % (nstring(name), nstring(route), nstring(mailbox), nstring(host))


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


def _field_addresses(value: bytes | None) -> bytes:
    if not value:
        return NIL
    return _remembered(value) if len(value) <= REMEMBERED else format_addresses(parse_addresses(value))


@lru_cache(512)
def _remembered(value: bytes) -> bytes:
    return format_addresses(parse_addresses(value))


def envelope(header: bytes) -> bytes:
    """The same as `format_envelope(parse_envelope(header))`, without the objects between."""
    get = envelope_fields(header).get

    def text(name: bytes) -> bytes:
        value = get(name)
        return NIL if value is None else nstring(unfold(value))

    from_ = _field_addresses(get(b"from"))
    sender, reply_to = (_field_addresses(get(name)) for name in (b"sender", b"reply-to"))
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        text(b"date"),
        text(b"subject"),
        from_,
        from_ if sender == NIL else sender,
        from_ if reply_to == NIL else reply_to,
        _field_addresses(get(b"to")),
        _field_addresses(get(b"cc")),
        _field_addresses(get(b"bcc")),
        text(b"in-reply-to"),
        text(b"message-id"),
    )


class EnvelopeItem(CachedItem):
    name, field = b"ENVELOPE", "envelope"

    def value(self, message: Message) -> bytes:
        return envelope(header_of(message))


ENVELOPE = EnvelopeItem()
ITEMS = {b"ENVELOPE": plain(ENVELOPE)}
