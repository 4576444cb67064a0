"""`pillarbox route [-f SENDER] [--json] ADDRESS`: what becomes of mail for an address, each decision in its order.

    recipient  ann@example.org -> ok (local)                      may strangers send there
    sender     boss -> boss@example.org                           the envelope sender, rewritten
    form       ann -> ann@example.org                             the standard form
    canonical  ann@example.org -> a.smith@example.org             canonical tables, masquerading
    returned   SRS0=..@example.org -> eve@far.example             mail that comes back to one that was sent on
    copy       a.smith@example.org -> archive@example.org         blind copies
    alias      a.smith@example.org -> ann@home.example            virtual aliases, to the end
    transport  ann@home.example -> smtp:home.example              where it goes
    aliases    ann -> root, bob                                   what local delivery finds in alias_maps
    generic    ann@home.example -> ann@outer.example              the name that others see
    forwarded  eve@far.example -> SRS0=..@example.org             the sender that others see

The same code and the same service decide it that do when mail comes, so it is what happens, until a table changes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from pillarbox.lib.address.address import split_address, unquote_local
from pillarbox.lib.address.extension import split_extension
from pillarbox.lib.clients.addressing import Addressing
from pillarbox.lib.clients.lookup import AsyncLookupClient, LookupClient, LookupUnavailable, Route
from pillarbox.lib.config import Config
from pillarbox.lib.config.client_services import PROGRAM, config_of, is_lmtp
from pillarbox.lib.config.parameters.general import RECIPIENT_DELIMITER
from pillarbox.lib.config.parameters.lookup import ALIAS_MAPS
from pillarbox.lib.config.parameters.rewriting import SMTP_GENERIC_MAPS, SRS_DOMAIN
from pillarbox.lib.queue import Recipient


@dataclass(frozen=True, slots=True)
class Decision:
    """One step: what was decided about what."""

    step: str
    about: str
    decided: str

    def __str__(self) -> str:
        return f"{self.step:<10} {self.about} -> {self.decided}"


def route(config: Config, address: str, sender: str = "", *, as_json: bool = False) -> int:
    """Print each decision in order."""
    client = LookupClient(config)
    found: list[Decision] = []
    status = os.EX_OK
    try:
        for decision in decisions(config, client, address, sender):
            found.append(decision)
            if not as_json:
                print(decision)
    except LookupUnavailable as error:
        print(f"pillarbox route: {error.reason}", file=sys.stderr)
        status = os.EX_TEMPFAIL
    finally:
        client.close()
    if as_json:
        steps = [{"step": each.step, "about": each.about, "decided": each.decided} for each in found]
        print(json.dumps({"complete": status == os.EX_OK, "decisions": steps}, indent=2))
    return status


def decisions(config: Config, lookup: LookupClient, address: str, sender: str = "") -> Iterator[Decision]:
    """Each decision as it is made.  Raises LookupUnavailable where the next one cannot be made now."""
    verdict = lookup.recipient(address)
    reason = f" {verdict.code} {verdict.dsn} {verdict.text}" if verdict.text else ""
    yield Decision("recipient", address, f"{verdict.status} ({verdict.address_class}){reason}")
    steps: list[Decision] = []
    addressing = Addressing(config, lookup, lambda *step: steps.append(Decision(*step)))
    rewritten = addressing.sender(sender)
    if rewritten != sender:
        yield Decision("sender", sender, rewritten)
    steps.clear()
    recipients = addressing.recipients((Recipient(address),), rewritten, copies=True)
    yield from steps
    for recipient in recipients:
        if recipient.expanded:
            continue
        decided = lookup.resolve(recipient.address, rewritten)
        yield Decision("transport", decided.recipient, f"{decided.transport}:{decided.nexthop}")
        if decided.transport == "local":
            yield from _aliases(config, lookup, decided.recipient)
        yield from asyncio.run(_outside(config, decided, recipient, rewritten))


def _aliases(config: Config, lookup: LookupClient, address: str) -> Iterator[Decision]:
    """What local delivery finds first: the user with the extension, then without (local(8))."""
    if not config[ALIAS_MAPS]:
        return
    name = unquote_local(split_address(address)[0])
    user = split_extension(name, config[RECIPIENT_DELIMITER])[0]
    for key in dict.fromkeys((name, user)):
        value = lookup.get(ALIAS_MAPS.name, key)
        if value is not None:
            yield Decision("aliases", key, value)
            return


async def _outside(config: Config, decided: Route, recipient: Recipient, sender: str) -> list[Decision]:
    """The names that other systems see, where the transport is one to other systems."""
    service = config.services.get(decided.transport)
    if service is None or service.command != PROGRAM:
        return []
    view = config_of(config.for_service(service), service.name)
    tables: tuple[str, ...] = view[SMTP_GENERIC_MAPS]
    sends_on = bool(view[SRS_DOMAIN]) and not is_lmtp(view, service.name)
    found: list[Decision] = []
    client = AsyncLookupClient(config)
    try:
        address = decided.recipient
        original = recipient.original or recipient.address
        if sends_on and sender and original.lower() != address.lower():
            forwarded = await client.forwarded(sender, original, address)
            if forwarded is not None:
                found.append(Decision("forwarded", sender, forwarded))
        for one in dict.fromkeys((sender, address)) if tables else ():
            generic = await client.generic(tables, one) if one else one
            if generic != one and not (one == sender and found):
                found.append(Decision("generic", one, generic))
    finally:
        await client.close()
    return found
