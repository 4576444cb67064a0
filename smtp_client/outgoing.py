"""Names that mail bears outside: generic(5) addresses, senders of mail that is sent on, the header as others see it.

None of it is known to a service that has no such parameter set (`Outgoing.configured` is None), and none of it changes
what the log and the queue manager call a recipient.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pillarbox.lib.address.header_rewriting import rewrite_addresses
from pillarbox.lib.clients.lookup import AsyncLookupClient
from pillarbox.lib.config import Config
from pillarbox.lib.config.access import CLIENT_CHECKS
from pillarbox.lib.config.client_services import is_lmtp
from pillarbox.lib.config.parameters.general import SERVICE_NAME
from pillarbox.lib.config.parameters.rewriting import SMTP_GENERIC_MAPS, SRS_DOMAIN
from pillarbox.lib.delivery import Content, DeliveryRecipient, DeliveryRequest
from pillarbox.lib.delivery.content import Edit, EditedContent
from pillarbox.lib.message.address_fields import is_text, rewrite_fields
from pillarbox.smtp_client.content_edits import ContentEdits

QUESTIONS_AT_ONCE = 50
"""Addresses of a header that lookup is asked about at the same time."""


@dataclass(frozen=True, slots=True)
class Told:
    """What servers are told in the envelope: `sender`, but for those in `senders` (by the recipient's number)."""

    sender: str
    senders: Mapping[int, str] = field(default_factory=dict)
    addresses: Mapping[int, str] = field(default_factory=dict)

    def sender_for(self, recipient: DeliveryRecipient) -> str:
        """The reverse-path of the message for a recipient."""
        return self.senders.get(recipient.n, self.sender)

    def address(self, recipient: DeliveryRecipient) -> str:
        """The forward-path of a recipient."""
        return self.addresses.get(recipient.n, recipient.address)


def asks_about_names(config: Config) -> bool:
    """Whether a service with this configuration has questions to lookup."""
    return bool(config[SMTP_GENERIC_MAPS]) or _sends_on(config)


def _sends_on(config: Config) -> bool:
    return bool(config[SRS_DOMAIN].strip()) and not is_lmtp(config, config[SERVICE_NAME])


class Outgoing:
    """For one service."""

    def __init__(self, config: Config) -> None:
        """Opens the tables of the header.  Raises TableError."""
        self._generic = config[SMTP_GENERIC_MAPS]
        self._sends_on = _sends_on(config)
        self._lookup = AsyncLookupClient(config)
        self._edits = ContentEdits(config, self._lookup)

    @classmethod
    def configured(cls, config: Config) -> Outgoing | None:
        """None where there is nothing to do.  Raises TableError."""
        wanted = asks_about_names(config) or any(config[parameter] for parameter in CLIENT_CHECKS)
        return cls(config) if wanted else None

    async def told(self, request: DeliveryRequest) -> Told:
        """The envelope.  Raises LookupFailed: nobody can say now, and the mail waits."""
        sender = request.sender
        senders: dict[int, str] = {}
        addresses: dict[int, str] = {}
        if self._sends_on and sender:
            for one in request.recipients:
                if one.original and one.original.lower() != one.address.lower():
                    forwarded = await self._lookup.forwarded(sender, one.original, one.address)
                    if forwarded is not None:
                        senders[one.n] = forwarded
        if self._generic:
            if sender:
                sender = await self._lookup.generic(self._generic, sender)
            for one in request.recipients:
                generic = await self._lookup.generic(self._generic, one.address)
                if generic != one.address:
                    addresses[one.n] = generic
        return Told(sender, senders, addresses)

    async def content(self, request: DeliveryRequest) -> Content:
        """The content as others see it.  Raises LookupFailed, OSError, EOFError."""
        content = request.content
        if not self._generic and not self._edits:
            return content
        before = header = content.header()
        edits: list[Edit] = []
        if self._edits:
            header = await self._edits.header(before, request.queue_id, _parties(request))
            edits = await self._edits.rest(content, before, request.queue_id, _parties(request))
        if self._generic:
            header = _replaced(header, await self._names(_addresses(header)))
        if header != before:
            edits.insert(0, Edit(0, len(before), header))
        return EditedContent(content, edits) if edits else content

    async def _names(self, addresses: Iterable[str]) -> dict[str, str]:
        """What others see in place of each address."""
        wanted = list(dict.fromkeys(addresses))
        found: dict[str, str] = {}
        for start in range(0, len(wanted), QUESTIONS_AT_ONCE):
            asked = wanted[start : start + QUESTIONS_AT_ONCE]
            answers = await asyncio.gather(*(self._lookup.generic(self._generic, one) for one in asked))
            found.update(zip(asked, answers, strict=True))
        return found

    async def close(self) -> None:
        """End the connection to lookup."""
        await self._lookup.close()


def _addresses(header: bytes) -> list[str]:
    """The addresses in a header block, but those with octets that no table can have."""
    found: list[str] = []

    def seen(address: str) -> str:
        if is_text(address):
            found.append(address)
        return address

    rewrite_fields(header, lambda _name, value: rewrite_addresses(value, seen))
    return found


def _replaced(header: bytes, names: Mapping[str, str]) -> bytes:
    return rewrite_fields(
        header, lambda _name, value: rewrite_addresses(value, lambda address: names.get(address, address))
    )


def _parties(request: DeliveryRequest) -> str:
    first = request.recipients[0].address if request.recipients else ""
    return f"from=<{request.sender}> to=<{first}>"
